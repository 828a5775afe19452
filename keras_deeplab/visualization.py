"""Pictures of label maps, heatmaps and offsets."""

from __future__ import annotations

import colorsys
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_deeplab.labels import LabelSpace
from keras_deeplab.segments import describe_segments, number_segments

_OUTLINE = (255, 255, 255)
_LEGEND_BACKGROUND = (24, 26, 31)
_LEGEND_TEXT = (235, 235, 235)


def color_semantic(semantic: np.ndarray, label_space: LabelSpace) -> np.ndarray:
    """A semantic map in the colours of its classes.

    Args:
        semantic: integer array `[H, W]`.
        label_space: `LabelSpace`.

    Returns:
        uint8 array `[H, W, 3]` (RGB). Void is black.

    Example:
    ```python
    color_semantic(np.array([[0, 255]]), CITYSCAPES)  # [[[128, 64, 128], [0, 0, 0]]]
    ```
    """
    colors = np.zeros((label_space.num_classes + 1, 3), np.uint8)
    colors[:-1] = label_space.colors
    if label_space.ignore_label < label_space.num_classes:
        colors[label_space.ignore_label] = 0
    known = (semantic >= 0) & (semantic < label_space.num_classes)
    return colors[np.where(known, semantic, label_space.num_classes)]


def color_panoptic(panoptic: np.ndarray, label_space: LabelSpace) -> np.ndarray:
    """A panoptic map in the colours of its classes, every instance in a shade of its own.

    A shade depends on the class and the instance number only, so that a tracked instance keeps it.

    Args:
        panoptic: integer array `[H, W]`, `class * label_divisor + instance`.
        label_space: `LabelSpace`.

    Returns:
        uint8 array `[H, W, 3]` (RGB). Void is black.

    Example:
    ```python
    color_panoptic(np.array([[0, 13_001, 13_002]]), CITYSCAPES)
    ```
    """
    segments = describe_segments(panoptic, label_space)
    colors = np.zeros((len(segments) + 1, 3), np.uint8)
    for row, segment in zip(colors[1:], segments, strict=True):
        row[:] = shade(label_space.colors[segment["class_id"]], segment["id"] % label_space.label_divisor)
    return colors[number_segments(panoptic, [segment["id"] for segment in segments])]


def shade(color: tuple[int, int, int], instance: int) -> tuple[int, int, int]:
    """The shade of a class colour for one instance; instance 0 has the colour itself.

    Args:
        color: `(red, green, blue)` in 0..255.
        instance: int, the instance number.

    Returns:
        `(red, green, blue)` in 0..255.

    Example:
    ```python
    shade((0, 0, 142), 0)  # (0, 0, 142)
    ```
    """
    if instance == 0:
        return color
    # Multiples of these two numbers (the golden ratio's kin in two dimensions) fill the unit square evenly.
    first, second = instance * 0.7548776662 % 1, instance * 0.5698402910 % 1
    hue, _, saturation = colorsys.rgb_to_hls(*(channel / 255 for channel in color))
    rgb = colorsys.hls_to_rgb((hue + 0.16 * (second - 0.5)) % 1, 0.3 + 0.45 * first, saturation)
    return tuple(round(255 * channel) for channel in rgb)


def find_outlines(panoptic: np.ndarray, width: int | None = None) -> np.ndarray:
    """Where segments meet.

    Args:
        panoptic: integer array `[H, W]`.
        width: int. Width of the line in pixels; one per 600 pixels of the shorter side when `None`.

    Returns:
        bool array `[H, W]`.

    Example:
    ```python
    find_outlines(np.array([[1, 1, 2]]))  # [[False, False, True]]
    ```
    """
    width = width or max(1, round(min(panoptic.shape) / 600))
    outlines = np.zeros(panoptic.shape, bool)
    outlines[:, 1:] |= panoptic[:, 1:] != panoptic[:, :-1]
    outlines[1:] |= panoptic[1:] != panoptic[:-1]
    line = outlines.copy()
    for shift in range(1, width):
        outlines[:, shift:] |= line[:, :-shift]
        outlines[shift:] |= line[:-shift]
        outlines[shift:, shift:] |= line[:-shift, :-shift]
    return outlines


