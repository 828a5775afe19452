"""Publishing: what is sent, in how many commits, and what happens when it goes wrong."""

import hashlib
import shutil

import h5py
import numpy as np
import pytest

import keras_deeplab
from keras_deeplab.hub import hugging_face
from keras_deeplab.hub.upload import upload_preset
from tests.hub_server import Repository


@pytest.fixture
def folder(tmp_path):
    """A whole preset with two files of weights, without a network that could be built from it."""
    folder = tmp_path / "preset"
    folder.mkdir()
    (folder / "config.json").write_text('{"class_name": "Net", "config": {"image_shape": [33, 33, 3]}}')
    (folder / "metadata.json").write_text("{}")
    rng = np.random.default_rng(0)
    index = []
    for shard in range(2):
        with h5py.File(folder / f"model_0000{shard}.weights.h5", "w") as file:
            file[f"layer{shard}/vars/0"] = rng.normal(size=(64, 64)).astype("float32")
        index.append(f'"/layer{shard}/vars": "model_0000{shard}.weights.h5"')
    (folder / "model.weights.json").write_text(f'{{"weight_map": {{{", ".join(index)}}}}}')
    return folder


def uploaded(hub):
    """The SHA-256 of the large files that arrived."""
    return sorted(path.rpartition("/")[2] for path in hub.paths("PUT"))


def checksum(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_it_is_a_public_name():
    assert keras_deeplab.upload_preset is upload_preset


def test_all_files_arrive_in_one_commit(hub, folder):
    address = upload_preset("hf://me/model", folder)
    repository = hub.repositories["me/model"]
    assert address == f"{hub.url}/me/model/commit/{repository.names['main']}"
    assert repository.titles == ["initial commit", "Upload preset"]
    assert not repository.private
    for path in folder.iterdir():
        assert repository.files[path.name] == path.read_bytes()
    assert repository.files.keys() == {path.name for path in folder.iterdir()} | {"README.md"}


def test_a_new_repository_may_be_private(hub, folder):
    upload_preset("hf://me/model", folder, private=True)
    assert hub.repositories["me/model"].private


def test_the_card_is_the_folders_own_or_made(hub, folder):
    upload_preset("hf://me/model", folder, license="cc-by-4.0")
    made = hub.repositories["me/model"].files["README.md"].decode()
    assert "license: cc-by-4.0" in made
    assert "hf://me/model" in made
    (folder / "README.md").write_text("---\nlicense: mit\n---\nmine")
    upload_preset("hf://me/model", folder)
    assert hub.repositories["me/model"].files["README.md"].endswith(b"mine")


def test_a_card_that_was_edited_on_the_hub_stays(hub, folder):
    hub.repositories["me/model"] = Repository()
    hub.repositories["me/model"].commit({"README.md": b"edited"}, "Edit")
    upload_preset("hf://me/model", folder)
    assert hub.repositories["me/model"].files["README.md"] == b"edited"


def test_only_a_presets_files_are_sent(hub, folder):
    for name in ("picture.png", "LICENSE", "secrets.env", "optimizer.h5"):
        (folder / name).write_bytes(b"x")
    (folder / ".git").mkdir()
    upload_preset("hf://me/model", folder)
    sent = hub.repositories["me/model"].files
    assert {"picture.png", "LICENSE"} <= sent.keys()
    assert not {"secrets.env", "optimizer.h5"} & sent.keys()


def test_what_is_there_is_not_sent_again(hub, folder):
    upload_preset("hf://me/model", folder)
    assert uploaded(hub) == sorted(map(checksum, folder.glob("*.h5")))
    hub.requests.clear()
    upload_preset("hf://me/model", folder)
    assert uploaded(hub) == []
    assert hub.repositories["me/model"].titles.count("Upload preset") == 1


def test_files_of_an_earlier_version_go(hub, folder):
    upload_preset("hf://me/model", folder)
    repository = hub.repositories["me/model"]
    repository.commit({**repository.files, "notes.txt": b"mine"}, "Add notes")
    (folder / "model_00000.weights.h5").rename(folder / "model.weights.h5")
    for name in ("model.weights.json", "model_00001.weights.h5"):
        (folder / name).unlink()
    upload_preset("hf://me/model", folder)
    assert repository.files.keys() == {path.name for path in folder.iterdir()} | {"README.md", "notes.txt"}


def test_an_interrupted_upload_leaves_no_half_commit_and_goes_on(hub, folder):
    last = checksum(folder / "model_00001.weights.h5")
    hub.fail("PUT", last, 400)
    with pytest.raises(RuntimeError, match=r"uploading 'model_00001\.weights\.h5'"):
        upload_preset("hf://me/model", folder)
    repository = hub.repositories["me/model"]
    assert repository.titles == ["initial commit"]
    assert repository.files == {}
    with pytest.raises(LookupError, match="holds no preset"):
        hugging_face.find("hf://me/model")
    arrived = set(hub.objects)
    hub.requests.clear()
    upload_preset("hf://me/model", folder)
    assert not arrived & set(uploaded(hub))
    assert last in uploaded(hub)
    assert (hugging_face.find("hf://me/model") / "model_00001.weights.h5").is_file()


def test_a_commit_that_fails_leaves_the_old_version(hub, folder):
    upload_preset("hf://me/model", folder)
    before = dict(hub.repositories["me/model"].files)
    (folder / "metadata.json").write_text('{"new": true}')
    hub.fail("POST", "/commit/main", 400)
    with pytest.raises(OSError, match="made to fail"):
        upload_preset("hf://me/model", folder)
    assert hub.repositories["me/model"].files == before


def test_another_upload_at_the_same_time_is_not_overwritten(hub, folder, monkeypatch):
    from huggingface_hub import HfApi

    upload_preset("hf://me/model", folder)
    repository = hub.repositories["me/model"]
    create_commit = HfApi.create_commit

    def be_late(self, *arguments, **options):
        repository.commit({**repository.files, "metadata.json": b'{"theirs": true}'}, "Theirs")
        return create_commit(self, *arguments, **options)

    monkeypatch.setattr(HfApi, "create_commit", be_late)
    (folder / "metadata.json").write_text('{"mine": true}')
    with pytest.raises(OSError, match="A commit has happened since"):
        upload_preset("hf://me/model", folder)
    assert repository.files["metadata.json"] == b'{"theirs": true}'


def test_an_incomplete_preset_is_refused_before_anything_is_sent(hub, folder):
    (folder / "model_00001.weights.h5").unlink()
    with pytest.raises(ValueError, match=r"model_00001\.weights\.h5 is missing"):
        upload_preset("hf://me/model", folder)
    shutil.rmtree(folder)
    with pytest.raises(ValueError, match="There is no folder"):
        upload_preset("hf://me/model", folder)
    assert hub.requests == []


def test_a_token_is_needed(hub, folder, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(PermissionError, match=r"Cannot write to 'me/model' .* `hf auth login` or HF_TOKEN"):
        upload_preset("hf://me/model", folder)
    assert hub.repositories == {}


@pytest.mark.parametrize(
    ("address", "message"),
    [("me/model", "no address of the form"), ("hf://me/model@v1", "uploads go to the main branch")],
)
def test_malformed_addresses_are_errors(hub, folder, address, message):
    with pytest.raises(ValueError, match=message):
        upload_preset(address, folder)
    assert hub.requests == []
