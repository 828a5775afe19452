"""Learned positions added to a feature map, for attention that cannot tell pixels apart."""

from __future__ import annotations

import keras

from keras_deeplab.layers.batch_norm import BatchNormalization
from keras_deeplab.layers.initializers import ScaledNormal

KINDS = ("2d", "1d")


@keras.saving.register_keras_serializable(package="keras_deeplab")
class AbsolutePositionEncoding(keras.layers.Layer):
    """Adds a learned, batch-normalised vector per place: (b, h, w, c) -> (b, h, w, c).

    The size of the map is fixed when the layer is built.

    Args:
        kind: str. `"2d"` has a vector per pixel; `"1d"` one per row and one per column.
        batch_norm_momentum: float.
        batch_norm_epsilon: float.

    DeepLab2 has the columns' vectors in the shape of the rows', and adds both along the rows. Its
    weights fit square maps only; this layer gives each axis its own.

    Example:
    ```python
    AbsolutePositionEncoding("1d")(keras.ops.zeros((2, 9, 17, 64))).shape  # (2, 9, 17, 64)
    ```
    """

    def __init__(
        self,
        kind: str = "2d",
        batch_norm_momentum: float = 0.99,
        batch_norm_epsilon: float = 1e-3,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if kind not in KINDS:
            raise ValueError(f"`kind` must be one of {KINDS}. Received: {kind!r}")
        self.kind = kind
        self._normalization = {"momentum": batch_norm_momentum, "epsilon": batch_norm_epsilon}

    def build(self, input_shape):
        _, height, width, channels = input_shape
        if None in (height, width):
            raise ValueError(
                "Absolute positions need a fixed size. "
                "Give the backbone an `image_shape` with height and width."
            )
        shapes = {"2d": {"place": (height, width)}, "1d": {"row": (height, 1), "column": (1, width)}}[
            self.kind
        ]
        self.encodings = []
        for name, shape in shapes.items():
            vectors = self.add_weight(
                name=f"{name}_vectors",
                shape=(1, *shape, channels),
                initializer=ScaledNormal(0.2),
            )
            normalize = BatchNormalization(
                name=f"{name}_batch_norm", dtype=self.dtype_policy, **self._normalization
            )
            normalize.build(vectors.shape)
            self.encodings.append((vectors, normalize))

    def call(self, inputs, training=None):
        for vectors, normalize in self.encodings:
            inputs = inputs + normalize(vectors, training=training)
        return inputs

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "kind": self.kind,
            "batch_norm_momentum": self._normalization["momentum"],
            "batch_norm_epsilon": self._normalization["epsilon"],
        }
