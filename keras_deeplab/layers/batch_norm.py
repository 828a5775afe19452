"""Batch normalisation over one axis or several."""

from __future__ import annotations

import keras
from keras import ops

from keras_deeplab.ops.batch_normalization import normalize_batch


@keras.saving.register_keras_serializable(package="keras_deeplab")
class BatchNormalization(keras.layers.Layer):
    """Normalises with the batch's moments while training, with their moving averages otherwise.

    Ioffe and Szegedy 2015 (arXiv 1502.03167). Shapes stay as they are. The moments are those of the whole
    batch, also where several devices have a part of it each (see `ops/batch_normalization.py`).

    Args:
        axis: int or sequence of int. Axes that keep moments of their own; all others are averaged over.
            With one axis the weights are `[n]`, with several they have the input's rank, with 1 where an
            axis is averaged over.
        momentum: float. What the moving averages keep of themselves in every step.
        epsilon: float. Added to the variance.
        gamma_initializer: initializer of the scale; `"zeros"` ends residual branches.

    Example:
    ```python
    similarities = keras.ops.ones((3, 2, 8, 33, 33))  # term, image, head, query, key
    BatchNormalization(axis=(0, 2))(similarities).shape  # weights are (3, 1, 8, 1, 1)
    ```
    """

    def __init__(
        self,
        axis: int | tuple[int, ...] = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        gamma_initializer="ones",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.axis = axis if isinstance(axis, int) else tuple(axis)
        self.momentum = momentum
        self.epsilon = epsilon
        self.gamma_initializer = keras.initializers.get(gamma_initializer)

    def build(self, input_shape):
        rank = len(input_shape)
        kept = [a % rank for a in ((self.axis,) if isinstance(self.axis, int) else self.axis)]
        self._averaged_axes = tuple(a for a in range(rank) if a not in kept)
        self._broadcast_shape = tuple(n if a in kept else 1 for a, n in enumerate(input_shape))
        shape = (input_shape[self.axis],) if isinstance(self.axis, int) else self._broadcast_shape

        def add(name, initializer, trainable):
            return self.add_weight(
                shape=shape, name=name, initializer=initializer, trainable=trainable, autocast=False
            )

        self.gamma = add("gamma", self.gamma_initializer, True)
        self.beta = add("beta", "zeros", True)
        self.moving_mean = add("moving_mean", "zeros", False)
        self.moving_variance = add("moving_variance", "ones", False)

    def call(self, inputs, training=None):
        x = ops.cast(inputs, "float32")
        if self.uses_batch_moments(training):
            gamma, beta = (ops.reshape(v, self._broadcast_shape) for v in (self.gamma, self.beta))
            x, mean, variance = normalize_batch(x, gamma, beta, self.epsilon, self._averaged_axes)
            for average, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
                value = ops.reshape(value, average.shape)
                average.assign(average * self.momentum + value * (1.0 - self.momentum))
        else:
            scale, shift = (ops.reshape(v, self._broadcast_shape) for v in self.scale_and_shift())
            x = x * scale + shift
        return ops.cast(x, self.compute_dtype)

    def uses_batch_moments(self, training: bool | None) -> bool:
        """Whether a call normalises by its batch's moments; otherwise it does by the moving averages."""
        return bool(training and self.trainable)

    def scale_and_shift(self):
        """What normalising by the moving averages is: two float32 tensors in the weights' shape."""
        scale = self.gamma * ops.rsqrt(self.moving_variance + self.epsilon)
        return scale, self.beta - self.moving_mean * scale

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "axis": self.axis,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "gamma_initializer": keras.initializers.serialize(self.gamma_initializer),
        }
