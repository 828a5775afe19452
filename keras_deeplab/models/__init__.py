"""Segmentation models. Importing this package registers all of them, so that presets can name them."""

from keras_deeplab.models.deeplab_v3 import DeepLabV3
from keras_deeplab.models.deeplab_v3_plus import DeepLabV3Plus
from keras_deeplab.models.panoptic_deeplab import PanopticDeepLab
from keras_deeplab.models.preprocessor import SegmenterPreprocessor
from keras_deeplab.models.segmenter import Segmenter

__all__ = ["DeepLabV3", "DeepLabV3Plus", "PanopticDeepLab", "Segmenter", "SegmenterPreprocessor"]
