"""Reading images and datasets, and making training batches of them. Names are imported on first use."""

import importlib

_MODULES = {
    "Ade20k": "ade20k",
    "ArrayReader": "arrays",
    "AutoAugment": "autoaugment",
    "CamVid": "camvid",
    "Cityscapes": "cityscapes",
    "CityscapesDvps": "dvps",
    "Coco": "coco",
    "CocoPanoptic": "coco",
    "Dvps": "dvps",
    "FramePairs": "frame_pairs",
    "ImageError": "images",
    "ImageFolder": "folders",
    "KittiStep": "step",
    "MotChallengeStep": "step",
    "PanopticCopyPaste": "copy_paste",
    "Pipeline": "pipeline",
    "PredictionWriter": "writers",
    "RandomScaleCrop": "transforms",
    "ResizeToFit": "transforms",
    "SemKittiDvps": "dvps",
    "Step": "step",
    "StreetScenes": "synthetic",
    "TFRecords": "tfrecord",
    "Waymo": "waymo",
    "Window": "window",
    "decode_image": "images",
    "decode_label": "images",
    "depth_targets": "vip_deeplab_targets",
    "detect_layout": "layouts",
    "list_images": "images",
    "mask_targets": "mask_transformer_targets",
    "motion_targets": "motion_deeplab_targets",
    "open_dataset": "layouts",
    "panoptic_targets": "targets",
    "read_image": "images",
    "read_label": "images",
    "resize_bilinear": "resize",
    "resize_nearest": "resize",
    "semantic_targets": "targets",
    "split_things": "components",
    "to_rgb_array": "images",
    "vip_targets": "vip_deeplab_targets",
    "write_tfrecords": "tfrecord_writer",
    "write_layout": "layout_writers.write",
}

__all__ = sorted(_MODULES)


def __getattr__(name):
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return [*globals(), *__all__]
