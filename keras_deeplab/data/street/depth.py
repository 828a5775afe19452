"""How far away what a pixel shows is, from the planes on which it was painted."""

from __future__ import annotations

import numpy as np

from keras_deeplab.data.street.canvas import NEAR, Painting


def inverse_depth(painting: Painting) -> np.ndarray:
    """One divided by the distance along the viewing direction.

    On a plane that is a linear function of a pixel's row and column. At most it is what the nearest corner of
    the primitive has and at least what the farthest has: pixels on an edge reach a little further than it.

    Args:
        painting: `Painting`.

    Returns:
        float32 `[H, W]`, 1 / metres. Without meaning where the sky is, or nothing.
    """
    surfaces = painting.surfaces
    right, down, constant, least, most = _planes(painting).astype(np.float32)
    columns, rows = painting.camera.rays(surfaces.shape)
    # One array for all that is looked up: new memory costs more than the arithmetic.
    looked_up = np.empty(surfaces.shape, np.float32)
    inverse = np.take(right, surfaces, mode="clip")
    inverse *= columns
    np.take(down, surfaces, mode="clip", out=looked_up)
    looked_up *= rows
    inverse += looked_up
    inverse += np.take(constant, surfaces, mode="clip", out=looked_up)
    np.maximum(inverse, np.take(least, surfaces, mode="clip", out=looked_up), out=inverse)
    return np.minimum(inverse, np.take(most, surfaces, mode="clip", out=looked_up), out=inverse)


def _planes(painting):
    """float64 (5, primitives): the factors of column and row and the constant, and the bounds."""
    corners, starts = painting.corners, painting.starts
    # Of several polygons in a plane the first one tells; of one with many corners, those far apart.
    sizes = np.array([p.corners for p in painting.primitives])
    first = corners[starts]
    second, third = corners[starts + sizes // 2], corners[starts + sizes - 1]
    normal = np.cross(second - first, third - first)
    offset = np.einsum("ij,ij->i", normal, first)
    inverse = 1 / np.maximum(corners[:, 2], NEAR)
    least, most = np.minimum.reduceat(inverse, starts), np.maximum.reduceat(inverse, starts)
    # Seen edge-on, or a point or line that faces the camera: all at one distance.
    length = np.linalg.norm(normal, axis=1)
    is_plane = np.abs(offset) > 1e-6 * length * np.linalg.norm(first, axis=1)
    is_plane &= length > 1e-9
    factors = normal / np.where(is_plane, offset, 1)[:, None]
    factors[~is_plane] = 0
    constant = np.where(is_plane, factors[:, 2], (least + most) / 2)
    return np.stack([factors[:, 0], -factors[:, 1], constant, least, most])
