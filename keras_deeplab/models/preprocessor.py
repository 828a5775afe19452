"""From an image of any size to the network's input, and from the network's maps back to that size."""

from __future__ import annotations

from typing import NamedTuple

import keras
import keras_hub
import numpy as np

from keras_deeplab.data.resize import resize_bilinear, resize_nearest
from keras_deeplab.data.resize_rules import fit_size
from keras_deeplab.data.window import IMAGE_PADDING

RESIZE_RULES = ("shrink", "fit", "none")


class Placement(NamedTuple):
    """Where an image lies in the network's input: top left, `resized` pixels of `original` ones."""

    original: tuple[int, int]
    resized: tuple[int, int]


@keras.saving.register_keras_serializable(package="keras_deeplab")
class SegmenterPreprocessor(keras_hub.models.Preprocessor):
    """Resizes, pads and normalises images.

    Args:
        image_size: `(height, width)` of the network's input, or `None` for networks of any size.
        resize: str. `"shrink"` makes larger images fit (as DeepLab2 evaluates), `"fit"` enlarges smaller
            ones too, `"none"` refuses larger ones.
        size_divisor: int. Without `image_size`, images are padded to the next `k * size_divisor + 1`.

    Called with a batch it only normalises: uint8 or float `[b, h, w, 3]` in 0..255 to [-1, 1].

    Example:
    ```python
    preprocessor = SegmenterPreprocessor(image_size=(1025, 2049))
    pixels, placement = preprocessor.prepare(image)  # float32 [1025, 2049, 3] in 0..255
    preprocessor.restore(semantic_map, placement)  # at the image's own size
    ```
    """

    def __init__(
        self,
        image_size: tuple[int, int] | None = None,
        resize: str = "shrink",
        size_divisor: int = 32,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if resize not in RESIZE_RULES:
            raise ValueError(f"`resize` must be one of {RESIZE_RULES}. Received: {resize!r}")
        if image_size is not None and (len(image_size) != 2 or None in image_size):
            raise ValueError(f"`image_size` must be (height, width) or None. Received: {image_size}")
        self.target_size = None if image_size is None else tuple(image_size)
        self.resize = resize
        self.size_divisor = size_divisor

    @property
    def image_size(self):
        """`(height, width)` of the network's input, or `None`."""
        return self.target_size

    def call(self, x, y=None, sample_weight=None):
        return keras.utils.pack_x_y_sample_weight(x / 127.5 - 1.0, y, sample_weight)

    def prepare(self, image: np.ndarray) -> tuple[np.ndarray, Placement]:
        """Brings one image to the network's size.

        Args:
            image: uint8 or float `[h, w, 3]` in 0..255.

        Returns:
            float32 `[height, width, 3]` in 0..255, padded below and on the right, and its placement.

        Raises:
            ValueError: if the image is too large and `resize` is `"none"`.
        """
        h, w, _ = image.shape
        target = self.target_size or tuple(
            -(-(n - 1) // self.size_divisor) * self.size_divisor + 1 for n in (h, w)
        )
        resized = self._fitting_size((h, w), target)
        pixels = np.full((*target, 3), IMAGE_PADDING, np.float32)
        pixels[: resized[0], : resized[1]] = image if resized == (h, w) else resize_bilinear(image, resized)
        return pixels, Placement((h, w), resized)

    def restore(self, pixel_map: np.ndarray, placement: Placement) -> np.ndarray:
        """Brings one map from the network's size to the image's own, by nearest neighbours.

        Args:
            pixel_map: `[height, width]` of any dtype.
            placement: what `prepare` returned.

        Returns:
            `[h, w]` of the same dtype.
        """
        h, w = placement.resized
        return resize_nearest(pixel_map[:h, :w], placement.original)

    def _fitting_size(self, size, target):
        resized = fit_size(size, target, enlarge=self.resize == "fit")
        if self.resize == "none" and resized != size:
            raise ValueError(
                f"The image has {size[0]}x{size[1]} pixels, the network takes at most "
                f"{target[0]}x{target[1]}. "
                'Use `resize="shrink"`, or build the model with a larger `image_shape`.'
            )
        return resized

    def get_config(self):
        return {
            **super().get_config(),
            "image_size": self.target_size,
            "resize": self.resize,
            "size_divisor": self.size_divisor,
        }
