"""Stores the weights of a preset in half precision. Loading turns them back into the network's type."""

from __future__ import annotations

import os
import pathlib

import h5py
import ml_dtypes
import numpy as np

DTYPES = {"float16": np.dtype("float16"), "bfloat16": np.dtype(ml_dtypes.bfloat16)}


def check_weights_dtype(dtype: str | None) -> None:
    """Raises a `ValueError` for what is neither `None` nor a type that weights can be stored in."""
    if dtype is not None and dtype not in DTYPES:
        raise ValueError(f"`weights_dtype` must be {' or '.join(map(repr, DTYPES))}. Received: {dtype!r}")


def cast_weights(path: pathlib.Path, dtype: str) -> None:
    """Rewrites a Keras weights file with its kernels in half precision.

    Arrays of one axis stay as they are: biases, scales and the statistics of batch normalisation are few, and
    the statistics need their range. So does an array that has a number beyond the range of the type.

    Args:
        path: path of a `*.weights.h5` file. Replaced once the new one is complete.
        dtype: str. `"float16"` (10 bits of mantissa, up to 65504) or `"bfloat16"` (7 bits, float32's range).

    Raises:
        ValueError: for another type.
    """
    check_weights_dtype(dtype)
    target = path.with_name(f".{path.name}.{dtype}")
    try:
        with h5py.File(path) as source, h5py.File(target, "w") as copy:
            copy.attrs.update(source.attrs)
            source.visititems(lambda name, item: _copy_item(name, item, copy, dtype))
        os.replace(target, path)
    finally:
        target.unlink(missing_ok=True)


def _copy_item(name, item, copy, dtype):
    if isinstance(item, h5py.Group):
        copied = copy.require_group(name)
    else:
        values, stored = _cast(item[()], dtype)
        copied = copy.create_dataset(name, data=values)
        if stored == "bfloat16":
            # HDF5 has no such type; Keras reads this mark.
            copied.attrs["dtype"] = "bfloat16"
    copied.attrs.update(item.attrs)


def _cast(values, dtype):
    """The values in the type where it serves, and the name of the type that they got."""
    if values.dtype != np.float32 or values.ndim < 2:
        return values, str(values.dtype)
    with np.errstate(over="ignore"):
        cast = values.astype(DTYPES[dtype])
    fits = np.array_equal(np.isfinite(cast), np.isfinite(values))
    return (cast, dtype) if fits else (values, "float32")
