"""The pictures of labels and depth that several layouts have."""

from __future__ import annotations

import numpy as np

_STEPS_PER_METER = 256
_LARGEST_DEPTH = np.iinfo(np.uint16).max / _STEPS_PER_METER


def encode_step(classes: np.ndarray, instances: np.ndarray) -> np.ndarray:
    """A panoptic map as STEP has it: the class in red, the instance in green and blue.

    Args:
        classes: integer array `[H, W]`, up to 255.
        instances: integer array `[H, W]`, up to 65535.

    Returns:
        uint8 array `[H, W, 3]`, RGB; the instance is `256 * green + blue`.

    Example:
    ```python
    encode_step(np.array([[13]]), np.array([[258]]))  # [[[13, 1, 2]]]
    ```
    """
    return np.stack([classes, instances >> 8, instances & 255], axis=-1).astype(np.uint8)


def encode_depth(depth: np.ndarray, clip: bool = False) -> np.ndarray:
    """A depth map in 256ths of a metre, 0 for unknown.

    Args:
        depth: float array `[H, W]` in metres.
        clip: bool. Whether what is farther than the 255.99 m that fit becomes 255.99 m, not unknown.

    Returns:
        uint16 array `[H, W]`.

    Raises:
        ValueError: when a depth is negative or no number.

    Example:
    ```python
    encode_depth(np.array([[0.5, 300.0]]))  # [[128, 0]]
    ```
    """
    depth = np.asarray(depth, np.float64)
    if not (depth >= 0).all():  # also false for NaN
        raise ValueError("`depth` must be at least 0, and 0 where it is unknown.")
    if clip:
        depth = np.minimum(depth, _LARGEST_DEPTH)
    steps = np.rint(depth * _STEPS_PER_METER)
    return np.where(steps > np.iinfo(np.uint16).max, 0, steps).astype(np.uint16)
