"""Metrics in plain numpy. Each has `update`, `merge`, `result` and `reset`."""

from keras_deeplab.metrics.instance_ap import InstanceAP
from keras_deeplab.metrics.iou import MeanIoU
from keras_deeplab.metrics.panoptic_quality import PanopticQuality

__all__ = ["InstanceAP", "MeanIoU", "PanopticQuality"]
