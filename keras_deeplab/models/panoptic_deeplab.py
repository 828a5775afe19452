"""Panoptic-DeepLab: semantic classes, instance centres and offsets to them, from one network."""

from __future__ import annotations

import keras

from keras_deeplab.decoders.panoptic import PanopticDecoder, PredictionHead
from keras_deeplab.labels import CITYSCAPES, LabelSpace
from keras_deeplab.layers.resize import ResizeLike
from keras_deeplab.losses.dense import PanopticDeepLabLoss
from keras_deeplab.models.context import context_options, normalization_options
from keras_deeplab.models.segmenter import Segmenter
from keras_deeplab.postprocessing.panoptic import PanopticPostprocessor


@keras.saving.register_keras_serializable(package="keras_deeplab")
class PanopticDeepLab(Segmenter):
    """Panoptic-DeepLab (Cheng et al. 2020, arXiv 1911.10194); with an axial backbone, Axial-DeepLab.

    Two decoders share the backbone: one predicts classes, the other a heat map of instance centres and
    each pixel's offset to its centre. Post-processing groups thing pixels around the centres.

    Raw heads, at the input's size: `semantic_logits` `[b, h, w, c]`, `center_heatmap` `[b, h, w, 1]`,
    `center_offset` `[b, h, w, 2]` (y, x in pixels).

    Args:
        backbone: `Backbone` with features `res2`, `res3`, `res5`.
        label_space: `LabelSpace`, its dict, or the name of a built-in one.
        atrous_rates: three int. Rates of the ASPPs; by the backbone's output stride when `None`. `()`, the
            default on top of axial attention, makes the ASPPs projections: that is Axial-DeepLab.
        train_crop_size: `(height, width)` or `None`. Crop that the published model was trained on: its
            ASPP averages over windows of that size. `None` averages over the whole image.
        instance_branch: bool. With `False` the model is semantic only, without the instance decoder.
        aspp_filters: int. Channels of the ASPPs.
        semantic_filters: int. Channels of the semantic decoder and head.
        instance_filters: int. Channels of the instance decoder.
        instance_head_filters: int. Channels of the centre and offset heads.
        semantic_low_levels: two int. Channels that `res3` and `res2` are projected to.
        instance_low_levels: two int. The same for the instance decoder.
        postprocessor: `PanopticPostprocessor`; made from the label space when `None`.
        preprocessor: `SegmenterPreprocessor`; made from the backbone's image shape when `None`.
        batch_norm_epsilon: float. Of the decoders; the backbone's when `None`.

    Example:
    ```python
    backbone = MobileNetV3Backbone.from_variant("mobilenet_v3_small", image_shape=(257, 513, 3))
    model = PanopticDeepLab(backbone, label_space="cityscapes")
    maps = model.predict(images)  # uint8 [b, 257, 513, 3] -> {"panoptic": int32 [b, 257, 513], ...}
    ```
    """

    def __init__(
        self,
        backbone,
        label_space=CITYSCAPES,
        atrous_rates: tuple[int, int, int] | None = None,
        train_crop_size: tuple[int, int] | None = None,
        instance_branch: bool = True,
        aspp_filters: int = 256,
        semantic_filters: int = 256,
        instance_filters: int = 128,
        instance_head_filters: int = 32,
        semantic_low_levels: tuple[int, int] = (64, 32),
        instance_low_levels: tuple[int, int] = (32, 16),
        postprocessor=None,
        preprocessor=None,
        batch_norm_epsilon: float | None = None,
        **kwargs,
    ):
        label_space = LabelSpace.create(label_space)
        context = context_options(backbone, atrous_rates, train_crop_size)
        options = normalization_options(backbone, batch_norm_epsilon)

        def branch(name, filters, low_levels, heads):
            """A decoder, and the heads on it: name -> (layer, layer that resizes its output)."""
            levels = tuple(zip(("res3", "res2"), low_levels, strict=True))
            decoder = PanopticDecoder(
                filters, aspp_filters, low_levels=levels, name=name, **context, **options
            )
            return decoder, {
                name: (
                    PredictionHead(head_filters, outputs, name=layer_name, **options),
                    ResizeLike(name == "center_offset", dtype="float32", name=f"resize_{layer_name}"),
                )
                for name, layer_name, head_filters, outputs in heads
            }

        semantic_heads = [("semantic_logits", "semantic_head", semantic_filters, label_space.num_classes)]
        branches = [branch("semantic_decoder", semantic_filters, semantic_low_levels, semantic_heads)]
        if instance_branch:
            instance_heads = [
                ("center_heatmap", "center_head", instance_head_filters, 1),
                ("center_offset", "offset_head", instance_head_filters, 2),
            ]
            branches.append(branch("instance_decoder", instance_filters, instance_low_levels, instance_heads))

        def decode(features, images, scale=1.0):
            heads = {}
            for decoder, predictions in branches:
                decoded = decoder(features, scale=scale)
                for name, (predict, resize) in predictions.items():
                    heads[name] = resize(predict(decoded), images)
            return heads

        super().__init__(
            backbone,
            decode,
            label_space,
            postprocessor or PanopticPostprocessor.from_label_space(label_space),
            preprocessor,
            **kwargs,
        )
        self.options = {
            "atrous_rates": atrous_rates,
            "train_crop_size": train_crop_size,
            "instance_branch": instance_branch,
            "aspp_filters": aspp_filters,
            "semantic_filters": semantic_filters,
            "instance_filters": instance_filters,
            "instance_head_filters": instance_head_filters,
            "semantic_low_levels": semantic_low_levels,
            "instance_low_levels": instance_low_levels,
            "batch_norm_epsilon": batch_norm_epsilon,
        }

    def default_loss(self) -> PanopticDeepLabLoss:
        """The published loss, for this model's label space."""
        return PanopticDeepLabLoss(self.label_space.ignore_label)

    def get_config(self):
        return {**super().get_config(), **self.options}
