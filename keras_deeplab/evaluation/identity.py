"""What tells one evaluation from another."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence

import numpy as np


def identify(model, reader: Sequence[dict]) -> dict:
    """Plain values that change with the model's weights or settings and with the dataset.

    Args:
        model: `Segmenter`, or anything with `segment`.
        reader: sequence of samples.

    Returns:
        Dict with `"model"`, `"weights"`, `"postprocessor"`, `"dataset"` and `"images"`.
    """
    weights = 0
    for weight in getattr(model, "weights", ()):
        weights = zlib.crc32(np.ascontiguousarray(np.asarray(weight)).tobytes(), weights)
    postprocessor = getattr(model, "postprocessor", None)
    settings = postprocessor.get_config() if hasattr(postprocessor, "get_config") else {}
    names = json.dumps([str(name) for name in getattr(reader, "names", ())])
    return {
        "model": type(model).__name__,
        "weights": weights,
        "postprocessor": json.dumps({k: v for k, v in settings.items() if k != "name"}, default=str),
        "dataset": zlib.crc32(names.encode()),
        "images": len(reader),
    }
