"""How rough surfaces look: noise for single pictures, and noise that sticks to the surfaces of a video."""

from __future__ import annotations

import functools

import cv2
import numpy as np

from keras_deeplab.data.street.canvas import Camera

# How rough a class looks: the standard deviation of its brightness relative to the mean.
_ROUGHNESS = {
    "vegetation": 0.14,
    "terrain": 0.1,
    "building": 0.05,
    "road": 0.045,
    "sidewalk": 0.05,
    "wall": 0.06,
}
_SMOOTH = 0.02
_TILE = 256
_PIXELS_PER_CELL = 1.5


def roughness(class_name: str | None) -> float:
    """The standard deviation of a class's brightness."""
    return _ROUGHNESS.get(class_name, _SMOOTH)


def flat_texture(noise: np.ndarray, patches: np.ndarray) -> np.ndarray:
    """Fine noise float32 `[H, W]` and coarse patches, laid over a picture."""
    height, width = noise.shape
    return cv2.addWeighted(
        noise, 0.6, cv2.resize(patches, (width, height), interpolation=cv2.INTER_LINEAR), 0.6, 0
    )


def anchored_texture(inverse: np.ndarray, camera: Camera, driven: float) -> np.ndarray:
    """Noise fixed to what stands still, so that it moves as the camera moves.

    Cells of noise are as large as one or two pixels: their size doubles with every doubling of the distance.

    Args:
        inverse: float32 `[H, W]`, 1 / metres.
        camera: `Camera`.
        driven: float. Metres that the camera has driven.

    Returns:
        float32 `[H, W]`, mean 0.
    """
    columns, rows = camera.rays(inverse.shape)
    # A floating-point number's bits tell the power of two below it.
    depth = 1 / inverse
    power = (depth.view(np.int32) & np.int32(0x7F800000)).view(np.float32)
    depth /= power
    depth *= np.float32(camera.focal / _PIXELS_PER_CELL / 2)
    # Sheared, so that all planes of a street, across, along and flat, meet both directions of the tile. The
    # ground and what lines the road are seen at a slant: their cells are long.
    first = columns + np.float32(0.61) * rows
    first *= depth
    second = rows + np.float32(1 / 6) - np.float32(0.37) * columns
    second *= depth
    second += np.float32(camera.focal / _PIXELS_PER_CELL / 2 * driven / 6) / power
    tile = first.astype(np.int32)
    tile &= _TILE - 1
    tile *= _TILE
    second = second.astype(np.int32)
    second &= _TILE - 1
    tile += second
    return np.take(_tile(), tile, mode="clip")


@functools.cache
def _tile():
    """float32 (256 * 256), noise that repeats in both directions."""
    rng = np.random.default_rng(0)
    patches = np.tile(rng.standard_normal((_TILE // 8, _TILE // 8), np.float32), (3, 3))
    patches = cv2.resize(patches, (3 * _TILE, 3 * _TILE), interpolation=cv2.INTER_LINEAR)
    fine = rng.standard_normal((_TILE, _TILE), np.float32)
    return (0.6 * fine + 0.6 * patches[_TILE : 2 * _TILE, _TILE : 2 * _TILE]).ravel()
