"""Checkpoints become preset folders: whole, checked, and with where they come from."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from keras_deeplab.backbones import Backbone
from keras_deeplab.hub import convert, preset_folder, preset_table
from keras_deeplab.hub.convert import convert_checkpoint
from keras_deeplab.hub.deeplab2 import checkpoint_keys
from keras_deeplab.hub.preset_table import PresetEntry
from keras_deeplab.models import PanopticDeepLab
from tests.archive_server import write_object_checkpoint
from tests.reference_weights import reference_weight

pytest.importorskip("tensorflow")

BACKBONE = PresetEntry("tiny_imagenet1k", "imagenet", "Backbone", "mobilenet_v3_small", "imagenet1k")
MODEL = PresetEntry(
    "tiny_cityscapes", "panoptic_deeplab", "PanopticDeepLab", "mobilenet_v3_small", "cityscapes",
    label_space="cityscapes", image_size=(65, 129), output_stride=32,
    arguments={"aspp_filters": 8, "semantic_filters": 8, "instance_filters": 8},
    metrics=({"metric": "PQ", "value": 48.4, "evaluator": "official"},), paper="1911.10194",
)  # fmt: skip


def weights_of(entry):
    """Reference weights of every variable of an entry's model."""
    return {
        key: reference_weight(key, tuple(variable.shape))
        for key, variable in checkpoint_keys(preset_table.build_model(entry)).items()
    }


@pytest.fixture(scope="module")
def weights():
    return {entry.name: weights_of(entry) for entry in (BACKBONE, MODEL)}


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def assert_has_weights(model, weights):
    keys = checkpoint_keys(model)
    assert set(keys) == set(weights)
    for key, variable in keys.items():
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), weights[key])


def test_a_model(tmp_path, weights):
    write_object_checkpoint(tmp_path / "run" / "ckpt-7", weights[MODEL.name])
    convert_checkpoint(MODEL, tmp_path / "run", tmp_path / "preset", {"archive": "a.tar.gz"})
    model = PanopticDeepLab.from_preset(tmp_path / "preset")
    assert_has_weights(model, weights[MODEL.name])
    assert model.image_shape == (65, 129, 3)
    assert model.preprocessor.image_size == (65, 129)
    metadata = json.loads((tmp_path / "preset" / "metadata.json").read_text())
    assert (
        metadata.items()
        >= {
            "preset": "tiny_cityscapes",
            "family": "panoptic_deeplab",
            "dataset": "cityscapes",
            "label_space": "cityscapes",
            "paper": "1911.10194",
            "checkpoint": "ckpt-7",
            "archive": "a.tar.gz",
        }.items()
    )
    assert metadata["metrics"] == [{"metric": "PQ", "value": 48.4, "evaluator": "official"}]
    assert metadata["converter"].startswith("keras-deeplab ")
    assert metadata["parameter_count"] == model.backbone.count_params()
    assert files(tmp_path / "preset") == [
        *("config.json", "metadata.json", "model.weights.h5", "preprocessor.json"),
        *("task.json", "task.weights.h5"),
    ]


def test_a_backbone_takes_the_encoder_of_a_model(tmp_path, weights):
    write_object_checkpoint(tmp_path / "ckpt-1", weights[MODEL.name])
    convert_checkpoint(BACKBONE, tmp_path / "ckpt-1", tmp_path / "preset")
    backbone = Backbone.from_preset(tmp_path / "preset", image_shape=(65, 65, 3))
    assert_has_weights(backbone, weights[BACKBONE.name])
    assert files(tmp_path / "preset") == ["config.json", "metadata.json", "model.weights.h5"]
    assert "label_space" not in json.loads((tmp_path / "preset" / "metadata.json").read_text())


def test_an_optimizer_in_the_checkpoint_does_no_harm(tmp_path, weights):
    import tensorflow as tf

    optimizer = tf.Module()
    optimizer.momentum = tf.Variable([0.0])
    write_object_checkpoint(
        tmp_path / "ckpt-1", weights[BACKBONE.name], optimizer=optimizer, global_step=tf.Variable(7)
    )
    convert_checkpoint(BACKBONE, tmp_path, tmp_path / "preset")
    assert_has_weights(Backbone.from_preset(tmp_path / "preset"), weights[BACKBONE.name])


KEY = "encoder/_blocks/0/_batch_norm/gamma"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({KEY: None}, rf"Not in the checkpoint \(1\):\n  {KEY}"),
        ({"encoder/surplus": np.zeros(1, "float32")}, "not in the model.*encoder/surplus"),
        ({KEY: np.zeros(7, "float32")}, r"\(7,\) in the checkpoint, \(16,\) in the model"),
        ({KEY: np.full(16, np.nan, "float32")}, rf"Not finite \(1\):\n  {KEY}"),
        ({KEY: np.full(16, np.inf, "float32")}, rf"Not finite \(1\):\n  {KEY}"),
    ],
    ids=["missing", "surplus", "misshapen", "nan", "infinite"],
)
def test_what_does_not_fit_is_named_and_nothing_written(tmp_path, weights, change, message):
    arrays = {**weights[BACKBONE.name], **change}
    arrays = {key: value for key, value in arrays.items() if value is not None}
    write_object_checkpoint(tmp_path / "run" / "ckpt-1", arrays)
    with pytest.raises(ValueError, match=f"(?s){message}") as error:
        convert_checkpoint(BACKBONE, tmp_path / "run", tmp_path / "preset")
    assert str(error.value).startswith(
        f"Cannot convert {str(tmp_path / 'run' / 'ckpt-1')!r} to 'tiny_imagenet1k'."
    )
    assert files(tmp_path) == ["run"]


def test_a_planned_model(tmp_path, weights):
    write_object_checkpoint(tmp_path / "run" / "ckpt-1", weights[BACKBONE.name])
    with pytest.raises(ValueError, match="'tiny_imagenet1k' is planned"):
        convert_checkpoint(dataclasses.replace(BACKBONE, model="FutureLab"), tmp_path, tmp_path / "preset")
    assert files(tmp_path) == ["run"]


def test_no_checkpoint_is_said_before_anything_is_built(tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "build_model", lambda _: pytest.fail("built"))
    with pytest.raises(ValueError, match="There is no checkpoint in"):
        convert_checkpoint(MODEL, tmp_path, tmp_path / "preset")


def test_an_interrupted_save_leaves_nothing(tmp_path, weights, monkeypatch):
    write_object_checkpoint(tmp_path / "run" / "ckpt-1", weights[BACKBONE.name])

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(preset_folder, "_write_backbone", interrupt)
    with pytest.raises(KeyboardInterrupt):
        convert_checkpoint(BACKBONE, tmp_path / "run", tmp_path / "preset")
    assert files(tmp_path) == ["run"]
