"""Views of resized images: what a geometric transform of a sample amounts to.

Only the pixels inside of a window are computed, which gives the same values as resizing the whole image,
padding, cropping and flipping it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from keras_deeplab.data.resize import sample_bilinear, sample_nearest, source_positions

IMAGE_PADDING = 127.5  # 0 after normalisation to [-1, 1]

# How the fields of a sample are resampled. Other fields are passed on as they are.
IMAGE_FIELDS = ("image", "next_image", "previous_image")
LABEL_FIELDS = ("panoptic", "next_panoptic", "previous_panoptic")
DEPTH_FIELDS = ("depth",)

_DEPTH_STEPS = 256  # a metre in the files of the datasets with depth


@dataclasses.dataclass(frozen=True)
class Window:
    """A view of a resized image, possibly reaching over its borders, possibly mirrored.

    Args:
        resized: `(height, width)` that the whole image is resized to.
        top: int. First row of the view in the resized image; negative rows are padding.
        left: int. First column of the view in the resized image; negative columns are padding.
        size: `(height, width)` of the view.
        flip: bool. Mirrors the view left to right.
        scale: float. By how much the resized image is larger. Only depth needs it: what looks `scale`
            times as large is that much nearer.

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
    scale: float = 1.0

    def image(
        self, image: np.ndarray, padding: float = IMAGE_PADDING, recolor: Callable | None = None
    ) -> np.ndarray:
        """The view of an image, resized bilinearly with aligned corners.

        Args:
            image: number array `[H, W, C]`.
            padding: float. Value outside of the image.
            recolor: callable that changes the resized image's colours, uint8 `[h, w, C]` to the same, with an
                attribute `reach`: how many pixels around it a pixel's result depends on, `None` for all.

        Returns:
            float32 `[height, width, C]`.
        """
        if recolor is None:
            return self._view(image, sample_bilinear, padding)
        around = self._around(recolor.reach)
        surroundings = recolor(around._view(image, functools.partial(sample_bilinear, dtype=np.uint8), 0))
        inner = dataclasses.replace(
            self, resized=around.size, top=self.top - around.top, left=self.left - around.left
        )
        return inner._view(surroundings, sample_bilinear, padding)

    def label(self, label: np.ndarray, padding: int) -> np.ndarray:
        """The view of a label map, resized to the nearest pixel with aligned corners.

        Args:
            label: array `[H, W]` of any dtype.
            padding: int. Value outside of the map.

        Returns:
            Array `[height, width]`, dtype of `label`.
        """
        return self._view(label, sample_nearest, padding)

    def depth(self, depth: np.ndarray) -> np.ndarray:
        """The view of a depth map, resized to the nearest pixel and divided by `scale`.

        Args:
            depth: float32 `[H, W]` in metres, 0 where unknown.

        Returns:
            float32 `[height, width]`, 0 outside of the map; with a `scale` other than 1 in whole 1/256 m,
            rounded down, as DeepLab2 keeps it.
        """
        view = self._view(np.asarray(depth, np.float32), sample_nearest, 0)
        if self.scale == 1:
            return view
        steps = np.rint(view * np.float32(_DEPTH_STEPS))
        return np.trunc(steps / np.float32(self.scale)) / np.float32(_DEPTH_STEPS)

    def apply(self, sample: dict, void: int, recolor: Callable | None = None) -> dict:
        """A sample whose images, label maps and depth are replaced by their views.

        Args:
            sample: dict with `"image"` `[H, W, 3]`, `"panoptic"` `[H, W]` or both, and maybe depth and
                the images and maps of neighbouring frames, which get the same view.
            void: int. Label of padding.
            recolor: as `image` takes it; for all images of the sample.

        Returns:
            A new dict; other fields are passed on.

        Raises:
            ValueError: when the fields differ in size.
        """
        sample_size(sample)
        views = {}
        for field, value in sample.items():
            if field in IMAGE_FIELDS:
                views[field] = self.image(value, recolor=recolor)
            elif field in LABEL_FIELDS:
                views[field] = self.label(value, void)
            elif field in DEPTH_FIELDS:
                views[field] = self.depth(value)
        return {**sample, **views}

    def _around(self, reach):
        """The visible part of the resized image and `reach` pixels on all sides; all of it for `None`."""
        starts, lengths = [], []
        for start, length, resized in zip((self.top, self.left), self.size, self.resized, strict=True):
            margin = resized if reach is None else reach
            # At least one pixel, for views that see nothing but padding.
            first = min(max(start - margin, 0), resized - 1)
            starts.append(first)
            lengths.append(max(min(start + length + margin, resized) - first, 1))
        return Window(self.resized, *starts, tuple(lengths))

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


def sample_size(sample: dict) -> tuple[int, int]:
    """`(height, width)` of a sample's images and maps.

    Raises:
        ValueError: when it has neither an image nor a panoptic map, or when fields differ in size.
    """
    fields = (*IMAGE_FIELDS, *LABEL_FIELDS, *DEPTH_FIELDS)
    sizes = {field: sample[field].shape[:2] for field in fields if field in sample}
    if not sizes:
        raise ValueError(f"A sample needs an 'image' or a 'panoptic' map. Received fields: {sorted(sample)}")
    if len(set(sizes.values())) > 1:
        listing = ", ".join(f"{field} {height}x{width}" for field, (height, width) in sizes.items())
        raise ValueError(f"Sample {sample.get('name', '')!r} has fields of different sizes: {listing}")
    return next(iter(sizes.values()))
