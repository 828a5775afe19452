"""Geometric transforms of samples: `(sample, rng) -> sample`, in numpy.

A transform decides on a `Window`: a view of the resized image. Only the pixels inside of it are
computed, which gives the same values as resizing the whole image, padding, cropping and flipping it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from keras_deeplab.data.resize import sample_bilinear, sample_nearest, source_positions

Transform = Callable[[dict, np.random.Generator], dict]

IMAGE_PADDING = 127.5  # 0 after normalisation to [-1, 1]

# How the fields of a sample are resampled. Other fields are passed on as they are.
IMAGE_FIELDS = ("image",)
LABEL_FIELDS = ("panoptic",)


@dataclasses.dataclass(frozen=True)
class Window:
    """A view of a resized image, possibly reaching over its borders, possibly mirrored.

    Args:
        resized: `(height, width)` that the whole image is resized to.
        top: int. First row of the view in the resized image; negative rows are padding.
        left: int. First column of the view in the resized image; negative columns are padding.
        size: `(height, width)` of the view.
        flip: bool. Mirrors the view left to right.

    Example:
    ```python
    window = Window(resized=(512, 1024), top=0, left=0, size=(513, 1025))
    image = window.image(image)  # half the size, one row and one column of padding
    ```
    """

    resized: tuple[int, int]
    top: int
    left: int
    size: tuple[int, int]
    flip: bool = False

    def image(self, image: np.ndarray, padding: float = IMAGE_PADDING) -> np.ndarray:
        """The view of an image, resized bilinearly with aligned corners.

        Args:
            image: number array `[H, W, C]`.
            padding: float. Value outside of the image.

        Returns:
            float32 `[height, width, C]`.
        """
        return self._view(image, sample_bilinear, padding)

    def label(self, label: np.ndarray, padding: int) -> np.ndarray:
        """The view of a label map, resized to the nearest pixel with aligned corners.

        Args:
            label: array `[H, W]` of any dtype.
            padding: int. Value outside of the map.

        Returns:
            Array `[height, width]`, dtype of `label`.
        """
        return self._view(label, sample_nearest, padding)

    def apply(self, sample: dict, void: int) -> dict:
        """A sample whose images and label maps are replaced by their views.

        Args:
            sample: dict with `"image"` `[H, W, 3]`, `"panoptic"` `[H, W]` or both.
            void: int. Label of padding.

        Returns:
            A new dict; other fields are passed on.

        Raises:
            ValueError: when the image and the label map differ in size.
        """
        sample_size(sample)
        views = {}
        for field, value in sample.items():
            if field in IMAGE_FIELDS:
                views[field] = self.image(value)
            elif field in LABEL_FIELDS:
                views[field] = self.label(value, void)
        return {**sample, **views}

    def _view(self, array, resample, padding):
        row_positions, above, below = self._axis(0, array.shape[0])
        column_positions, before, after = self._axis(1, array.shape[1])
        if self.flip:
            column_positions, before, after = column_positions[::-1], after, before
        view = resample(array, row_positions, column_positions)
        if not (above or below or before or after):
            return view
        padded = np.full((*self.size, *array.shape[2:]), padding, view.dtype)
        padded[above : self.size[0] - below, before : self.size[1] - after] = view
        return padded

    def _axis(self, axis, size_in):
        """Where the visible pixels of one axis come from, and the padding before and after them."""
        start, length, resized = (self.top, self.left)[axis], self.size[axis], self.resized[axis]
        first, last = max(start, 0), min(start + length, resized)
        positions = source_positions(size_in, resized)[first : max(first, last)]
        before = min(max(-start, 0), length)
        return positions, before, length - before - len(positions)


@dataclasses.dataclass(frozen=True)
class RandomScaleCrop:
    """Scales, pads, crops and flips at random, as in training.

    The image is scaled by one of `scales`, padded at a random offset to at least `size`, cropped to
    `size` at a random place and flipped left to right half of the time. The draws come in this
    order: scale, vertical and horizontal padding, vertical and horizontal crop, flip.

    Args:
        size: `(height, width)` of the result.
        void: int. Label of padding, `label_space.void`.
        scales: `(smallest, largest, step)`; one of smallest, smallest + step, ... is drawn. A step of 0
            draws from the whole interval. `None` does not scale.
        flip: bool. Whether to flip at random.

    Raises:
        ValueError: when `size` or `scales` are malformed; or, when called, for a sample without image
            and label map or with different sizes of the two.

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

    def __post_init__(self):
        object.__setattr__(self, "size", check_size(self.size))
        if self.scales is not None:
            object.__setattr__(self, "scales", _check_scales(self.scales))

    def __call__(self, sample: dict, rng: np.random.Generator) -> dict:
        return self.window(sample_size(sample), rng).apply(sample, self.void)

    def window(self, image_size: tuple[int, int], rng: np.random.Generator) -> Window:
        """Draws the window for an image of `(height, width)` pixels."""
        resized = image_size
        if self.scales is not None:
            resized = _scaled(image_size, _draw_scale(rng, self.scales))
        margins = [max(length - side, 0) for side, length in zip(resized, self.size, strict=True)]
        padding = [int(rng.integers(0, max(margin, 1))) for margin in margins]
        spare = [max(side - length, 0) for side, length in zip(resized, self.size, strict=True)]
        crop = [int(rng.integers(0, excess + 1)) for excess in spare]
        flip = self.flip and bool(rng.random() <= 0.5)
        return Window(resized, crop[0] - padding[0], crop[1] - padding[1], self.size, flip)


