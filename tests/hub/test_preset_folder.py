"""Preset folders: keras-hub's format, complete or not there, clear errors for damage."""

import json
import pathlib
import re
import shutil

import keras
import keras_hub
import numpy as np
import pytest

from keras_deeplab.backbones import Backbone, MobileNetV3Backbone
from keras_deeplab.hub import preset_folder
from keras_deeplab.models import PanopticDeepLab, Segmenter
from tests.small_disk import no_space


@pytest.fixture(scope="module")
def model():
    backbone = Backbone.from_variant("mobilenet_v3_small", image_shape=(33, 33, 3))
    return PanopticDeepLab(backbone, aspp_filters=8, semantic_filters=8, instance_filters=8)


@pytest.fixture
def folder(model, tmp_path):
    model.save_to_preset(tmp_path / "preset")
    return tmp_path / "preset"


def test_keras_hub_loads_the_backbone(model, folder):
    backbone = keras_hub.models.Backbone.from_preset(str(folder))
    assert type(backbone) is MobileNetV3Backbone
    for ours, theirs in zip(model.backbone.weights, backbone.weights, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(theirs))


def test_metadata_counts_the_parameters(model, folder):
    metadata = json.loads((folder / "metadata.json").read_text())
    assert metadata["parameter_count"] == model.backbone.count_params()


def test_other_files_in_the_folder_survive(model, folder):
    (folder / "README.md").write_text("mine")
    model.save_to_preset(folder)
    assert (folder / "README.md").read_text() == "mine"


def test_a_failed_save_leaves_the_old_preset(model, folder, monkeypatch):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(preset_folder, "_write_backbone", fail)
    with pytest.raises(OSError, match="disk full"):
        model.save_to_preset(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["preset"]


def test_a_preset_that_does_not_fit_on_the_disk_leaves_the_old_one(model, folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    neighbours = {path.name for path in folder.parent.iterdir()}
    with (
        # HDF5 would write that much and then end the process.
        no_space(20_000),
        pytest.raises(OSError, match=f"Cannot write the preset '{folder}': File too large"),
    ):
        model.save_to_preset(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert {path.name for path in folder.parent.iterdir()} == neighbours


def test_a_preset_asks_for_the_space_that_it_needs(model, folder, monkeypatch):
    size = sum(path.stat().st_size for path in folder.glob("*.h5"))
    usage = shutil.disk_usage(folder)._replace(free=size)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(OSError, match=r"preset .*: No space left on device, it needs [\d.]+ MB") as error:
        model.save_to_preset(folder)
    needed = 1e6 * float(re.search(r"needs ([\d.]+) MB", str(error.value))[1])
    assert size < needed < 1.6 * size


def test_a_file_is_not_a_folder(model, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(ValueError, match=r"taken.*not a folder"):
        model.save_to_preset(tmp_path / "taken")


def damage(folder, name, content):
    path = pathlib.Path(folder) / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("task.json", None, "holds a backbone alone"),
        ("task.json", b"{", "Cannot read .*task.json"),
        ("model.weights.h5", None, "model.weights.h5 is missing"),
        ("model.weights.h5", b"not hdf5", "Cannot read the weights in .*model.weights.h5"),
        ("task.weights.h5", None, "task.weights.h5 is missing"),
        ("task.weights.h5", b"", "Cannot read the weights in .*task.weights.h5"),
    ],
)
def test_damage_is_named(folder, name, content, message):
    damage(folder, name, content)
    with pytest.raises(ValueError, match=message):
        Segmenter.from_preset(folder)


def test_an_unknown_class_is_named(folder):
    task = json.loads((folder / "task.json").read_text())
    task["registered_name"] = "elsewhere>Model"
    (folder / "task.json").write_text(json.dumps(task))
    with pytest.raises(ValueError, match="unknown class 'elsewhere>Model'"):
        Segmenter.from_preset(folder)


def test_saving_again_leaves_no_old_weights(model, folder):
    model.save_to_preset(folder, max_shard_size=0.002)
    assert not (folder / "model.weights.h5").exists()
    model.save_to_preset(folder)
    assert not list(folder.glob("model_*.weights.h5"))
    model.backbone.save_to_preset(folder)
    assert {path.name for path in folder.iterdir()} == {"config.json", "metadata.json", "model.weights.h5"}


def test_large_weights_are_sharded(model, tmp_path):
    model.save_to_preset(tmp_path / "sharded", max_shard_size=0.002)
    assert len(list((tmp_path / "sharded").glob("model_*.weights.h5"))) > 1
    copy = Segmenter.from_preset(tmp_path / "sharded")
    for ours, theirs in zip(model.weights, copy.weights, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(theirs))


@pytest.mark.parametrize(("dtype", "bound"), [("float16", 2e-3), ("bfloat16", 2e-2)])
def test_half_precision_on_disk_changes_outputs_by_rounding_alone(model, tmp_path, dtype, bound):
    model.save_to_preset(tmp_path / "full")
    model.save_to_preset(tmp_path / "half", weights_dtype=dtype)
    sizes = [sum(p.stat().st_size for p in (tmp_path / name).glob("*.h5")) for name in ("full", "half")]
    assert sizes[1] < 0.7 * sizes[0]  # the rest is HDF5's own
    assert json.loads((tmp_path / "half" / "metadata.json").read_text())["weights_dtype"] == dtype

    copy = Segmenter.from_preset(tmp_path / "half")
    assert {keras.backend.standardize_dtype(v.dtype) for v in copy.weights} == {"float32"}
    for ours, theirs in zip(model.weights, copy.weights, strict=True):
        if len(ours.shape) < 2:
            np.testing.assert_array_equal(
                keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(theirs)
            )
    images = np.random.default_rng(0).uniform(-1, 1, (1, 33, 33, 3)).astype("float32")
    for name, expected in model(images).items():
        expected, found = (keras.ops.convert_to_numpy(heads) for heads in (expected, copy(images)[name]))
        error = np.abs(found - expected).max()
        assert 0 < error < bound * np.abs(expected).max(), name


def test_half_precision_goes_with_shards_and_keras_hub(model, tmp_path):
    model.save_to_preset(tmp_path / "preset", max_shard_size=0.002, weights_dtype="float16")
    assert len(list((tmp_path / "preset").glob("model_*.weights.h5"))) > 1
    ours = Segmenter.from_preset(tmp_path / "preset").backbone
    theirs = keras_hub.models.Backbone.from_preset(str(tmp_path / "preset"))
    for a, b in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b))


def test_an_unknown_type_of_weights_is_an_error(model, tmp_path):
    with pytest.raises(ValueError, match="`weights_dtype` must be 'float16' or 'bfloat16'"):
        model.save_to_preset(tmp_path / "preset", weights_dtype="int8")
    assert not list(tmp_path.iterdir())
