"""Reading which sequence the images of an update belong to."""

from __future__ import annotations

import numpy as np


def read_sequences(sequence, images: int) -> np.ndarray:
    """The sequence of every image of a batch.

    Args:
        sequence: str or int, or a sequence of them with one for each image.
        images: int. Number of images.

    Returns:
        Unicode or integer array `[images]`.

    Raises:
        ValueError: when the number of ids differs from that of the images, or they are neither all str nor
            all int.

    Example:
    ```python
    read_sequences("0002", images=3)  # ["0002", "0002", "0002"]
    ```
    """
    ids = np.asarray(sequence)
    is_mixed = ids.ndim == 1 and ids.dtype.kind == "U" and not all(isinstance(i, str) for i in sequence)
    if ids.size and (is_mixed or ids.dtype.kind not in "iuU"):
        raise ValueError(f"`sequence` must hold strings or integers only. Received: sequence={sequence!r}")
    if ids.ndim and ids.shape != (images,):
        raise ValueError(
            "`sequence` must be one id, or one for each image of the batch. "
            f"Received: {images} images and sequence={sequence!r}"
        )
    return np.broadcast_to(ids, (images,))


def sort_sequences(sequences) -> list:
    """Ids of sequences in an order that does not depend on when they came: integers, then strings."""
    return sorted(sequences, key=lambda sequence: (isinstance(sequence, str), sequence))
