import shutil

import pytest

from keras_deeplab.hub import download as download_module
from tests.archive_server import pack, serve
from tests.hub.published_archives import REAL, write_checkpoint
from tests.references import FULL


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Function from an entry and a source of references to an archive's bytes, each made once."""
    made = {}

    def archive(entry, source="compact"):
        if (entry.name, source) not in made:
            folder = tmp_path_factory.mktemp("archives")
            inside = folder / entry.archive.removesuffix(".tar.gz")
            if source == "full":
                shutil.copytree(FULL / "checkpoints" / REAL[entry.name], inside)
            else:
                write_checkpoint(entry, inside)
            made[entry.name, source] = pack(inside, folder / entry.archive).read_bytes()
            shutil.rmtree(folder)
        return made[entry.name, source]

    return archive


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty cache."""
    monkeypatch.setenv("KERAS_DEEPLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download_module, "RETRY_DELAYS", (0.01,))
    return tmp_path / "cache"


@pytest.fixture
def server(root, monkeypatch):
    """A server that archives are loaded from, into the empty cache."""
    with serve(monkeypatch) as server:
        monkeypatch.setenv("KERAS_DEEPLAB_ARCHIVES", server.address)
        yield server
