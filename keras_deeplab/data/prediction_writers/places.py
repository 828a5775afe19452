"""Where predictions belong: the names of images, sequences and frames."""

from __future__ import annotations

import re

from keras_deeplab.data.writers import image_stem

_IN_FOLDER = re.compile(r"(?:.*/)?([^/]+)/(\d+)")
_IN_NAME = re.compile(r"(\d+)_(\d+)(?:_.*)?")


def named(name: str | None) -> str:
    """The name of an image.

    Raises:
        ValueError: when there is none.
    """
    if not name:
        raise ValueError("An image needs a name to be written. Pass `name`.")
    return name


def frame_of(
    name: str | None, sequence: str | int | None = None, frame: int | None = None, digits: int = 4
) -> tuple[str, int]:
    """The sequence and the number of a frame, from a name where they are not given.

    Args:
        name: str, like `"0002/000005"` or `"000002_000005_munster"`, or `None`.
        sequence: str, or int.
        frame: int.
        digits: int. Digits of the name of a sequence that is given as int.

    Returns:
        `(sequence, frame)`.

    Raises:
        ValueError: when they are neither given nor in the name, or cannot be names of files.

    Example:
    ```python
    frame_of("0002/000005")  # ("0002", 5)
    frame_of(None, sequence=2, frame=5)  # ("0002", 5)
    ```
    """
    if sequence is None or frame is None:
        stem = re.sub(r"\.(png|jpe?g)$", "", name or "", flags=re.IGNORECASE)
        match = _IN_FOLDER.fullmatch(stem) or _IN_NAME.fullmatch(stem)
        if not match:
            raise ValueError(
                "the layout is for videos and needs the sequence and the number of the frame. Pass "
                f"`sequence` and `frame`, or a name like '0002/000005'. Received: name={name!r}"
            )
        sequence = match[1] if sequence is None else sequence
        frame = int(match[2]) if frame is None else frame
    sequence = sequence if isinstance(sequence, str) else f"{sequence:0{digits}d}"
    if not sequence or sequence.startswith(".") or "/" in sequence or "\\" in sequence:
        raise ValueError(f"`sequence` must be a number or the name of a folder. Received: {sequence!r}")
    if frame < 0:
        raise ValueError(f"`frame` must be at least 0. Received: {frame}")
    return sequence, int(frame)


def dvps_stem(name: str | None, sequence: str | int | None = None, frame: int | None = None) -> str:
    """What the names of a DVPS frame's files begin with: its name, where that says the frame.

    Raises:
        ValueError: see `frame_of`; or when the sequence is no number.

    Example:
    ```python
    dvps_stem("000002_000005_munster_000110_000009")  # the same
    dvps_stem("scene/7", sequence=2, frame=7)  # "000002_000007"
    ```
    """
    sequence, frame = frame_of(name, sequence, frame, digits=6)
    if not sequence.isdecimal():
        raise ValueError(f"`sequence` must be a number in this layout. Received: {sequence!r}")
    stem, place = image_stem(name or ""), f"{sequence}_{frame:06d}"
    return stem if stem.startswith(f"{place}_") else place
