"""Backbones. Importing this package registers all of them, so that variants and presets can name them."""

from keras_deeplab.backbones.backbone import Backbone
from keras_deeplab.backbones.mobilenet_v3 import MobileNetV3Backbone
from keras_deeplab.backbones.resnet import ResNetBackbone

__all__ = ["Backbone", "MobileNetV3Backbone", "ResNetBackbone"]
