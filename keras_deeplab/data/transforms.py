"""Geometric transforms of samples: `(sample, rng) -> sample`, in numpy. Each decides on a `Window`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from keras_deeplab.data.autoaugment import AutoAugment
from keras_deeplab.data.resize_rules import (
    check_range,
    check_scales,
    check_size,
    draw_scale,
    fit_size,
    resize_to_range,
    scaled_size,
)
from keras_deeplab.data.window import Window, sample_size

Transform = Callable[[dict, np.random.Generator], dict]


@dataclasses.dataclass(frozen=True)
class RandomScaleCrop:
    """Scales, recolours, pads, crops and flips at random, as in training.

    The sample is resized to a range of sizes, if there is one, scaled by one of `scales`, recoloured, padded
    at a random offset to at least `size`, cropped to `size` at a random place and flipped left to right half
    of the time. Images, label maps and depth of all frames get the same window; the depth is divided by the
    scale. The draws come in this order: scale, vertical and horizontal padding, vertical and horizontal
    crop, flip, colours.

    Args:
        size: `(height, width)` of the result.
        void: int. Label of padding, `label_space.void`.
        scales: `(smallest, largest, step)`; one of smallest, smallest + step, ... is drawn. A step of 0
            draws from the whole interval. `None` does not scale.
        flip: bool. Whether to flip at random.
        resize: `(min_size, max_size, factor)` of `resize_to_range`, which every sample is first resized to
            (MaX-DeepLab on COCO: `(641, 641, 32)`). `None` keeps the samples' sizes.
        autoaugment: `AutoAugment`, `None` keeps the colours.

    Raises:
        ValueError: when `size`, `scales` or `resize` are malformed; or, when called, for a sample without
            image and label map, with fields of different sizes, or with depth that would be resized to a
            range.

    Source: Cheng et al. 2020, "Panoptic-DeepLab", section 4.

    Example:
    ```python
    transform = RandomScaleCrop((513, 1025), void=CITYSCAPES.void)
    sample = transform(sample, np.random.default_rng(0))
    ```
    """

    size: tuple[int, int]
    void: int
    scales: tuple[float, float, float] | None = (0.5, 2.0, 0.1)
    flip: bool = True
    resize: tuple | None = None
    autoaugment: AutoAugment | None = None

    def __post_init__(self):
        object.__setattr__(self, "size", check_size(self.size))
        if self.scales is not None:
            object.__setattr__(self, "scales", check_scales(self.scales))
        if self.resize is not None:
            object.__setattr__(self, "resize", check_range(self.resize))

    def __call__(self, sample: dict, rng: np.random.Generator) -> dict:
        if self.resize is not None:
            resized = resize_to_range(_size_without_depth(sample), *self.resize)
            sample = Window(resized, 0, 0, resized).apply(sample, self.void)
        window = self.window(sample_size(sample), rng)
        recolor = None if self.autoaugment is None else self.autoaugment.draw(rng)
        return window.apply(sample, self.void, recolor)

    def window(self, image_size: tuple[int, int], rng: np.random.Generator) -> Window:
        """Draws the window for an image of `(height, width)` pixels."""
        scale = np.float32(1) if self.scales is None else draw_scale(rng, self.scales)
        resized = scaled_size(image_size, scale)
        margins = [max(length - side, 0) for side, length in zip(resized, self.size, strict=True)]
        padding = [int(rng.integers(0, max(margin, 1))) for margin in margins]
        spare = [max(side - length, 0) for side, length in zip(resized, self.size, strict=True)]
        crop = [int(rng.integers(0, excess + 1)) for excess in spare]
        flip = self.flip and bool(rng.random() <= 0.5)
        return Window(resized, crop[0] - padding[0], crop[1] - padding[1], self.size, flip, float(scale))


@dataclasses.dataclass(frozen=True)
class ResizeToFit:
    """Shrinks what is larger than `size`, keeping its aspect ratio, and pads at the bottom and right.

    An image that fits keeps its resolution, unless `resize` says otherwise. The depth is divided by the
    scale, as in training.

    Args:
        size: `(height, width)` of the result.
        void: int. Label of padding, `label_space.void`.
        resize: `(min_size, max_size, factor)` of `resize_to_range`, in place of shrinking. A `max_size` of
            `None` is `size`.

    Raises:
        ValueError: when `size` or `resize` are malformed; or, when called, for a sample without image and
            label map, with fields of different sizes, with depth that would be resized to a range, or when
            the range exceeds `size`.

    Example:
    ```python
    transform = ResizeToFit((1025, 2049), void=CITYSCAPES.void)
    sample = transform(sample)
    ```
    """

    size: tuple[int, int]
    void: int
    resize: tuple | None = None

    def __post_init__(self):
        object.__setattr__(self, "size", check_size(self.size))
        if self.resize is not None:
            object.__setattr__(self, "resize", check_range(self.resize))

    def __call__(self, sample: dict, rng: np.random.Generator | None = None) -> dict:
        image_size = sample_size(sample) if self.resize is None else _size_without_depth(sample)
        return self.window(image_size).apply(sample, self.void)

    def window(self, image_size: tuple[int, int]) -> Window:
        """The window for an image of `(height, width)` pixels."""
        if self.resize is None:
            resized = fit_size(image_size, self.size)
            return Window(resized, 0, 0, self.size, scale=resized[0] / image_size[0])
        min_size, max_size, factor = self.resize
        resized = resize_to_range(image_size, min_size, max_size or self.size, factor)
        if resized[0] > self.size[0] or resized[1] > self.size[1]:
            raise ValueError(
                f"An image of {image_size[0]}x{image_size[1]} is resized to {resized[0]}x{resized[1]} by "
                f"resize={self.resize}, which exceeds `size` {self.size}. Lower its max_size."
            )
        return Window(resized, 0, 0, self.size)


def _size_without_depth(sample):
    if "depth" in sample:
        raise ValueError(
            f"Sample {sample.get('name', '')!r} has depth, which `resize` would make wrong: the depth that a "
            "camera sees belongs to its resolution. Use `scales` alone."
        )
    return sample_size(sample)
