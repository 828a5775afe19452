"""Stochastic depth: images that skip a residual branch while training."""

from __future__ import annotations

import keras
from keras import ops

SCHEDULES = ("constant", "linear")


@keras.saving.register_keras_serializable(package="keras_deeplab")
class DropPath(keras.layers.Layer):
    """Zeroes whole images with a probability, and scales up the others: (b, ...) -> (b, ...).

    Acts while training alone (Huang et al. 2016, arXiv 1603.09382).

    Args:
        rate: float in [0, 1). Probability that an image is dropped.

    Example:
    ```python
    DropPath(0.2)(keras.ops.ones((8, 9, 9, 64)), training=True)  # each image is 0 or 1.25
    ```
    """

    def __init__(self, rate: float, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"`rate` must lie in [0, 1). Received: {rate}")
        self.rate = rate
        if rate > 0:
            self.seed_generator = keras.random.SeedGenerator()

    def call(self, inputs, training=None):
        if not training or self.rate == 0:
            return inputs
        return inputs * self.draw_mask(inputs)

    def draw_mask(self, like):
        """One factor per image, 0 or `1 / (1 - rate)`, that broadcasts over a tensor like the given one."""
        keep = 1.0 - self.rate
        shape = (ops.shape(like)[0],) + (1,) * (len(like.shape) - 1)
        mask = ops.floor(keep + keras.random.uniform(shape, seed=self.seed_generator)) / keep
        return ops.cast(mask, like.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}


def scheduled_rate(rate: float, schedule: str, stage: int, num_stages: int) -> float:
    """The drop path rate of one stage of a network.

    Args:
        rate: float. Rate of the last stage.
        schedule: str. `"constant"`, or `"linear"`: growing from 0 before the first stage to `rate`.
        stage: int in 0..`num_stages`.
        num_stages: int.

    Returns:
        float.

    Raises:
        ValueError: if the schedule is unknown.

    Example:
    ```python
    scheduled_rate(0.2, "linear", stage=3, num_stages=4)  # 0.15
    ```
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"`drop_path_schedule` must be one of {SCHEDULES}. Received: {schedule!r}")
    return rate if schedule == "constant" else rate * stage / num_stages
