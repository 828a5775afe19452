"""DeepLabV3: classes from atrous convolutions at several rates."""

from __future__ import annotations

import keras

from keras_deeplab.decoders.deeplab_v3 import DeepLabV3Decoder
from keras_deeplab.labels import CITYSCAPES, LabelSpace
from keras_deeplab.layers.resize import ResizeLike
from keras_deeplab.losses.semantic import SemanticLoss
from keras_deeplab.models.context import context_options, normalization_options
from keras_deeplab.models.segmenter import Segmenter
from keras_deeplab.postprocessing.panoptic import PanopticPostprocessor


@keras.saving.register_keras_serializable(package="keras_deeplab")
class DeepLabV3(Segmenter):
    """DeepLabV3 (Chen et al. 2017, arXiv 1706.05587), for semantic segmentation.

    Raw heads, at the input's size: `semantic_logits` `[b, h, w, c]`.

    Args:
        backbone: `Backbone` with the feature `res5`.
        label_space: `LabelSpace`, its dict, or the name of a built-in one.
        atrous_rates: three int, or `()` for none; by the backbone when `None`.
        train_crop_size: `(height, width)` or `None`. Crop that the published model was trained on: its
            ASPP averages over windows of that size. `None` averages over the whole image.
        aspp_filters: int. Channels of the ASPP.
        filters: int. Channels of the convolution before the classifier.
        postprocessor: layer from heads to maps; made from the label space when `None`.
        preprocessor: `SegmenterPreprocessor`; made from the backbone's image shape when `None`.
        batch_norm_epsilon: float. Of the decoder; the backbone's when `None`.

    Example:
    ```python
    backbone = ResNetBackbone.from_variant("resnet50", output_stride=16, image_shape=(513, 513, 3))
    maps = DeepLabV3(backbone).predict(images)  # {"semantic": int32 [b, 513, 513], "score": ...}
    ```
    """

    def __init__(
        self,
        backbone,
        label_space=CITYSCAPES,
        atrous_rates: tuple[int, int, int] | None = None,
        train_crop_size: tuple[int, int] | None = None,
        aspp_filters: int = 256,
        filters: int = 256,
        postprocessor=None,
        preprocessor=None,
        batch_norm_epsilon: float | None = None,
        **kwargs,
    ):
        label_space = LabelSpace.create(label_space)
        context = context_options(backbone, atrous_rates, train_crop_size)
        decoder = DeepLabV3Decoder(
            label_space.num_classes,
            filters,
            aspp_filters,
            name="semantic_decoder",
            **context,
            **normalization_options(backbone, batch_norm_epsilon),
        )
        resize = ResizeLike(dtype="float32", name="resize_logits")

        def decode(features, images, scale=1.0):
            return {"semantic_logits": resize(decoder(features, scale=scale), images)}

        postprocessor = postprocessor or PanopticPostprocessor.from_label_space(label_space)
        super().__init__(backbone, decode, label_space, postprocessor, preprocessor, **kwargs)
        self.options = {
            "atrous_rates": atrous_rates,
            "train_crop_size": train_crop_size,
            "aspp_filters": aspp_filters,
            "filters": filters,
            "batch_norm_epsilon": batch_norm_epsilon,
        }

    def default_loss(self) -> SemanticLoss:
        """Cross-entropy over all labelled pixels."""
        return SemanticLoss(self.label_space.ignore_label)

    def get_config(self):
        return {**super().get_config(), **self.options}
