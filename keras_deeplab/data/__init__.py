"""Reading images and datasets, and making training batches of them. Names are imported on first use."""

import importlib

_MODULES = {
    "ArrayReader": "arrays",
    "AutoAugment": "autoaugment",
    "Cityscapes": "cityscapes",
    "ImageError": "images",
    "PanopticCopyPaste": "copy_paste",
    "Pipeline": "pipeline",
    "RandomScaleCrop": "transforms",
    "ResizeToFit": "transforms",
    "StreetScenes": "synthetic",
    "TFRecords": "tfrecord",
    "Window": "window",
    "decode_image": "images",
    "decode_label": "images",
    "depth_targets": "vip_deeplab_targets",
    "list_images": "images",
    "mask_targets": "mask_transformer_targets",
    "motion_targets": "motion_deeplab_targets",
    "panoptic_targets": "targets",
    "read_image": "images",
    "read_label": "images",
    "resize_bilinear": "resize",
    "resize_nearest": "resize",
    "semantic_targets": "targets",
    "to_rgb_array": "images",
    "vip_targets": "vip_deeplab_targets",
    "write_tfrecords": "tfrecord_writer",
}

__all__ = sorted(_MODULES)


def __getattr__(name):
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return [*globals(), *__all__]
