"""Instance results as the Cityscapes evaluation script reads them."""

from __future__ import annotations

import pathlib
import urllib.parse

import numpy as np
from PIL import Image

from keras_deeplab.data.writers import encode_image, write_file
from keras_deeplab.labels import LabelSpace
from keras_deeplab.segments import describe_segments


def write_instances(
    folder: pathlib.Path,
    stem: str,
    panoptic: np.ndarray,
    label_space: LabelSpace,
    score: np.ndarray | None = None,
) -> None:
    """Writes `<stem>.txt` and the mask of every instance, `masks/<stem>/*.png`.

    A line of the text is `path category score`; the score is the mean over the instance, 1 without scores.
    Things without an instance (crowd) are left out.

    Args:
        folder: path.
        stem: str. What the names of the image's files begin with.
        panoptic: integer array `[H, W]`, `class * label_divisor + instance`.
        label_space: `LabelSpace` of the map.
        score: float array `[H, W]`.

    Example:
    ```python
    write_instances(pathlib.Path("predictions/instance"), "aachen_000000_000019", panoptic, CITYSCAPES)
    ```
    """
    # The text first goes and comes last, so that it never tells of masks of another prediction.
    (folder / f"{stem}.txt").unlink(missing_ok=True)
    masks = folder / "masks" / urllib.parse.quote(stem, safe="")  # spaces separate the columns of the text
    lines, written = [], set()
    for segment in describe_segments(panoptic, label_space, score):
        if not segment["isthing"] or segment["id"] % label_space.label_divisor == 0:
            continue
        path = masks / f"{len(lines):04d}.png"
        write_file(path, encode_image(Image.fromarray(_mask(panoptic, segment)), compress_level=1))
        confidence = 1.0 if segment["score"] is None else segment["score"]
        lines.append(f"{path.relative_to(folder).as_posix()} {segment['category_id']} {confidence!r}\n")
        written.add(path)
    for outdated in set(masks.glob("*.png")) - written:
        outdated.unlink()
    write_file(folder / f"{stem}.txt", "".join(lines).encode())


def _mask(panoptic, segment):
    """bool `[H, W]`, the pixels of a segment; only its box is looked at."""
    left, top, width, height = segment["bbox"]
    box = slice(top, top + height), slice(left, left + width)
    mask = np.zeros(panoptic.shape, bool)
    mask[box] = panoptic[box] == segment["id"]
    return mask
