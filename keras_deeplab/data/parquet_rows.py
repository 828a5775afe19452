"""Single rows of parquet files that hold large values, such as encoded images. Needs pyarrow."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple


class Row(NamedTuple):
    """Where a row is, and some of its values by column."""

    path: pathlib.Path
    group: int
    row: int
    values: dict[str, Any]


def list_rows(path: pathlib.Path, columns: Sequence[str]) -> Iterator[Row]:
    """Every row of a file, with the values of some columns.

    Args:
        path: path of a parquet file.
        columns: names of columns with small values.

    Raises:
        ImportError: when pyarrow is not installed.
        ValueError: when the file is damaged or has no such column.
    """
    for group in range(_open(path).num_row_groups):
        table = _read_group(path, group, tuple(columns))
        for row, values in enumerate(table.select(list(columns)).to_pylist()):
            yield Row(path, group, row, values)


def read_row(row: Row, columns: Sequence[str]) -> dict[str, Any]:
    """The values of one row in some columns. The row groups read last are kept for rows near by.

    Args:
        row: a row from `list_rows`.
        columns: names of columns.

    Raises:
        ValueError: when the file is damaged or has no such column.
    """
    table = _read_kept_group(row.path, row.group, tuple(columns))
    return {column: table[column][row.row].as_py() for column in columns}


def _read_group(path, group, columns):
    import pyarrow

    try:
        table = _open(path).read_row_group(group, columns=list(columns))
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    missing = sorted(set(columns) - set(table.column_names))
    if missing:
        raise ValueError(f"{path} has no column {', '.join(missing)}.")
    return table


# One group of images may take hundreds of megabytes.
_read_kept_group = functools.lru_cache(maxsize=2)(_read_group)


def _open(path):
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError("Parquet files need pyarrow: pip install 'keras-deeplab[waymo]'") from error
    try:
        return parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path} is no parquet file: {error}") from error
