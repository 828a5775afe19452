"""The DeepLab family for Keras 3: panoptic segmentation on TensorFlow, JAX and PyTorch.

Names load when they are first used, so that label spaces, data and metrics stay free of any backend.
"""

import importlib
from typing import TYPE_CHECKING

from keras_deeplab.version import __version__

if TYPE_CHECKING:
    from keras_deeplab import (
        data,
        hub,
        labels,
        layers,
        losses,
        metrics,
        models,
        ops,
        postprocessing,
        training,
    )
    from keras_deeplab.backbones import Backbone
    from keras_deeplab.backbones.mobilenet_v3 import MobileNetV3Backbone
    from keras_deeplab.backbones.resnet import ResNetBackbone
    from keras_deeplab.evaluation.callback import PanopticEvaluation
    from keras_deeplab.evaluation.compare import compare
    from keras_deeplab.evaluation.evaluate import evaluate
    from keras_deeplab.hub.upload import upload_preset
    from keras_deeplab.labels import CITYSCAPES, LabelSpace
    from keras_deeplab.models.deeplab_v3 import DeepLabV3
    from keras_deeplab.models.deeplab_v3_plus import DeepLabV3Plus
    from keras_deeplab.models.panoptic_deeplab import PanopticDeepLab
    from keras_deeplab.models.segmenter import Segmenter
    from keras_deeplab.results import Segmentation
    from keras_deeplab.training.recipes import Recipe, recipe
    from keras_deeplab.training.run import train

_HOMES = {
    "Backbone": "backbones",
    "CITYSCAPES": "labels",
    "DeepLabV3": "models.deeplab_v3",
    "DeepLabV3Plus": "models.deeplab_v3_plus",
    "LabelSpace": "labels",
    "MobileNetV3Backbone": "backbones.mobilenet_v3",
    "PanopticDeepLab": "models.panoptic_deeplab",
    "PanopticEvaluation": "evaluation.callback",
    "Recipe": "training.recipes",
    "ResNetBackbone": "backbones.resnet",
    "Segmentation": "results",
    "Segmenter": "models.segmenter",
    "compare": "evaluation.compare",
    "evaluate": "evaluation.evaluate",
    "recipe": "training.recipes",
    "train": "training.run",
    "upload_preset": "hub.upload",
}

__all__ = [
    "CITYSCAPES", "Backbone", "DeepLabV3", "DeepLabV3Plus", "LabelSpace", "MobileNetV3Backbone",
    "PanopticDeepLab", "PanopticEvaluation", "Recipe", "ResNetBackbone", "Segmentation", "Segmenter",
    "__version__", "compare", "data", "evaluate", "hub", "labels", "layers", "losses", "metrics", "models",
    "ops", "postprocessing", "recipe", "train", "training", "upload_preset",
]  # fmt: skip


def __getattr__(name):
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name not in _HOMES:
        return importlib.import_module(f"{__name__}.{name}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(__all__)
