"""A picture of what a model got wrong in an image."""

from __future__ import annotations

import numpy as np

from keras_deeplab.labels import LabelSpace

ERROR_COLOR = (255, 80, 0)
_ERROR_OPACITY = 0.8
_VOID_BRIGHTNESS = 0.4
# How bright the eye sees red, green and blue (ITU-R BT.601).
_BRIGHTNESS = np.array([0.299, 0.587, 0.114], np.float32)


def find_errors(truth: np.ndarray, prediction: np.ndarray, label_space: LabelSpace) -> np.ndarray:
    """The pixels whose class is wrong. Void in the truth is never wrong, void in the prediction is.

    Args:
        truth: integer array `[H, W]`, a panoptic map.
        prediction: integer array `[H, W]`, a panoptic map.
        label_space: `LabelSpace`.

    Returns:
        bool array `[H, W]`.

    Example:
    ```python
    find_errors(np.array([[0, 1_000, 255_000]]), np.array([[0, 0, 0]]), CITYSCAPES)  # [[False, True, False]]
    ```
    """
    true_class = truth // label_space.label_divisor
    return (true_class != prediction // label_space.label_divisor) & (true_class != label_space.ignore_label)


def draw_errors(
    image: np.ndarray, truth: np.ndarray, prediction: np.ndarray, label_space: LabelSpace
) -> np.ndarray:
    """The image in grey, with the pixels of a wrong class in orange and void pixels of the truth darker.

    Args:
        image: uint8 array `[H, W, 3]` (RGB).
        truth: integer array `[H, W]`, a panoptic map.
        prediction: integer array `[H, W]`, a panoptic map.
        label_space: `LabelSpace`.

    Returns:
        uint8 array `[H, W, 3]` (RGB).

    Example:
    ```python
    picture = draw_errors(sample["image"], sample["panoptic"], result.panoptic, CITYSCAPES)
    ```
    """
    picture = np.repeat((image @ _BRIGHTNESS)[..., None], 3, axis=-1)
    picture[truth // label_space.label_divisor == label_space.ignore_label] *= _VOID_BRIGHTNESS
    wrong = find_errors(truth, prediction, label_space)
    picture[wrong] += (np.array(ERROR_COLOR, np.float32) - picture[wrong]) * np.float32(_ERROR_OPACITY)
    return np.round(picture).astype(np.uint8)