def overlay(
    panoptic: np.ndarray,
    label_space: LabelSpace,
    image: np.ndarray | None = None,
    alpha: float = 0.55,
    outlines: bool = True,
) -> np.ndarray:
    """A panoptic map over its image.

    Args:
        panoptic: integer array `[H, W]`.
        label_space: `LabelSpace`.
        image: uint8 array `[H, W, 3]` (RGB). Without it the colours are opaque.
        alpha: float in 0..1. How much of the colours shows; void shows the image.
        outlines: bool. Whether to draw a line around every segment.

    Returns:
        uint8 array `[H, W, 3]` (RGB).

    Raises:
        ValueError: when `alpha` is out of range.

    Example:
    ```python
    Image.fromarray(overlay(result.panoptic, result.label_space, result.image)).save("overlay.png")
    ```
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"`alpha` must be from 0 to 1. Received: alpha={alpha}")
    picture = color_panoptic(panoptic, label_space)
    if image is not None:
        is_void = panoptic // label_space.label_divisor == label_space.ignore_label
        opacity = np.where(is_void, 0, alpha).astype(np.float32)[..., None]
        picture = _blend(image, picture, opacity)
    if outlines:
        lines = find_outlines(panoptic)
        picture[lines] = _blend(picture[lines], np.array(_OUTLINE), np.float32(0.75))
    return picture


def add_legend(picture: np.ndarray, classes: list[int], label_space: LabelSpace) -> np.ndarray:
    """A picture with the names and colours of classes at its right.

    Args:
        picture: uint8 array `[H, W, 3]` (RGB).
        classes: list of int, the classes to show, from top to bottom.
        label_space: `LabelSpace`.

    Returns:
        uint8 array `[H, W + legend width, 3]` (RGB); the picture itself for no classes.

    Example:
    ```python
    add_legend(np.zeros((200, 300, 3), np.uint8), [0, 13], CITYSCAPES)
    ```
    """
    if not classes:
        return picture
    height = picture.shape[0]
    text_size = max(9, round(height / 34))
    font = ImageFont.load_default(text_size)
    line = round(1.7 * text_size)
    rows = max(1, (height - text_size) // line)
    names = [label_space.classes[class_id] for class_id in classes]
    column = math.ceil(max(font.getlength(name) for name in names)) + round(3 * text_size)
    legend = Image.new("RGB", (column * math.ceil(len(names) / rows), height), _LEGEND_BACKGROUND)
    draw = ImageDraw.Draw(legend)
    for place, (class_id, name) in enumerate(zip(classes, names, strict=True)):
        x = column * (place // rows) + round(0.9 * text_size)
        middle = text_size // 2 + line * (place % rows) + line // 2
        swatch = (x, middle - text_size // 2, x + text_size, middle + text_size // 2)
        draw.rectangle(swatch, fill=label_space.colors[class_id], outline=_LEGEND_TEXT)
        draw.text((x + round(1.6 * text_size), middle), name, fill=_LEGEND_TEXT, font=font, anchor="lm")
    return np.concatenate([picture, np.asarray(legend)], axis=1)


def overlay_heatmap(heatmap: np.ndarray, image: np.ndarray | None = None) -> np.ndarray:
    """A heatmap as a glow over its image.

    Args:
        heatmap: float array `[H, W]` or `[H, W, 1]` in 0..1.
        image: uint8 array `[H, W, 3]` (RGB); black when `None`.

    Returns:
        uint8 array `[H, W, 3]` (RGB).

    Example:
    ```python
    overlay_heatmap(np.array([[0.0, 1.0]]))  # [[[0, 0, 0], [255, 255, 255]]]
    ```
    """
    heat = np.clip(np.asarray(heatmap, np.float32).reshape(*heatmap.shape[:2], 1), 0, 1)
    glow = np.concatenate([np.full_like(heat, 255), 255 * heat, 255 * np.clip(3 * heat - 2, 0, 1)], axis=-1)
    ground = np.zeros_like(glow) if image is None else image * np.float32(0.6)
    return _blend(ground, glow, np.sqrt(heat))


def color_offsets(offset: np.ndarray, longest: float | None = None) -> np.ndarray:
    """Offsets on a colour wheel: the direction is the hue, the length the saturation.

    Args:
        offset: float array `[H, W, 2]`, `(y, x)` in pixels.
        longest: float. The length in pixels that is shown fully saturated; the longest offset when `None`.

    Returns:
        uint8 array `[H, W, 3]` (RGB). Zero is white.

    Example:
    ```python
    color_offsets(np.array([[[0.0, 3.0]]]))  # [[[255, 0, 0]]]: to the right
    ```
    """
    y, x = offset[..., 0], offset[..., 1]
    length = np.hypot(y, x)
    longest = longest or max(float(length.max(initial=0)), 1e-6)
    hue = np.round(np.arctan2(y, x) / (2 * np.pi) * 255) % 256
    saturation = np.round(np.clip(length / longest, 0, 1) * 255)
    channels = [Image.fromarray(c.astype(np.uint8)) for c in (hue, saturation, np.full_like(hue, 255))]
    return np.array(Image.merge("HSV", channels).convert("RGB"))


def _blend(below, above, opacity):
    return np.round(below + (above.astype(np.float32) - below) * opacity).astype(np.uint8)
