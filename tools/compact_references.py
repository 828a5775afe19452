"""Writes `tests/reference/`: small samples of the full DeepLab2 reference set.

    python tools/compact_references.py FULL_REFERENCE_FOLDER

Components keep the cases that the table names. Goldens keep the input, every head on a coarse grid and
the per-channel means of intermediate features. Manifests keep the checkpoint's keys and shapes.
"""

import argparse
import json
import pathlib
import re

import numpy as np

TARGET = pathlib.Path(__file__).parents[1] / "tests" / "reference"

# Component file -> the keys to keep, as a regular expression on "case/(in|out|grad)/name".
COMPONENTS = {
    "c01_losses_base": r"(semantic|onehot1d|center_|offset_|family/panoptic|family/semantic_only).*",
    "c02_panoptic_deeplab_small": r".*",
    "c02_panoptic_deeplab_257x513": r"real257x513_1/.*",
    "c03_targets_cityscapes": (
        r"(city_(flip|sigma3_noweights|crop|scale0\.7|eval_pad|eval_downsize_to_crop|all_things_crowd)"
        r"|synthetic_rounding)/.*"
    ),
    "c03_targets_coco": (
        r"coco_(train_resize_scale1\.3|eval_resize)/(?!.*image).*|copy_paste_all_random_none/.*"
    ),
    "c03_targets_video": r"(motion_train_flip|vip_train_scale1\.5|vip_eval_pad)/(?!.*image).*",
    "c04_autoaugment": (
        r"in/(tiny|const_r|lowcontrast)|autoaug/.*/(tiny|const_r)"
        r"|autoaug/((AutoContrast|Equalize)/level0|(Color|Contrast|Sharpness)/level1\.8)/lowcontrast|policies"
    ),
    "c04_preprocess": (
        r"in/(t|li|label)|(resize_to_range\d|scale\d\.\d+|pad1)/label|resize_bilinear/.*"
        r"|resize_align_corners_nearest/.*|undo.*|resize_to_range_helper|random_scale_candidates"
    ),
    "c07_axial": r".*",
    "c07_misc_layers": r".*",
    "c05_instance_ap": r"(city|coco)/scores2d/.*",
    "c05_pq_miou": r"(hand|cityscapes_small_11imgs_one_empty|coco)/?.*",
    "c05_stq": r".*",
    "c05_video_depth": r"seq0/.*|dstq_no_valid_depth",
    "c09_optim": r".*",
}

GOLDENS = {
    "cityscapes__panoptic_deeplab__mobilenet_v3_small_os16",
    "cityscapes__panoptic_deeplab__mobilenet_v3_small_os32",
    "cityscapes__panoptic_deeplab__mobilenet_v3_large_os16",
    "cityscapes__panoptic_deeplab__mobilenet_v3_large_os32",
    "cityscapes__panoptic_deeplab__resnet50_os32_merge_with_pure_tf_func",
    "cityscapes__panoptic_deeplab__resnet50_beta_os32",
    "cityscapes__panoptic_deeplab__wide_resnet41_os16",
    "cityscapes__panoptic_deeplab__swidernet_sac_1_1_1_os16",
    "cityscapes__axial_deeplab__axial_swidernet_1_1_1_os16",
    "cityscapes__axial_deeplab__max_deeplab_s_backbone_os16",
    "cityscapes__axial_deeplab__max_deeplab_l_backbone_os16",
    "example__example_cityscapes_deeplabv3",
    "example__example_cityscapes_deeplabv3_mv3l",
    "example__example_cityscapes_deeplabv3plus",
}
# Networks whose variables are compared, but not their outputs.
MANIFESTS = {
    "cityscapes__panoptic_deeplab__swidernet_sac_1_1_4.5_os16",
    "cityscapes__axial_deeplab__axial_swidernet_1_1_4.5_os16",
    "imagenet__axial_resnet50_gelu",
    "imagenet__max_deeplab_l_backbone",
}
GRID = {"semantic_logits": 16, "center_heatmap": 6, "offset_map": 6}
MANIFEST_FIELDS = (
    "backbone", "backbone_options", "decoder", "num_classes", "ignore_label", "class_has_instances_list",
    "label_divisor", "output_stride", "batchnorm", "golden", "golden_input_size", "checkpoint",
    "parameter_count", "trainable_parameter_count",
)  # fmt: skip


def compact_component(source, target, name, pattern):
    with np.load(source / "components" / f"{name}.npz") as archive:
        arrays = {k: archive[k] for k in archive.files if k == "__meta__" or re.fullmatch(pattern, k)}
    meta = json.loads(arrays.pop("__meta__").tobytes().decode())
    meta["dtypes"] = {k: v for k, v in meta["dtypes"].items() if k in arrays}
    meta["cases"] = {
        case: parameters
        for case, parameters in meta["cases"].items()
        if any(key.startswith(case + "/") for key in arrays) or re.fullmatch(pattern, case)
    }
    arrays["__meta__"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    np.savez_compressed(target / f"{name}.npz", **arrays)


def compact_golden(source, target, name):
    kept = {}
    with np.load(source / "goldens" / f"{name}.npz") as archive:
        kept["input"] = archive["input"]
        for head, stride in GRID.items():
            if f"out/{head}" not in archive.files:
                continue
            stored = int(archive[f"stride/{head}"])
            step = max(1, stride // stored)
            kept[f"out/{head}"] = archive[f"out/{head}"][:, ::step, ::step]
            kept[f"stride/{head}"] = np.int64(stored * step)
            kept[f"stats/{head}"] = archive[f"stats/{head}"]
        for head in ("panoptic_pred", "semantic_pred"):
            if f"out/{head}" in archive.files:
                kept[f"out/{head}"] = archive[f"out/{head}"]
        for key in archive.files:
            if re.fullmatch(r"feat/.*/mean", key):
                kept[key] = archive[key]
    np.savez_compressed(target / f"{name}.npz", **kept)


def compact_manifest(source, target, name):
    manifest = json.loads((source / "manifests" / f"{name}.json").read_text())
    kept = {field: manifest[field] for field in MANIFEST_FIELDS if field in manifest}
    if not (target.parent / "goldens" / f"{name}.npz").is_file():
        kept.pop("golden", None)
    (target / f"{name}.json").write_text(json.dumps(kept, separators=(",", ":")) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=pathlib.Path, help="folder with components/, goldens/ and manifests/")
    source = parser.parse_args().source
    for folder in (TARGET, TARGET / "goldens", TARGET / "manifests"):
        folder.mkdir(parents=True, exist_ok=True)
    for name, pattern in COMPONENTS.items():
        compact_component(source, TARGET, name, pattern)
    for name in sorted(GOLDENS):
        compact_golden(source, TARGET / "goldens", name)
    for name in sorted(GOLDENS | MANIFESTS):
        compact_manifest(source, TARGET / "manifests", name)
    size = sum(path.stat().st_size for path in TARGET.rglob("*") if path.is_file())
    print(f"{TARGET}: {size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
