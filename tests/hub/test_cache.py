"""The cache: presets whole or not there, made once however many ask."""

import os
import pathlib
import subprocess
import sys
import threading
import time

import pytest

from keras_deeplab.hub import cache
from tests.archive_server import folder_content


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_DEEPLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def make(work):
    (work / "half").write_text("")
    preset = work / "preset"
    preset.mkdir()
    (preset / "config.json").write_text("{}")
    return preset


def fail(work):
    make(work)
    raise ValueError("no good")


SCRIPT = """
import sys, time
from tests.hub.test_cache import *
from keras_deeplab.hub.cache import install
"""


def run(script, root, **options):
    """A Python process with `install` and `make` at hand."""
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT + script],
        env={**os.environ, "KERAS_DEEPLAB_CACHE": str(root)},
        cwd=pathlib.Path(__file__).parents[2],
        text=True,
        **options,
    )


def wait_for(path):
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_root_is_named_by_the_environment(monkeypatch):
    monkeypatch.setenv("KERAS_DEEPLAB_CACHE", "~/mine")
    assert cache.cache_root() == pathlib.Path.home() / "mine"
    monkeypatch.delenv("KERAS_DEEPLAB_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/caches")
    assert cache.cache_root() == pathlib.Path("/var/caches/keras_deeplab")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.cache_root() == pathlib.Path.home() / ".cache" / "keras_deeplab"


def test_a_preset_is_made_once(root):
    assert cache.cached_folder("mine") is None
    assert cache.install("mine", make) == root / "presets" / "mine"
    assert cache.cached_folder("mine") == root / "presets" / "mine"
    assert cache.install("mine", fail) == root / "presets" / "mine"
    assert folder_content(root) == {"presets/mine/config.json": b"{}"}


def test_a_failure_leaves_nothing(root):
    cache.install("other", make)
    before = folder_content(root)
    with pytest.raises(ValueError, match="no good"):
        cache.install("mine", fail)
    assert cache.cached_folder("mine") is None
    assert folder_content(root) == before
    assert list((root / "work").iterdir()) == []
    cache.install("mine", make)


@pytest.mark.parametrize("name", ["../mine", "a/b", ".", "..", "", ".hidden", "/etc", "hf://me/mine"])
def test_names_are_plain(root, name):
    assert cache.cached_folder(name) is None
    with pytest.raises(ValueError, match="plain file name"):
        cache.install(name, make)
    assert not root.exists()


def test_a_folder_without_configuration_is_no_preset(root):
    (root / "presets" / "mine").mkdir(parents=True)
    (root / "presets" / "mine" / "model.weights.h5").write_text("")
    assert cache.cached_folder("mine") is None
    cache.install("mine", make)
    assert folder_content(root) == {"presets/mine/config.json": b"{}"}


def test_threads_wait_for_each_other(root):
    made = []

    def make_slowly(work):
        time.sleep(0.2)
        made.append(work)
        return make(work)

    threads = [threading.Thread(target=cache.install, args=("mine", make_slowly)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_processes_wait_for_each_other_and_say_so(root):
    script = "install('mine', lambda work: print('made', flush=True) or time.sleep(3) or make(work))"
    first = run(script, root, stdout=subprocess.PIPE)
    assert first.stdout.readline() == "made\n"
    second = run("print(install('mine', None))", root, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, errors = second.communicate(timeout=60)
    assert (first.wait(), second.returncode) == (0, 0)
    assert output.strip() == str(root / "presets" / "mine")
    assert errors == "Waiting for another process that prepares the preset 'mine'.\n"


def test_what_a_killed_process_left_is_cleared_away(root):
    killed = [
        run(f"install('{name}', lambda work: make(work) and time.sleep(600))", root)
        for name in ("mine", "other")
    ]
    alive = run("install('third', lambda work: make(work) and time.sleep(600))", root)
    for name in ("mine", "other", "third"):
        wait_for(root / "work" / name / "preset" / "config.json")
    for process in killed:
        process.kill()
        process.wait()
    try:
        assert cache.cached_folder("mine") is None
        cache.install("mine", make)
        assert sorted(p.name for p in (root / "work").iterdir()) == ["third"]
        assert (root / "work" / "third" / "half").is_file()
    finally:
        alive.kill()
        alive.wait()
    assert list(folder_content(root / "presets")) == ["mine/config.json"]
