"""What belongs to a preset folder, and what is missing from one."""

import json

import h5py
import pytest

from keras_deeplab.hub.preset_files import check_complete, preset_files


def weights(path):
    with h5py.File(path, "w") as file:
        file["vars/0"] = [1.0]


@pytest.fixture
def folder(tmp_path):
    for name in ("config.json", "preprocessor.json", "metadata.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "task.json").write_text('{"config": {"preprocessor": {}}}'.replace("{}}}", '{"a": 1}}}'))
    weights(tmp_path / "model.weights.h5")
    weights(tmp_path / "task.weights.h5")
    return tmp_path


def shard(folder):
    (folder / "model.weights.h5").unlink()
    places = {
        "/a/vars": "model_00000.weights.h5",
        "/b/vars": ["model_00000.weights.h5", "model_00001.weights.h5"],
    }
    (folder / "model.weights.json").write_text(json.dumps({"weight_map": places}))
    weights(folder / "model_00000.weights.h5")
    weights(folder / "model_00001.weights.h5")


def test_a_whole_preset_passes(folder):
    check_complete(folder)
    shard(folder)
    check_complete(folder)


def test_a_backbone_alone_passes(folder):
    for name in ("task.json", "task.weights.h5", "preprocessor.json"):
        (folder / name).unlink()
    check_complete(folder)


@pytest.mark.parametrize(
    "name", ["config.json", "metadata.json", "preprocessor.json", "model.weights.h5", "task.weights.h5"]
)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ValueError, match=f"incomplete: {name} is missing"):
        check_complete(folder)


def test_a_missing_shard_is_named(folder):
    shard(folder)
    (folder / "model_00001.weights.h5").unlink()
    with pytest.raises(ValueError, match=r"model_00001\.weights\.h5 is missing"):
        check_complete(folder)


def test_truncated_weights_are_named(folder):
    path = folder / "task.weights.h5"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"Cannot read the weights in .*task\.weights\.h5.*truncated"):
        check_complete(folder)


@pytest.mark.parametrize("content", ["{", "[]", "\udcff"])
def test_broken_json_is_named(folder, content):
    (folder / "config.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=r"Cannot read .*config\.json"):
        check_complete(folder)


def test_no_folder_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"no folder .*nowhere"):
        check_complete(tmp_path / "nowhere")


def test_other_files_do_not_belong_to_a_preset(folder):
    shard(folder)
    for name in ("README.md", "notes.json", "model_best.weights.h5", "other.weights.h5"):
        (folder / name).write_text("")
    assert [path.name for path in preset_files(folder)] == [
        "config.json", "metadata.json", "model.weights.json", "model_00000.weights.h5",
        "model_00001.weights.h5", "preprocessor.json", "task.json", "task.weights.h5",
    ]  # fmt: skip
