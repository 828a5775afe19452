"""Panoptic-DeepLab's post-processing: raw heads to maps."""

from __future__ import annotations

import numbers
from collections.abc import Sequence

import keras
from keras import ops

from keras_deeplab.labels import LabelSpace
from keras_deeplab.ops.classification import classify_pixels
from keras_deeplab.ops.compilation import compiled
from keras_deeplab.ops.grouping import group_pixels
from keras_deeplab.ops.peaks import find_centers
from keras_deeplab.ops.segments import class_mask, count_segments, look_up, pair_with_class, panoptic_ids


def _merge_with_score(
    semantic,
    probability,
    instance,
    heat,
    *,
    things,
    label_divisor,
    ignore_label,
    stuff_area_limit,
    num_classes,
):
    """Panoptic map and score."""
    # What a pixel becomes depends only on its pair of instance and class: count the pairs, decide on
    # each once, look the decisions up.
    num_instances = heat.shape[1]
    num_pairs = (num_instances + 1) * num_classes
    pairs = pair_with_class(instance, semantic, num_classes)
    counts = ops.reshape(count_segments(pairs, num_pairs), (-1, num_instances + 1, num_classes))
    ids = panoptic_ids(counts, things, label_divisor, ignore_label, stuff_area_limit)
    weights = ops.where(class_mask(things, num_classes), ops.pad(heat, [[0, 0], [1, 0]])[:, :, None], 1.0)
    weights = ops.where(ids == ignore_label * label_divisor, 0.0, weights)
    panoptic = look_up(ops.reshape(ids, (-1, num_pairs)), pairs)
    return panoptic, probability * look_up(ops.reshape(weights, (-1, num_pairs)), pairs)


_classify_pixels = compiled(classify_pixels)
_find_centers = compiled(find_centers, static=("threshold", "nms_kernel", "top_k"))
_group_pixels = compiled(group_pixels)
_CENTER_SETTINGS = ("center_threshold", "nms_kernel", "top_k")
_MERGE_SETTINGS = ("things", "label_divisor", "ignore_label", "stuff_area_limit")
_merge = compiled(_merge_with_score, static=(*_MERGE_SETTINGS, "num_classes"))


