"""Reading images and datasets, and making training batches of them. Names are imported on first use."""

import importlib

_MODULES = {
    "ArrayReader": "arrays",
    "Cityscapes": "cityscapes",
    "ImageError": "images",
    "Pipeline": "pipeline",
    "RandomScaleCrop": "transforms",
    "ResizeToFit": "transforms",
    "StreetScenes": "synthetic",
    "TFRecords": "tfrecord",
    "Window": "transforms",
    "decode_image": "images",
    "decode_label": "images",
    "list_images": "images",
    "panoptic_targets": "targets",
    "read_image": "images",
    "read_label": "images",
    "resize_bilinear": "resize",
    "resize_nearest": "resize",
    "semantic_targets": "targets",
    "to_rgb_array": "images",
    "write_tfrecords": "tfrecord_writer",
}

__all__ = sorted(_MODULES)


def __getattr__(name):
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return [*globals(), *__all__]
