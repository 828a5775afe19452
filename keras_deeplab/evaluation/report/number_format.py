"""How the numbers of an evaluation are called and written."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

MISSING = "-"


class Name(NamedTuple):
    """How a number is called.

    Attributes:
        short: str, e.g. `"PQ things"`.
        style: str, a style of `format_number`.
        unit: str, what stands behind the number; may be empty.
        meaning: str, what the abbreviation means; may be empty.
    """

    short: str
    style: str = "exact"
    unit: str = ""
    meaning: str = ""


_NAMES = {
    "pq": Name("PQ", "percent", "%", "panoptic quality"),
    "sq": Name("SQ", "percent", "%", "segmentation quality"),
    "rq": Name("RQ", "percent", "%", "recognition quality"),
    "miou": Name("mIoU", "percent", "%", "mean intersection over union"),
    "iou": Name("IoU", "percent", "%", "intersection over union"),
    "ap": Name("AP", "percent", "%", "average precision of instances"),
    "ar": Name("AR", "percent", "%", "average recall of instances"),
    "stq": Name("STQ", "percent", "%", "segmentation and tracking quality"),
    "aq": Name("AQ", "percent", "%", "association quality"),
    "vpq": Name("VPQ", "percent", "%", "video panoptic quality"),
    "dstq": Name("DSTQ", "percent", "%", "depth-aware segmentation and tracking quality"),
    "dq": Name("DQ", "percent", "%", "depth quality"),
    "dvpq": Name("DVPQ", "percent", "%", "depth-aware video panoptic quality"),
    "abs_rel": Name("AbsRel", "number", "", "mean absolute relative error of the depth"),
    "sq_rel": Name("SqRel", "number", "", "mean squared relative error of the depth"),
    "rmse": Name("RMSE", "number", "m", "root mean square error of the depth"),
    "rmse_log": Name("RMSE log", "number", "", "root mean square error of the depth's logarithm"),
    "silog": Name("SILog", "number", "", "scale-invariant logarithmic error of the depth"),
    "inlier": Name("Inliers", "percent", "%", "pixels whose depth is nearly right"),
    "tp": Name("TP", "count", "", "true positives: matched segments"),
    "fp": Name("FP", "count", "", "false positives: predicted segments without a match"),
    "fn": Name("FN", "count", "", "false negatives: true segments without a match"),
    "images": Name("Images", "count"),
    "frames": Name("Frames", "count"),
}

# Style -> what a number is multiplied by, and its format.
_STYLES = {
    "percent": (100, ".1f"),
    "whole percent": (100, ".0f"),
    "count": (1, ",.0f"),
    "number": (1, ".3f"),
    "exact": (1, ".6g"),
}


def name_number(key: str) -> Name:
    """How the number with a key of `evaluate`'s results is called.

    What a key has behind a known one is kept: `"pq_things"` is like `"pq"`, `"vpq_2"` like `"vpq"`. An
    unknown key is its own name.

    Example:
    ```python
    name_number("vpq_2").short  # "VPQ 2"
    ```
    """
    words = re.split("[_@]", key)
    for count in range(len(words), 0, -1):
        known = _NAMES.get("_".join(words[:count]))
        if known:
            return known._replace(short=" ".join([known.short, *words[count:]]))
    return Name(key)


def format_number(value: float | None, style: str) -> str:
    """A number as text; `"-"` for NaN and `None`.

    Args:
        value: number, or `None`.
        style: `"percent"` (of a number in 0..1, without the sign), `"whole percent"`, `"count"`, `"number"`
            (3 decimals) or `"exact"` (6 digits).

    Returns:
        str.

    Example:
    ```python
    format_number(0.6128, "percent")  # "61.3"
    ```
    """
    if is_missing(value):
        return MISSING
    factor, form = _STYLES[style]
    return format(factor * value, form)


def number_and_unit(key: str, value: float | None) -> tuple[str, str]:
    """A number of the results as text, and its unit, which is empty where there is no number.

    Example:
    ```python
    number_and_unit("pq", 0.6128)  # ("61.3", "%")
    ```
    """
    name = name_number(key)
    return format_number(value, name.style), "" if is_missing(value) else name.unit


def is_missing(value: float | None) -> bool:
    """Whether there is no number: NaN or `None`."""
    return value is None or math.isnan(value)
