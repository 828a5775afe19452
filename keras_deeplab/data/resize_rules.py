"""Which size an image gets: to fit a frame, to lie in a range, or by a scale. Sizes are `(height, width)`."""

from __future__ import annotations

import numpy as np


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
    scale = min(_ratios(size, image_size))
    return tuple(image_size) if scale >= 1 and not enlarge else scaled_size(image_size, scale)


def resize_to_range(
    image_size: tuple[int, int],
    min_size: int | tuple[int, int] | None = None,
    max_size: int | tuple[int, int] | None = None,
    factor: int | None = None,
) -> tuple[int, int]:
    """The size of an image whose sides shall lie in a range.

    First the image is scaled, up or down, so that no side is shorter than `min_size` and one just reaches
    it. If it then exceeds `max_size`, it is shrunk to fit: `max_size` wins. With a `factor`, `max_size` is
    first lowered to the next `k * factor + 1`, and in the end both sides are raised to the next one, which
    may change the aspect ratio a little.

    Args:
        image_size: `(height, width)` of an image.
        min_size: int or `(height, width)`; `None` or 0 for no lower end.
        max_size: int or `(height, width)`; `None` or 0 for no upper end.
        factor: int. Sides become multiples of it plus 1, as networks of that output stride want them.
            `None` leaves them.

    Returns:
        `(height, width)`.

    Example:
    ```python
    resize_to_range((480, 640), 641, 641, factor=32)  # (481, 641)
    resize_to_range((480, 640), min_size=300)  # (300, 400)
    ```
    """
    size, least, most = tuple(image_size), _pair(min_size), _pair(max_size)
    if all(least):
        size = scaled_size(size, max(_ratios(least, size)))
    if all(most):
        if factor:
            most = tuple(side - (side - 1) % factor for side in most)
        size = fit_size(size, most)
    if factor:
        size = tuple(side + (1 - side) % factor for side in size)
    return size


def scaled_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """`(height, width)` times a scale, computed in float32 and rounded down, at least 1."""
    return tuple(max(int(np.float32(side) * np.float32(scale)), 1) for side in size)


def scale_candidates(smallest: float, largest: float, step: float) -> np.ndarray:
    """The scales that a random scale is drawn from, evenly spaced from smallest to largest, float32."""
    count = int((largest - smallest) / step + 1)
    if count == 1:
        return np.array([smallest], np.float32)
    smallest, largest = np.float32(smallest), np.float32(largest)
    scales = smallest + np.arange(count, dtype=np.float32) * ((largest - smallest) / np.float32(count - 1))
    scales[-1] = largest
    return scales


def draw_scale(rng: np.random.Generator, scales: tuple[float, float, float]) -> np.float32:
    """Draws one of the `scale_candidates` of `(smallest, largest, step)`; any in between for a step of 0."""
    smallest, largest, step = scales
    if smallest == largest:
        return np.float32(smallest)
    if step == 0:
        return np.float32(rng.uniform(smallest, largest))
    candidates = scale_candidates(smallest, largest, step)
    return candidates[rng.integers(len(candidates))]


def check_size(size: tuple[int, int]) -> tuple[int, int]:
    """`(height, width)` as two Python integers.

    Raises:
        ValueError: when `size` is not two positive integers.
    """
    sides = tuple(size) if isinstance(size, (tuple, list, np.ndarray)) else ()
    if len(sides) != 2 or not all(_is_integer(s) and s > 0 for s in sides):
        raise ValueError(f"A size must be (height, width), two positive integers. Received: {size!r}")
    return int(sides[0]), int(sides[1])


def check_scales(scales: tuple[float, float, float]) -> tuple[float, float, float]:
    """`(smallest, largest, step)` as three Python floats.

    Raises:
        ValueError: when they are something else.
    """
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


def check_range(resize: tuple) -> tuple:
    """`(min_size, max_size, factor)` as `resize_to_range` takes them, in a tuple.

    Raises:
        ValueError: when they are something else.
    """
    problem = ValueError(
        "`resize` must be (min_size, max_size, factor) or None, with sizes that are an integer, (height, "
        f"width) or None, and a factor that is a positive integer or None. Received: resize={resize!r}"
    )
    if not isinstance(resize, (tuple, list)) or len(resize) != 3:
        raise problem
    *limits, factor = resize
    pairs = [_pair(limit) for limit in limits]
    if not all(len(pair) == 2 and all(_is_integer(side) and side >= 0 for side in pair) for pair in pairs):
        raise problem
    if factor is not None and not (_is_integer(factor) and factor > 0):
        raise problem
    return tuple(resize)


def _ratios(size, other):
    return [np.float32(a) / np.float32(b) for a, b in zip(size, other, strict=True)]


def _pair(limit):
    """A limit of both sides; zeros for none."""
    return tuple(limit) if isinstance(limit, (tuple, list, np.ndarray)) else (limit or 0,) * 2


def _is_integer(value):
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
