"""Published presets when archives are no good, connections break and processes meet or are killed."""

import contextlib
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from keras_deeplab.backbones import Backbone
from keras_deeplab.hub import cache, registry
from tests.archive_server import folder_content, pack, write_object_checkpoint
from tests.hub.published_archives import BACKBONE, offer, write_checkpoint

pytest.importorskip("tensorflow")


@pytest.mark.parametrize("kind", ["no archive", "truncated", "other model", "damaged checkpoint", "no data"])
def test_what_is_no_good_leaves_the_cache_as_it_was(server, root, archives, tmp_path, kind):
    (root / "presets" / "other").mkdir(parents=True)
    (root / "presets" / "other" / "config.json").write_text("{}")
    before = folder_content(root)
    good = archives(BACKBONE)
    if kind == "no archive":
        content, message = b"<html>", "damaged from the start, or no tar archive"
    elif kind == "truncated":
        content, message = good[: len(good) // 2], "is damaged at member"
    elif kind == "other model":
        write_object_checkpoint(tmp_path / "run" / "ckpt-1", {"encoder/kernel": np.zeros(1, "float32")})
        content, message = pack(tmp_path / "run", tmp_path / "a").read_bytes(), "Not in the checkpoint"
    else:
        write_checkpoint(BACKBONE, tmp_path / "run")
        data = tmp_path / "run" / "ckpt-1.data-00000-of-00001"
        if kind == "no data":
            data.unlink()
            message = r"incomplete. Missing: ckpt-1\.data"
        else:
            with open(data, "r+b") as file:
                file.seek(1_000_000)
                file.write(b"\xff" * 64)
            message = "is damaged at 'encoder/"
        content = pack(tmp_path / "run", tmp_path / "a").read_bytes()
    offer(server, BACKBONE, content)
    with pytest.raises(ValueError, match=message) as error:
        registry.resolve(BACKBONE.name)
    assert "The download was removed" in str(error.value)
    assert folder_content(root) == before
    assert list((root / "work").iterdir()) == []
    # Once the server has a good one, nothing stands in its way.
    offer(server, BACKBONE, good)
    registry.resolve(BACKBONE.name)


SCRIPT = """
import sys, time
from keras_deeplab.hub import published, registry
"""


@contextlib.contextmanager
def another_process(script):
    """A Python process, from when it says that it is there; killed if it still runs at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT + script],
        stdout=subprocess.PIPE,
        text=True,
        cwd=pathlib.Path(__file__).parents[2],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    try:
        while process.stdout.readline() != "there\n":
            assert process.poll() is None
        yield process
    finally:
        process.kill()
        process.wait()


def test_two_processes_at_once_do_the_work_once(server, root, archives, capsys):
    offer(server, BACKBONE, archives(BACKBONE))
    script = f"""
def unpack_slowly(*arguments, unpack=published.unpack):
    print("there", flush=True)
    time.sleep(3)
    unpack(*arguments)
published.unpack = unpack_slowly
print("folder", registry.resolve({BACKBONE.name!r}))
"""
    folder = root / "presets" / BACKBONE.name
    with another_process(script) as process:
        assert registry.resolve(BACKBONE.name) == folder
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0
    assert output.splitlines()[-1] == f"folder {folder}"
    assert "Waiting for another process" in capsys.readouterr().err
    assert server.requests == [(BACKBONE.archive, None)]
    Backbone.from_preset(BACKBONE.name)


def test_a_killed_conversion_starts_anew_without_another_download(server, root, archives):
    offer(server, BACKBONE, archives(BACKBONE))
    script = f"""
def convert_and_stop(*arguments, convert=published.convert_checkpoint):
    convert(*arguments)
    print("there", flush=True)
    time.sleep(600)
published.convert_checkpoint = convert_and_stop
registry.resolve({BACKBONE.name!r})
"""
    with another_process(script):
        assert (root / "work" / BACKBONE.name / "preset" / "config.json").is_file()
        assert cache.cached_folder(BACKBONE.name) is None
    assert (root / "work" / BACKBONE.name / "preset" / "config.json").is_file()
    Backbone.from_preset(BACKBONE.name)
    assert server.requests == [(BACKBONE.archive, None)]
    assert {pathlib.Path(name).parent.name for name in folder_content(root)} == {BACKBONE.name}


def test_an_interrupted_download_goes_on(server, archives):
    offer(server, BACKBONE, archives(BACKBONE))
    server.cuts, server.statuses = [500_000], [None, 503]
    with pytest.raises(ValueError, match="The 500000 bytes so far are kept"):
        registry.resolve(BACKBONE.name)
    Backbone.from_preset(BACKBONE.name)
    assert server.requests[2:] == [(BACKBONE.archive, "bytes=500000-")]
