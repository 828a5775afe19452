"""Published presets by name alone: from DeepLab2's archives on a local server to its outputs."""

import dataclasses
import hashlib
import json
import pathlib
import re

import keras
import numpy as np
import pytest

from keras_deeplab.backbones import Backbone
from keras_deeplab.hub import preset_table, published, registry
from keras_deeplab.hub.preset_table import find_entry
from keras_deeplab.models import PanopticDeepLab
from tests.archive_server import folder_content
from tests.hub.published_archives import BACKBONE, GOLDEN, MODEL, offer
from tests.reference_weights import reference_weight
from tests.references import SOURCES, load_golden

pytest.importorskip("tensorflow")

PLANNED = find_entry("kmax_resnet50_coco")


@pytest.mark.parametrize("source", SOURCES)
def test_a_model_by_name_has_deeplab2s_outputs(server, root, archives, source):
    content = archives(MODEL, source)
    offer(server, MODEL, content)
    model = PanopticDeepLab.from_preset("mobilenet_v3_small_cityscapes", image_shape=(129, 257, 3))
    golden = load_golden(GOLDEN, source)
    heads = keras.Model.predict(model, golden["input"].astype("float32") / 127.5 - 1, verbose=0)
    names = {
        "semantic_logits": "semantic_logits",
        "center_heatmap": "center_heatmap",
        "offset_map": "center_offset",
    }
    for theirs, ours in names.items():
        step, expected = int(golden[f"stride/{theirs}"]), golden[f"out/{theirs}"]
        actual = heads[ours][:, ::step, ::step].reshape(expected.shape)
        assert np.abs(actual - expected).max() <= 1e-3 * golden[f"stats/{theirs}"][1], theirs
    assert server.requests == [(MODEL.archive, None)]
    # The second time everything is there.
    again = PanopticDeepLab.from_preset(MODEL.name, image_shape=(129, 257, 3))
    for first, second in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(first), keras.ops.convert_to_numpy(second))
    assert len(server.requests) == 1
    folder = root / "presets" / MODEL.name
    assert (
        json.loads((folder / "metadata.json").read_text()).items()
        >= {
            "preset": MODEL.name,
            "archive": MODEL.archive,
            "archive_url": server.url(MODEL.archive),
            "archive_sha256": hashlib.sha256(content).hexdigest(),
            "license": "Apache-2.0",
            "checkpoint": "ckpt-1",
            "paper": "1911.10194",
        }.items()
    )
    assert json.loads((folder / "config.json").read_text())["config"]["image_shape"] == [1025, 2049, 3]
    # Neither the archive nor a working folder stays.
    assert {pathlib.Path(name).parent.name for name in folder_content(root)} == {MODEL.name}


@pytest.mark.parametrize("source", SOURCES)
def test_a_backbone_by_name(server, archives, source):
    offer(server, BACKBONE, archives(BACKBONE, source))
    backbone = Backbone.from_preset(BACKBONE.name)
    key = "encoder/_blocks/1/_conv2_bn_act/_depthwise_conv/depthwise_kernel"
    kernel = keras.ops.convert_to_numpy(backbone.get_layer("block1_depthwise").convolution.kernel)
    np.testing.assert_array_equal(kernel, reference_weight(key, kernel.shape))
    assert len(server.requests) == 1


def test_a_planned_preset_is_not_downloaded(server, archives):
    offer(server, PLANNED, archives(BACKBONE))
    message = "The preset 'kmax_resnet50_coco' is planned: this version has no KMaXDeepLab yet."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        registry.resolve(PLANNED.name)
    assert server.requests == []


def test_an_unknown_name_is_not_looked_for_elsewhere(server):
    with pytest.raises(ValueError, match="'cityscape' was not found") as error:
        registry.resolve("cityscape")
    assert "cache: not the name of a published preset" in str(error.value)
    assert "DeepLab2's archives: Unknown preset 'cityscape'. Similar presets:" in str(error.value)
    assert server.requests == []


@pytest.mark.parametrize("value", ["1", "true", "ON"])
def test_offline_nothing_is_downloaded(server, root, archives, monkeypatch, value):
    offer(server, BACKBONE, archives(BACKBONE))
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    with pytest.raises(ValueError, match="HF_HUB_OFFLINE is set") as error:
        registry.resolve(BACKBONE.name)
    path = root / "downloads" / BACKBONE.archive
    assert repr(str(path)) in str(error.value)
    assert server.url(BACKBONE.archive) in str(error.value)
    assert server.requests == []
    # An archive that somebody puts there is as good.
    path.parent.mkdir(parents=True)
    path.write_bytes(archives(BACKBONE))
    assert registry.resolve(BACKBONE.name) == root / "presets" / BACKBONE.name
    assert registry.resolve(BACKBONE.name) == root / "presets" / BACKBONE.name
    assert server.requests == []


def test_archives_in_a_folder(root, archives, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_DEEPLAB_ARCHIVES", str(tmp_path / "mine"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match=rf"no file {BACKBONE.archive} in the folder .*mine"):
        registry.resolve(BACKBONE.name)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / BACKBONE.archive).write_bytes(archives(BACKBONE))
    registry.resolve(BACKBONE.name)
    assert (tmp_path / "mine" / BACKBONE.archive).is_file()


def test_the_error_lists_all_that_was_tried(server, root):
    with pytest.raises(ValueError, match=f"Preset '{BACKBONE.name}' was not found. Tried:") as error:
        registry.resolve(BACKBONE.name)
    lines = str(error.value).splitlines()
    assert lines[1] == f"  folder: no folder {BACKBONE.name!r}"
    assert lines[2] == "  package: not among the built-in presets"
    assert lines[3] == f"  cache: not in {str(root / 'presets')!r}"
    assert lines[4].startswith(f"  Hugging Face: no repository 'keras-deeplab/{BACKBONE.name}'")
    assert lines[5].startswith(f"  DeepLab2's archives: Cannot download {server.url(BACKBONE.archive)} to ")
    assert "404" in lines[5]
    assert "placed there by hand" in lines[5]


def test_tensorflow_is_asked_for_before_the_download(server, archives, monkeypatch):
    offer(server, BACKBONE, archives(BACKBONE))
    monkeypatch.setattr(published.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"keras-deeplab\[tensorflow\]"):
        registry.resolve(BACKBONE.name)
    assert server.requests == []


def test_without_an_archive(root, monkeypatch):
    entry = dataclasses.replace(BACKBONE, name="mine", archive=None)
    monkeypatch.setattr(preset_table, "find_entry", lambda name: entry)
    with pytest.raises(ValueError, match="published no archive"):
        registry.resolve("mine")
