"""Colour operations on uint8 images `[H, W, 3]` (RGB), equal to DeepLab2's bit for bit.

They are those of PIL's `ImageOps` and `ImageEnhance` but for differences that are kept, so that published
training recipes can be repeated:

- Contrast blends with a grey that depends on the number of pixels and not on their mean: white for images
  of 65280 pixels and more. Lowering the contrast therefore brightens.
- Blends drop the fraction where PIL rounds. The grey of Color and the smoothed image of Sharpness drop it
  before they are blended.
- Solarize at a threshold of 256 inverts everything; Posterize to 0 bits keeps one.
"""

from __future__ import annotations

import cv2
import numpy as np

_VALUES = np.arange(256, dtype=np.uint8)

_GRAY_WEIGHTS = np.array([0.2989, 0.587, 0.114], np.float32)
_SMOOTHING = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / np.float32(13)


def auto_contrast(image: np.ndarray) -> np.ndarray:
    """Stretches every channel to 0..255."""
    return _look_up(image, [_stretching(histogram) for histogram in _histograms(image)])


def equalize(image: np.ndarray) -> np.ndarray:
    """Spreads the values of every channel so that their histogram gets as flat as can be."""
    return _look_up(image, [_equalizing(histogram) for histogram in _histograms(image)])


def invert(image: np.ndarray) -> np.ndarray:
    """The negative of an image."""
    return 255 - image


def posterize(image: np.ndarray, bits: int) -> np.ndarray:
    """Keeps the `bits` highest bits of every value, at least one."""
    return image & np.uint8(256 - 2 ** (8 - max(bits, 1)))


def solarize(image: np.ndarray, threshold: int) -> np.ndarray:
    """Inverts values from `threshold` (0 to 255) on; all of them at 256."""
    is_dark = np.less(_VALUES, threshold % 256)
    return _look_up(image, np.where(is_dark, _VALUES, 255 - _VALUES))


def adjust_color(image: np.ndarray, strength: float) -> np.ndarray:
    """Blends grey (0) with the image (1); more than 1 saturates."""
    return _blend(cv2.merge([_gray(image)] * 3), image, strength)


def adjust_contrast(image: np.ndarray, strength: float) -> np.ndarray:
    """Blends a grey of `pixels / 256`, at most white (0), with the image (1)."""
    height, width = image.shape[:2]
    gray = np.uint8(min(height * width // 256, 255))
    return _look_up(image, _blend(gray, _VALUES, strength))


def adjust_brightness(image: np.ndarray, strength: float) -> np.ndarray:
    """Blends black (0) with the image (1); more than 1 brightens."""
    return _look_up(image, _blend(np.uint8(0), _VALUES, strength))


def adjust_sharpness(image: np.ndarray, strength: float) -> np.ndarray:
    """Blends a smoothed image (0) with the image (1); more than 1 sharpens. The border stays as it is."""
    return _blend(_smooth(image), image, strength)


def _look_up(image, table):
    """The image with every value replaced: table uint8 `[256]`, or `[3, 256]` for each channel its own."""
    return cv2.LUT(image, np.atleast_2d(table).T[None].copy())


def _histograms(image):
    """Number of pixels of each value of the channels, int64 `[3, 256]`."""
    counts = [cv2.calcHist([image], [channel], None, [256], [0, 256]).ravel() for channel in range(3)]
    return np.array(counts).astype(np.int64)


def _stretching(histogram):
    lowest, highest = np.flatnonzero(histogram)[[0, -1]].astype(np.float32)
    if lowest == highest:
        return _VALUES
    scale = np.float32(255) / (highest - lowest)
    return np.clip(_VALUES * scale - lowest * scale, 0, 255).astype(np.uint8)


def _equalizing(histogram):
    highest = np.flatnonzero(histogram)[-1]
    step = (histogram.sum() - histogram[highest]) // 255
    if step == 0:
        return _VALUES
    below = np.cumsum(histogram) - histogram
    table = (below + step // 2) // step
    return np.clip(table, 0, 255).astype(np.uint8)


def _blend(start, end, strength):
    """uint8: `start` at strength 0, `end` at 1, and beyond. Shapes broadcast to that of `end`."""
    if strength == 1:
        return end
    start = start.astype(np.float32)
    blended = np.subtract(end, start, dtype=np.float32)
    blended *= np.float32(strength)
    blended += start
    if not 0 < strength < 1:
        np.clip(blended, 0, 255, out=blended)
    return blended.astype(np.uint8)


def _gray(image):
    """Brightness without its fraction, uint8 `[H, W]`."""
    gray = np.zeros(image.shape[:2], np.float32)
    for channel, weight in zip(cv2.split(image), _GRAY_WEIGHTS, strict=True):
        share = np.multiply(channel, np.float32(1 / 255), dtype=np.float32)
        share *= weight
        gray += share
    gray *= np.float32(255.5)
    return gray.astype(np.uint8)


def _smooth(image):
    """The mean of 3 x 3 pixels, the middle one counted 5 times, without its fraction."""
    _, width, channels = image.shape
    sums = cv2.boxFilter(image, cv2.CV_16U, (3, 3), normalize=False)
    sums += np.multiply(image, 4, dtype=np.uint16)
    mean = sums // np.uint16(13)
    smoothed = image.copy()
    smoothed[1:-1, 1:-1] = mean[1:-1, 1:-1]
    # DeepLab2 adds up in float32, each product fused with its addition. Where the mean is a whole number,
    # rounding errors can make that fall below it: only there its steps have to be repeated.
    is_whole = mean * np.uint16(13) == sums
    is_whole[[0, -1]] = is_whole[:, [0, -1]] = False
    pixels, flat = np.flatnonzero(is_whole), image.reshape(-1)
    mean = np.zeros(len(pixels), np.float32)
    for (row, column), weight in np.ndenumerate(_SMOOTHING):
        neighbours = flat[pixels + ((row - 1) * width + column - 1) * channels]
        mean = (neighbours * weight.astype(np.float64) + mean).astype(np.float32)
    smoothed.reshape(-1)[pixels] = mean.astype(np.uint8)
    return smoothed
