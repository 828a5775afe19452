"""A picture of a dataset: some of its images, each above its labels, and perhaps what a model predicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_deeplab.labels import LabelSpace
from keras_deeplab.visualization import overlay

_BACKGROUND = (24, 26, 31)
_TEXT = (235, 235, 235)
_GAP = 6
_CAPTION = 18


def contact_sheet(
    reader: Sequence[dict],
    count: int = 12,
    columns: int = 4,
    cell_width: int = 320,
    label_space: LabelSpace | None = None,
    predict: Callable[[dict], np.ndarray] | None = None,
) -> Image.Image:
    """Draws samples from all over a dataset. Samples that cannot be read are left out.

    Args:
        reader: sequence of samples, e.g. `Cityscapes`.
        count: int. Number of samples to draw; all of them if there are fewer.
        columns: int. Samples per row.
        cell_width: int. Width of each sample in pixels.
        label_space: `LabelSpace` of the samples; that of the reader when `None`.
        predict: callable from a sample to a panoptic map `[H, W]`, drawn below the labels; `None` for none.

    Returns:
        PIL image, RGB.

    Raises:
        ValueError: when no sample can be drawn.

    Example:
    ```python
    contact_sheet(StreetScenes(8), count=8).save("contact_sheet.png")
    ```
    """
    label_space = LabelSpace.create(reader.label_space if label_space is None else label_space)
    places = np.unique(np.linspace(0, len(reader) - 1, min(count, len(reader))).round().astype(int))
    cells = [_cell(reader, int(i), cell_width, label_space, predict) for i in places]
    cells = [cell for cell in cells if cell is not None]
    if not cells:
        raise ValueError(f"None of the samples looked at can be drawn: {reader!r}")
    columns = min(columns, len(cells))
    rows = [cells[i : i + columns] for i in range(0, len(cells), columns)]
    heights = [max(cell.height for cell in row) for row in rows]
    size = (columns * (cell_width + _GAP) + _GAP, sum(heights) + _GAP * (len(rows) + 1))
    sheet = Image.new("RGB", size, _BACKGROUND)
    top = _GAP
    for row, height in zip(rows, heights, strict=True):
        for column, cell in enumerate(row):
            sheet.paste(cell, (_GAP + column * (cell_width + _GAP), top))
        top += height + _GAP
    return sheet


def _cell(reader, index, width, label_space, predict):
    """One sample's pictures below each other, with its name; `None` when it cannot be read."""
    try:
        sample = reader[index]
        pictures = [sample["image"]] if "image" in sample else []
        if "panoptic" in sample:
            image = sample.get("image", None)
            pictures.append(overlay(sample["panoptic"], label_space, image, alpha=0.75, outlines=True))
    except (ValueError, OSError):
        return None
    if not pictures:
        return None
    if predict is not None:
        pictures.append(overlay(predict(sample), label_space, sample["image"], alpha=0.75, outlines=True))
    height = max(round(width * pictures[0].shape[0] / pictures[0].shape[1]), 1)
    pictures = [cv2.resize(p, (width, height), interpolation=cv2.INTER_AREA) for p in pictures]
    cell = Image.new("RGB", (width, _CAPTION + height * len(pictures)), _BACKGROUND)
    font = ImageFont.load_default(12)
    ImageDraw.Draw(cell).text((2, _CAPTION // 2), str(sample["name"]), _TEXT, font, anchor="lm")
    for place, picture in enumerate(pictures):
        cell.paste(Image.fromarray(picture), (0, _CAPTION + place * height))
    return cell
