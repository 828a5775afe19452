"""Panoptic-DeepLab's heads equal those that DeepLab2 computed with the same weights."""

import json

import keras
import numpy as np
import pytest

from keras_deeplab.backbones.backbone import Backbone
from keras_deeplab.hub.deeplab2 import load_weights
from keras_deeplab.labels import LabelSpace
from keras_deeplab.models.panoptic_deeplab import PanopticDeepLab
from tests.reference_weights import reference_checkpoint
from tests.references import COMPACT, FULL, SOURCES, load_golden, load_manifest

HEADS = {
    "semantic_logits": "semantic_logits",
    "center_heatmap": "center_heatmap",
    "offset_map": "center_offset",
}
BACKBONES = ("mobilenet_v3_small", "mobilenet_v3_large", "resnet50", "resnet50_beta")


def goldens():
    """(source, manifest name) of every Panoptic-DeepLab golden of these backbones, each golden once."""
    found = []
    for source in SOURCES:
        folder = (COMPACT if source == "compact" else FULL) / "manifests"
        seen = set()
        for path in sorted(folder.glob("*.json")):
            manifest = json.loads(path.read_text())
            is_ours = manifest.get("decoder") == "panoptic_deeplab" and manifest["backbone"] in BACKBONES
            if is_ours and "motion" not in path.name and manifest["golden"] not in seen:
                seen.add(manifest["golden"])
                found.append((source, path.stem))
    return found


def build(manifest):
    """The model that a manifest describes, with reference weights."""
    backbone = Backbone.from_variant(
        manifest["backbone"],
        output_stride=manifest["output_stride"],
        image_shape=(*manifest["golden_input_size"], 3),
        batch_norm_epsilon=manifest["batchnorm"]["epsilon"],
    )
    label_space = LabelSpace(
        "golden",
        classes=[f"class {i}" for i in range(manifest["num_classes"])],
        things=manifest["class_has_instances_list"],
        ignore_label=manifest["ignore_label"],
        label_divisor=manifest["label_divisor"],
    )
    has_instances = any("instance_decoder" in key for key, _, _ in manifest["checkpoint"])
    # The example's configuration keeps the rates of output stride 16 at 32.
    rates = (6, 12, 18) if manifest["golden"].startswith("example") else None
    model = PanopticDeepLab(
        backbone, label_space, rates, train_crop_size=(1025, 2049), instance_branch=has_instances
    )
    load_weights(model, reference_checkpoint(manifest))
    return model


@pytest.mark.parametrize(("source", "name"), goldens())
def test_heads_equal_deeplab2(source, name):
    manifest = load_manifest(name, source)
    golden = load_golden(manifest["golden"].removesuffix(".npz"), source)
    model = build(manifest)
    assert len(model.weights) == len(manifest["checkpoint"])
    assert model.count_params() == manifest["parameter_count"]
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert trainable == manifest["trainable_parameter_count"]

    heads = keras.Model.predict(model, golden["input"].astype("float32") / 127.5 - 1, verbose=0)
    for theirs, ours in HEADS.items():
        if f"out/{theirs}" not in golden:
            assert ours not in heads
            continue
        step = int(golden[f"stride/{theirs}"])
        expected = golden[f"out/{theirs}"]
        actual = heads[ours][:, ::step, ::step].reshape(expected.shape)
        # float32 sums in another order; DeepLab2 differs from itself by up to 2e-4 between kernels.
        std = golden[f"stats/{theirs}"][1]
        assert np.abs(actual - expected).max() <= 1e-3 * std, (theirs, np.abs(actual - expected).max() / std)
