"""Metrics in plain numpy. Each has `update`, `merge`, `result` and `reset`."""

from keras_deeplab.metrics.depth import DepthMetrics
from keras_deeplab.metrics.depth_aware_tracking import DepthAwareSTQ
from keras_deeplab.metrics.depth_aware_video import DepthAwareVPQ
from keras_deeplab.metrics.instance_ap import InstanceAP
from keras_deeplab.metrics.iou import MeanIoU
from keras_deeplab.metrics.panoptic_quality import PanopticQuality
from keras_deeplab.metrics.tracking_quality import SegmentationAndTrackingQuality
from keras_deeplab.metrics.video_panoptic_quality import VideoPanopticQuality

__all__ = [
    "DepthAwareSTQ",
    "DepthAwareVPQ",
    "DepthMetrics",
    "InstanceAP",
    "MeanIoU",
    "PanopticQuality",
    "SegmentationAndTrackingQuality",
    "VideoPanopticQuality",
]
