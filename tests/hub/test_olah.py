"""Downloading from `olah`, a mirror of the Hub that others wrote: our own server could fit us too well.

It is not among the tests' packages: `pip install olah` into an environment of its own, and put its `bin` on
the PATH. The client runs in another process, since it reads the server's address when it starts.
"""

import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

import pytest

from keras_deeplab.hub import registry
from keras_deeplab.hub.preset_files import preset_files

pytestmark = pytest.mark.skipif(
    not (shutil.which("olah-cli") and shutil.which("git")), reason="needs olah and git"
)
SETTINGS = """
[basic]
host = "127.0.0.1"
port = {port}
repos-path = "cache"
mirror-netloc = "127.0.0.1:{port}"
mirrors-path = ["{folder}/mirror"]
[accessibility]
offline = true
"""


@pytest.fixture
def repository(tmp_path):
    """A git repository where olah looks for it, with a built-in preset and a file that is none of it."""
    folder = tmp_path / "mirror" / "models" / "lab" / "streets"
    shutil.copytree(registry.embedded_presets()["street_synthetic"], folder)
    (folder / "notes.txt").write_text("not to be downloaded")
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for words in (["init", "-qb", "main"], ["add", "-A"], [*identity, "commit", "-qm", "Add preset"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return folder


@pytest.fixture
def olah(tmp_path, repository):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "olah.toml").write_text(SETTINGS.format(port=port, folder=tmp_path))
    with open(tmp_path / "olah.log", "wb") as log:
        process = subprocess.Popen(["olah-cli", "-c", "olah.toml"], cwd=tmp_path, stdout=log, stderr=log)
        try:
            for _ in range(300):
                with socket.socket() as attempt:
                    if attempt.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def find(address, endpoint, cache, **settings):
    """The folder that a fresh process finds, or what it says to the contrary."""
    code = f"from keras_deeplab.hub import hugging_face; print(hugging_face.find({address!r}))"
    environment = {"HF_ENDPOINT": endpoint, "HF_HUB_CACHE": str(cache), **settings}
    process = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        cwd=pathlib.Path(__file__).parents[2],
    )
    return process.stdout.strip() or process.stderr.strip().splitlines()[-1]


def test_a_preset_comes_whole_and_from_the_cache_the_second_time(olah, repository, tmp_path):
    cache = tmp_path / "hub_cache"
    found = find("hf://lab/streets", olah, cache)
    assert found.startswith(str(cache))
    files = {path.name: path.read_bytes() for path in pathlib.Path(found).iterdir()}
    assert files == {path.name: path.read_bytes() for path in preset_files(repository)}
    assert find(f"hf://lab/streets@{pathlib.Path(found).name}", "http://127.0.0.1:9", cache) == found
    assert find("hf://lab/streets", olah, cache, HF_HUB_OFFLINE="1") == found
    assert "no repository 'lab/none'" in find("hf://lab/none", olah, cache)
