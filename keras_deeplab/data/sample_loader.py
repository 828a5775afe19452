"""Reads one sample and makes it ready to be batched."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence

import numpy as np

from keras_deeplab.data.copy_paste import PanopticCopyPaste
from keras_deeplab.data.transforms import Transform
from keras_deeplab.data.window import IMAGE_FIELDS
from keras_deeplab.labels import LabelSpace

ON_ERROR = ("raise", "skip")

_LOGGER = logging.getLogger("keras_deeplab")


class SampleLoader:
    """Reads samples, transforms them, and computes their targets.

    Args:
        reader: sequence of samples `{"image", "panoptic", "name"}`.
        image_size: `(height, width)` that `transform` makes.
        transform: callable `(sample, rng) -> sample`.
        targets: callable `(sample, label_space, rng) -> dict of arrays`, or `None` for images only.
        label_space: `LabelSpace` of the samples.
        paste: callable `(sample, reader, rng) -> sample` after `transform`, e.g. `RandomPaste`, or `None`.
        training: bool. Otherwise targets get no `rng`, and the network no centres of the previous frame.
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
        targets: Callable[[dict, LabelSpace, np.random.Generator | None], dict] | None,
        label_space: LabelSpace,
        paste: Callable[[dict, Sequence, np.random.Generator], dict] | None = None,
        training: bool = True,
        on_error: str = "raise",
    ):
        if on_error not in ON_ERROR:
            raise ValueError(f"`on_error` must be 'raise' or 'skip'. Received: on_error={on_error!r}")
        self.reader = reader
        self.image_size = image_size
        self.transform = transform
        self.targets = targets
        self.label_space = label_space
        self.paste = paste
        self.training = training
        self.on_error = on_error

    def __call__(self, index: int, rng: np.random.Generator) -> tuple | np.ndarray | None:
        """The network's input, with its targets unless these are `None`; `None` for a skipped sample."""
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
        if self.paste is not None:
            sample = self.paste(sample, self.reader, rng)
        images = [sample[field] for field in IMAGE_FIELDS if field in sample]
        if self.targets is None:
            return _normalise(images)
        try:
            targets = self.targets(sample, self.label_space, rng if self.training else None)
        except ValueError as error:
            raise ValueError(f"Sample {name!r}: {error}") from error
        # DeepLab2 normalises the heat map as if it were pixels.
        heatmap = targets.pop("previous_center_heatmap", None)
        if heatmap is not None and self.training:
            images.append(heatmap)
        return _normalise(images), targets


@dataclasses.dataclass(frozen=True)
class RandomPaste:
    """Pastes segments of a random other sample over a sample, `(sample, reader, rng) -> sample`.

    Args:
        copy_paste: `PanopticCopyPaste`.
        transform: callable `(sample, rng) -> sample` for the other sample; pads with `copy_paste.padding`.
    """

    copy_paste: PanopticCopyPaste
    transform: Transform

    def __call__(self, sample: dict, reader: Sequence, rng: np.random.Generator) -> dict:
        other = reader[int(rng.integers(len(reader)))]
        return self.copy_paste(sample, self.transform(other, rng), rng)


def _normalise(images):
    """One float32 `[H, W, C]` in [-1, 1] of images `[H, W, c]` in 0..255, one behind another."""
    image = images[0] if len(images) == 1 else np.concatenate(images, axis=-1)
    image = np.divide(image, np.float32(127.5), dtype=np.float32)
    image -= np.float32(1)
    return image
