"""Samples that are already in memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_deeplab.data.images import to_rgb_array
from keras_deeplab.labels import LabelSpace


class ArrayReader:
    """Images and panoptic maps from memory, as a random-access sequence of samples.

    Args:
        images: array `[N, H, W, 3]` or sequence of images of any sizes; each as `to_rgb_array` takes it.
        panoptic_maps: integer array `[N, H, W]` or sequence of integer `[H, W]`,
            `class * label_divisor + instance`. `None` for images only.
        label_space: `LabelSpace` of the maps.
        names: sequence of str, one per image. `"0"`, `"1"`, ... when `None`.

    Raises:
        ValueError: when the lengths differ or nothing is there; when a sample is read, for an image
            or a map that cannot be used or sizes that differ.

    Example:
    ```python
    reader = ArrayReader(np.zeros((2, 65, 65, 3), np.uint8), np.zeros((2, 65, 65), np.int32), CITYSCAPES)
    reader[0]["image"].shape  # (65, 65, 3)
    ```
    """

    def __init__(
        self,
        images: Sequence,
        panoptic_maps: Sequence | None,
        label_space: LabelSpace,
        names: Sequence[str] | None = None,
    ):
        self.images = images
        self.panoptic_maps = panoptic_maps
        self.label_space = LabelSpace.create(label_space)
        self.names = [str(i) for i in range(len(images))] if names is None else list(names)
        if len(images) == 0:
            raise ValueError("`images` is empty.")
        for field, value in (("panoptic_maps", panoptic_maps), ("names", self.names)):
            if value is not None and len(value) != len(images):
                raise ValueError(f"There are {len(images)} `images` but {len(value)} `{field}`.")

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict:
        name = self.names[index]
        try:
            sample = {"name": name, "image": to_rgb_array(self.images[index])}
        except ValueError as error:
            raise ValueError(f"Image {name!r}: {error}") from error
        if self.panoptic_maps is not None:
            sample["panoptic"] = self._panoptic(index, sample["image"].shape[:2])
        return sample

    def __repr__(self) -> str:
        return f"ArrayReader({len(self)} images, label_space={self.label_space.name!r})"

    def _panoptic(self, index, image_size):
        panoptic = np.asarray(self.panoptic_maps[index])
        if not np.issubdtype(panoptic.dtype, np.integer):
            raise ValueError(
                f"The panoptic map of image {self.names[index]!r} must hold integers. "
                f"Received: {panoptic.dtype}"
            )
        if panoptic.shape != image_size:
            raise ValueError(
                f"The panoptic map of image {self.names[index]!r} has shape {panoptic.shape}, "
                f"but the image is {image_size[0]}x{image_size[1]}."
            )
        return panoptic.astype(np.int32)