@keras.saving.register_keras_serializable(package="keras_deeplab")
class PanopticPostprocessor(keras.layers.Layer):
    """Turns the heads of Panoptic-DeepLab into panoptic, semantic and instance maps.

    Instance centres are the peaks of the heat map; each thing pixel belongs to the centre nearest to
    where its offset points; each instance takes the class of most of its pixels (Cheng et al. 2020,
    section 3.2). Heads without centres, of a semantic-only model, give the semantic map and the score.

    Args:
        things: sequence of int. The classes that have instances.
        label_divisor: int. Number of instance ids per class, including 0.
        ignore_label: int. Class of void pixels, outside of the classes or one of them.
        center_threshold: float >= 0. Centres have more heat than this.
        nms_kernel: int. Side of the window, in pixels, in which a centre is the hottest pixel.
        top_k: int. Largest number of instances of an image.
        stuff_area_limit: int. Stuff classes of fewer pixels than this become void.

    Raises:
        ValueError: when an argument is out of range; the message names it.

    Call arguments:
        heads: dict of float tensors `"semantic_logits"` `(b, h, w, c)`, `"center_heatmap"` `(b, h, w, 1)`
            and `"center_offset"` `(b, h, w, 2)`, `(y, x)` in pixels. Others are not looked at.

    Returns:
        Dict of tensors:
        - `"panoptic"`: int32 `(b, h, w)`, `class * label_divisor + instance`; instances count from 1
          within their class; `ignore_label * label_divisor` is void.
        - `"semantic"`: int32 `(b, h, w)`, the class with the highest logit.
        - `"instance"`: int32 `(b, h, w)`, one plus the row of the pixel's centre; 0 for none.
        - `"score"`: float32 `(b, h, w)`, the probability of the pixel's class, times the heat of its
          centre where it has one; 0 in void.
        - `"centers"`: float32 `(b, top_k, 3)`, rows `(y, x, score)`; unused rows are zero.

    Example:
    ```python
    postprocessor = PanopticPostprocessor(things=[1, 2])
    heads = {
        "semantic_logits": np.random.rand(1, 33, 65, 3),
        "center_heatmap": np.random.rand(1, 33, 65, 1),
        "center_offset": np.zeros((1, 33, 65, 2)),
    }
    postprocessor(heads)["panoptic"]
    ```
    """

    def __init__(
        self,
        things: Sequence[int],
        label_divisor: int = 1000,
        ignore_label: int = 255,
        center_threshold: float = 0.1,
        nms_kernel: int = 13,
        top_k: int = 400,
        stuff_area_limit: int = 0,
        **kwargs,
    ):
        # Half precision cannot hold pixel coordinates; the heads are taken as they come and cast.
        super().__init__(autocast=False, **{"dtype": "float32", **kwargs})
        self.things = tuple(sorted(_integer("things", c, minimum=0) for c in things))
        self.label_divisor = _integer("label_divisor", label_divisor, minimum=2 if self.things else 1)
        self.ignore_label = _integer("ignore_label", ignore_label, minimum=0)
        self.nms_kernel = _integer("nms_kernel", nms_kernel, minimum=1)
        self.top_k = _integer("top_k", top_k, minimum=1)
        self.stuff_area_limit = _integer("stuff_area_limit", stuff_area_limit, minimum=0)
        self.center_threshold = float(center_threshold)
        if not self.center_threshold >= 0:
            raise ValueError(f"`center_threshold` must be at least 0. Received: {center_threshold}")
        if self.ignore_label in self.things:
            raise ValueError(f"`ignore_label` must not be one of `things`. Received: {ignore_label}")

    @classmethod
    def from_label_space(cls, label_space: LabelSpace, **settings) -> PanopticPostprocessor:
        """Takes things, divisor and ignored label from a label space.

        Args:
            label_space: `LabelSpace`.
            **settings: the other constructor arguments.
        """
        return cls(label_space.things, label_space.label_divisor, label_space.ignore_label, **settings)

    def build(self, heads_shape):
        num_classes = heads_shape["semantic_logits"][-1]
        if self.things and self.things[-1] >= num_classes:
            raise ValueError(
                f"`things` must be below the {num_classes} classes of the logits. Received: {self.things}"
            )
        if (max(self.ignore_label, num_classes - 1) + 1) * self.label_divisor > 2**31:
            raise ValueError(
                f"`label_divisor` is too large for int32 panoptic ids. Received: {self.label_divisor}"
            )

    def call(self, heads):
        # Maps have no gradient; without one, torch may work in place.
        heads = {name: ops.stop_gradient(ops.convert_to_tensor(head)) for name, head in heads.items()}
        logits = heads["semantic_logits"]
        semantic, probability = _classify_pixels(logits)
        if "center_heatmap" not in heads:
            return {"semantic": semantic, "score": probability}
        centers, heat = _find_centers(
            heads["center_heatmap"],
            threshold=self.center_threshold,
            nms_kernel=self.nms_kernel,
            top_k=self.top_k,
        )
        num_classes = logits.shape[-1]
        is_thing = ops.take(class_mask(self.things, num_classes), semantic)
        instance = _group_pixels(centers, heat, heads["center_offset"], is_thing)
        settings = {name: getattr(self, name) for name in _MERGE_SETTINGS}
        panoptic, score = _merge(semantic, probability, instance, heat, num_classes=num_classes, **settings)
        return {
            "panoptic": panoptic,
            "semantic": semantic,
            "instance": instance,
            "score": score,
            "centers": ops.concatenate([ops.cast(centers, "float32"), heat[..., None]], axis=-1),
        }

    def compute_output_spec(self, heads):
        batch, height, width, _ = heads["semantic_logits"].shape
        specs = {"semantic": "int32", "score": "float32"}
        if "center_heatmap" in heads:
            specs |= {"panoptic": "int32", "instance": "int32"}
        maps = {name: keras.KerasTensor((batch, height, width), dtype) for name, dtype in specs.items()}
        if "center_heatmap" in heads:
            maps["centers"] = keras.KerasTensor((batch, self.top_k, 3), "float32")
        return maps

    def get_config(self):
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in (*_MERGE_SETTINGS, *_CENTER_SETTINGS)},
        }


def _integer(name, value, minimum):
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < minimum:
        raise ValueError(f"`{name}` must be an integer of at least {minimum}. Received: {value!r}")
    return int(value)
