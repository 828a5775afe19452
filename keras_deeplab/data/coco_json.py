"""Reads the JSON of the COCO panoptic format: images, annotations and categories."""

from __future__ import annotations

import json
import os
import pathlib
from typing import NamedTuple

import numpy as np


class CocoJson(NamedTuple):
    """What an annotation file says.

    Attributes:
        categories: list of dict, as `LabelSpace.from_coco` takes it.
        images: dict from image id to the name of the image file.
        annotations: dict from image id to the name of the panoptic PNG.
        segments: dict from the name of a panoptic PNG to int64 `[N, 3]`, the id, the category id and whether
            it is a crowd, of each segment.
    """

    categories: list[dict]
    images: dict[int | str, str]
    annotations: dict[int | str, str]
    segments: dict[str, np.ndarray]


def read_coco_json(path: str | os.PathLike) -> CocoJson:
    """Reads an annotation file in the COCO panoptic format.

    Args:
        path: path of the JSON file.

    Raises:
        ValueError: when the file is missing or is something else.

    Example:
    ```python
    read_coco_json("annotations/panoptic_val2017.json").images[142238]  # "000000142238.jpg"
    ```
    """
    path = pathlib.Path(path)
    try:
        content = json.loads(path.read_bytes())
        annotations = content["annotations"]
        return CocoJson(
            content.get("categories", []),
            {image["id"]: image["file_name"] for image in content.get("images", [])},
            {entry.get("image_id"): entry["file_name"] for entry in annotations},
            {entry["file_name"]: _segment_rows(entry["segments_info"]) for entry in annotations},
        )
    except FileNotFoundError:
        raise ValueError(f"There is no annotation file {path}.") from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a panoptic annotation file: {error!r}") from error


def segments_info(rows: np.ndarray) -> list[dict]:
    """The segments of `CocoJson.segments` as dicts, as `panoptic_from_segments` takes them."""
    return [
        {"id": segment, "category_id": category, "iscrowd": crowd}
        for segment, category, crowd in rows.tolist()
    ]


def _segment_rows(segments):
    rows = [(int(s["id"]), int(s["category_id"]), int(s.get("iscrowd", 0))) for s in segments]
    return np.array(rows, np.int64).reshape(-1, 3)
