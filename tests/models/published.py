"""Builds the models that DeepLab2's manifests describe."""

import json

import numpy as np
from keras import ops

from keras_deeplab.backbones.backbone import Backbone
from keras_deeplab.labels import LabelSpace
from keras_deeplab.layers.initializers import ScaledNormal
from keras_deeplab.models.deeplab_v3 import DeepLabV3
from keras_deeplab.models.deeplab_v3_plus import DeepLabV3Plus
from keras_deeplab.models.panoptic_deeplab import PanopticDeepLab
from tests.references import COMPACT, FULL, SOURCES, load_manifest

MODELS = {"panoptic_deeplab": PanopticDeepLab, "deeplab_v3": DeepLabV3, "deeplab_v3_plus": DeepLabV3Plus}


def manifests():
    """(source, name, manifest) of every image model and ImageNet backbone without a mask transformer."""
    for source in SOURCES:
        for path in sorted(((COMPACT if source == "compact" else FULL) / "manifests").glob("*.json")):
            manifest = json.loads(path.read_text())
            is_model = manifest.get("decoder") in MODELS and "motion" not in path.name
            is_backbone = path.name.startswith("imagenet") and variant_of(manifest) in Backbone.variants()
            if is_model or is_backbone:
                yield source, path.stem, manifest


def variant_of(manifest):
    """Our name of a manifest's backbone; the scaled networks carry their multipliers in it."""
    options = manifest.get("backbone_options", {})
    if manifest["backbone"] not in ("swidernet", "axial_swidernet"):
        return manifest["backbone"]
    sac = "_sac" if options.get("use_sac_beyond_stride") else ""
    widths = [options[f"{part}_width_multiplier"] for part in ("stem", "backbone")]
    return f"{manifest['backbone']}{sac}_" + "_".join(
        f"{factor:g}" for factor in (*widths, options["backbone_layer_multiplier"])
    )


def build(name, source):
    """The model, or for an ImageNet manifest the backbone, that a manifest describes."""
    manifest = load_manifest(name, source)
    backbone = Backbone.from_variant(
        variant_of(manifest),
        output_stride=manifest["output_stride"],
        image_shape=(*manifest.get("golden_input_size", (129, 257)), 3),
        batch_norm_epsilon=manifest.get("batchnorm", {}).get("epsilon", 1e-3),
    )
    if "decoder" not in manifest:
        return backbone
    label_space = LabelSpace(
        "golden",
        classes=[f"class {i}" for i in range(manifest["num_classes"])],
        things=manifest["class_has_instances_list"],
        ignore_label=manifest["ignore_label"],
        label_divisor=manifest["label_divisor"],
    )
    options = {"train_crop_size": (1025, 2049)}
    if manifest["decoder"] == "panoptic_deeplab":
        options["instance_branch"] = any("instance_decoder" in key for key, _, _ in manifest["checkpoint"])
    if name.startswith("example"):
        # The examples' configurations keep the rates of output stride 16 at 32.
        options["atrous_rates"] = (6, 12, 18)
    return MODELS[manifest["decoder"]](backbone, label_space, **options)


def start_with_zeros(monkeypatch):
    """Makes fresh weights free: half a billion random numbers take longer than everything else."""
    monkeypatch.setattr(
        ScaledNormal,
        "__call__",
        lambda self, shape, dtype=None, **kwargs: ops.convert_to_tensor(np.zeros(shape, "float32")),
    )
