"""What `Segmenter.fit` and `evaluate` take, as Keras takes it."""

from __future__ import annotations

import numpy as np

from keras_deeplab.data.pipeline import Pipeline
from keras_deeplab.labels import LabelSpace, check_same_classes


def training_data(model, x, y, batch_size: int, training: bool) -> tuple:
    """What Keras iterates over, and its number of steps, `None` where that is not known.

    Args:
        model: `Segmenter`.
        x: `data.Pipeline`, images `[n, h, w, 3]`, or any data set that Keras takes.
        y: panoptic maps `[n, h, w]` when `x` are images, else `None`.
        batch_size: int. Of images.
        training: bool. Whether images are shuffled and repeated.

    Raises:
        ValueError: when a pipeline has other classes than the model, or arrays do not go together.
    """
    if y is not None:
        x = _array_pipeline(model, x, y, batch_size, training)
    if isinstance(x, Pipeline):
        check_same_classes(model.label_space, x.label_space)
        return x.dataset, len(x)
    return x, None


def _array_pipeline(model, images, panoptic_maps, batch_size, training):
    from keras_deeplab.data.arrays import ArrayReader

    reader = ArrayReader(images, panoptic_maps, LabelSpace.create(model.label_space))
    size = model.preprocessor.image_size or np.asarray(images[0]).shape[:2]
    return Pipeline(
        reader, image_size=size, batch_size=min(batch_size, len(reader)), training=training,
        scales=None, flip=False,
    )  # fmt: skip
