"""Reads one sample and makes it ready to be batched."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np

from keras_deeplab.data.transforms import Transform
from keras_deeplab.labels import LabelSpace

ON_ERROR = ("raise", "skip")

_LOGGER = logging.getLogger("keras_deeplab")


class SampleLoader:
    """Reads samples, transforms them, and computes their targets.

    Args:
        reader: sequence of samples `{"image", "panoptic", "name"}`.
        image_size: `(height, width)` that `transform` makes.
        transform: callable `(sample, rng) -> sample`.
        targets: callable `(panoptic, label_space) -> dict of arrays`, or `None` for images only.
        label_space: `LabelSpace` of the samples.
        on_error: `"raise"`, or `"skip"` to leave out samples that cannot be used, with a warning in the log
            of `keras_deeplab` for each.

    Raises:
        ValueError: for another `on_error`.
    """

    def __init__(
        self,
        reader: Sequence,
        image_size: tuple[int, int],
        transform: Transform,
        targets: Callable[[np.ndarray, LabelSpace], dict] | None,
        label_space: LabelSpace,
        on_error: str = "raise",
    ):
        if on_error not in ON_ERROR:
            raise ValueError(f"`on_error` must be 'raise' or 'skip'. Received: on_error={on_error!r}")
        self.reader = reader
        self.image_size = image_size
        self.transform = transform
        self.targets = targets
        self.label_space = label_space
        self.on_error = on_error

    def __call__(self, index: int, rng: np.random.Generator) -> tuple | np.ndarray | None:
        """The normalised image, with its targets unless these are `None`; `None` for a skipped sample."""
        try:
            return self._prepare(self.reader[index], rng)
        except (ValueError, OSError) as error:
            if self.on_error == "raise":
                raise
            _LOGGER.warning("Skipped sample %d: %s", index, error)
            return None

    def _prepare(self, sample, rng):
        name = sample.get("name", "")
        if "image" not in sample:
            raise ValueError(f"Sample {name!r} of {self.reader!r} has no image.")
        if self.targets is not None and "panoptic" not in sample:
            raise ValueError(f"Sample {name!r} has no panoptic map. Pass targets=None for images only.")
        sample = self.transform(sample, rng)
        if sample["image"].shape != (*self.image_size, 3):
            raise ValueError(
                f"`transform` made an image of shape {sample['image'].shape}. "
                f"Expected: {(*self.image_size, 3)}"
            )
        image = np.divide(sample["image"], np.float32(127.5), dtype=np.float32)
        image -= np.float32(1)
        if self.targets is None:
            return image
        try:
            return image, self.targets(sample["panoptic"], self.label_space)
        except ValueError as error:
            raise ValueError(f"Sample {name!r}: {error}") from error