@dataclasses.dataclass(frozen=True)
class ResizeToFit:
    """Shrinks what is larger than `size`, keeping its aspect ratio, and pads at the bottom and right.

    An image that fits keeps its resolution.

    Args:
        size: `(height, width)` of the result.
        void: int. Label of padding, `label_space.void`.

    Raises:
        ValueError: when `size` is malformed; or, when called, for a sample without image and label map
            or with different sizes of the two.

    Example:
    ```python
    transform = ResizeToFit((1025, 2049), void=CITYSCAPES.void)
    sample = transform(sample)
    ```
    """

    size: tuple[int, int]
    void: int

    def __post_init__(self):
        object.__setattr__(self, "size", check_size(self.size))

    def __call__(self, sample: dict, rng: np.random.Generator | None = None) -> dict:
        return self.window(sample_size(sample)).apply(sample, self.void)

    def window(self, image_size: tuple[int, int]) -> Window:
        """The window for an image of `(height, width)` pixels."""
        return Window(fit_size(image_size, self.size), 0, 0, self.size)


def fit_size(image_size: tuple[int, int], size: tuple[int, int], enlarge: bool = False) -> tuple[int, int]:
    """The largest size with the aspect ratio of `image_size` that fits into `size`.

    Args:
        image_size: `(height, width)` of an image.
        size: `(height, width)` to fit into.
        enlarge: bool. Whether smaller images grow; otherwise they keep their size.

    Returns:
        `(height, width)`.

    Example:
    ```python
    fit_size((1024, 2048), (513, 1025))  # (512, 1025)
    ```
    """
    scale = min(np.float32(limit) / np.float32(side) for side, limit in zip(image_size, size, strict=True))
    return tuple(image_size) if scale >= 1 and not enlarge else _scaled(image_size, scale)


def sample_size(sample: dict) -> tuple[int, int]:
    """`(height, width)` of a sample's image and label map.

    Raises:
        ValueError: when it has neither, or when they differ.
    """
    sizes = {field: sample[field].shape[:2] for field in (*IMAGE_FIELDS, *LABEL_FIELDS) if field in sample}
    if not sizes:
        raise ValueError(f"A sample needs an 'image' or a 'panoptic' map. Received fields: {sorted(sample)}")
    if len(set(sizes.values())) > 1:
        listing = ", ".join(f"{field} {height}x{width}" for field, (height, width) in sizes.items())
        raise ValueError(f"Sample {sample.get('name', '')!r} has fields of different sizes: {listing}")
    return next(iter(sizes.values()))


def check_size(size: tuple[int, int]) -> tuple[int, int]:
    """`(height, width)` as two Python integers.

    Raises:
        ValueError: when `size` is not two positive integers.
    """
    sides = tuple(size) if isinstance(size, (tuple, list, np.ndarray)) else ()
    if len(sides) != 2 or not all(isinstance(s, (int, np.integer)) and s > 0 for s in sides):
        raise ValueError(f"A size must be (height, width), two positive integers. Received: {size!r}")
    return int(sides[0]), int(sides[1])


def _check_scales(scales):
    problem = ValueError(
        "`scales` must be (smallest, largest, step) with 0 < smallest <= largest and step >= 0, or None. "
        f"Received: scales={scales!r}"
    )
    if not isinstance(scales, (tuple, list)) or len(scales) != 3:
        raise problem
    smallest, largest, step = (float(s) for s in scales)
    if not 0 < smallest <= largest or not step >= 0 or not np.isfinite(largest + step):
        raise problem
    return smallest, largest, step


def scale_candidates(smallest: float, largest: float, step: float) -> np.ndarray:
    """The scales that a random scale is drawn from, evenly spaced from smallest to largest, float32."""
    count = int((largest - smallest) / step + 1)
    if count == 1:
        return np.array([smallest], np.float32)
    smallest, largest = np.float32(smallest), np.float32(largest)
    scales = smallest + np.arange(count, dtype=np.float32) * ((largest - smallest) / np.float32(count - 1))
    scales[-1] = largest
    return scales


def _draw_scale(rng, scales):
    smallest, largest, step = scales
    if smallest == largest:
        return np.float32(smallest)
    if step == 0:
        return np.float32(rng.uniform(smallest, largest))
    candidates = scale_candidates(smallest, largest, step)
    return candidates[rng.integers(len(candidates))]


def _scaled(size, scale):
    return tuple(max(int(np.float32(side) * np.float32(scale)), 1) for side in size)
