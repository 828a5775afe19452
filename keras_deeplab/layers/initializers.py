"""Random initial weights drawn by numpy.

The same seed (`keras.utils.set_random_seed`) gives the same weights on every backend, and nothing is
compiled: JAX would compile one program per shape, a minute for a ResNet-50.
"""

from __future__ import annotations

import math

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="keras_deeplab")
class ScaledNormal(keras.initializers.Initializer):
    """Normal numbers cut off at two standard deviations.

    Args:
        scale: float. With a `fan`, the variance is `scale / fan`; He et al. 2015 (arXiv 1502.01852): 2.
        fan: str or `None`. `"in"` or `"average"` of the kernel's inputs and outputs; with `None`,
            `scale` is the standard deviation itself.

    Example:
    ```python
    ScaledNormal(2.0, fan="in")((3, 3, 64, 128))  # He's initialisation
    ```
    """

    def __init__(self, scale: float, fan: str | None = None):
        if fan not in (None, "in", "average"):
            raise ValueError(f'`fan` must be "in", "average" or None. Received: {fan!r}')
        self.scale = scale
        self.fan = fan

    def __call__(self, shape, dtype=None, **kwargs):
        # Cutting off makes the numbers narrower; the divisor is what is left of the deviation.
        deviation = (
            self.scale if self.fan is None else math.sqrt(self.scale / self._fan_size(shape)) / 0.8796256
        )
        return ops.convert_to_tensor(
            deviation * _truncated_normal(shape), dtype=dtype or keras.config.floatx()
        )

    def _fan_size(self, shape):
        receptive_field = math.prod(shape[:-2])
        fan_in, fan_out = receptive_field * shape[-2], receptive_field * shape[-1]
        return fan_in if self.fan == "in" else (fan_in + fan_out) / 2

    def get_config(self):
        return {"scale": self.scale, "fan": self.fan}


def _truncated_normal(shape):
    numbers = np.random.standard_normal(shape)
    while (outside := np.abs(numbers) > 2).any():
        numbers[outside] = np.random.standard_normal(np.count_nonzero(outside))
    return numbers
