"""Single rows of parquet files that hold large values, such as encoded images. Needs pyarrow."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple


class Row(NamedTuple):
    """Where a row is, and some of its values by column.

    Attributes:
        path: of the file.
        modified: int. When the file was changed last, in nanoseconds.
        group: int. The number of the row group.
        row: int. The number of the row in its group.
        values: dict of values by column.
    """

    path: pathlib.Path
    modified: int
    group: int
    row: int
    values: dict[str, Any]


def list_rows(path: pathlib.Path, columns: Sequence[str]) -> Iterator[Row]:
    """Every row of a file, with the values of some columns.

    Args:
        path: path of a parquet file.
        columns: names of columns with small values.

    Yields:
        `Row`, in the order of the file.

    Raises:
        ImportError: when pyarrow is not installed.
        ValueError: when the file is damaged or has no such column.

    Example:
    ```python
    rows = list(list_rows(path, ["name"]))
    read_row(rows[0], ["image"])["image"]
    ```
    """
    with _open(path) as file:
        modified = path.stat().st_mtime_ns
        for group in range(file.num_row_groups):
            table = _read_group(file, path, group, columns)
            for row, values in enumerate(table.select(list(columns)).to_pylist()):
                yield Row(path, modified, group, row, values)


def read_row(row: Row, columns: Sequence[str]) -> dict[str, Any]:
    """The values of one row in some columns. The row groups read last are kept for rows near by.

    Args:
        row: a row from `list_rows`.
        columns: names of columns.

    Returns:
        Dict of values by column.

    Raises:
        ValueError: when the file is damaged, was changed since `list_rows`, or has no such column or no value
            in it.
    """
    table = _read_kept_group(row.path, row.modified, row.group, tuple(columns))
    values = {column: table[column][row.row].as_py() for column in columns}
    empty = [column for column, value in values.items() if value is None]
    if empty:
        raise ValueError(f"{row.path} has no {', '.join(empty)} in row {row.row} of row group {row.group}.")
    return values


# One group of images may take hundreds of megabytes.
@functools.lru_cache(maxsize=2)
def _read_kept_group(path, modified, group, columns):
    with _open(path) as file:
        if path.stat().st_mtime_ns != modified:
            raise ValueError(f"{path} was changed while it was in use. Make its reader anew.")
        return _read_group(file, path, group, columns)


def _read_group(file, path, group, columns):
    import pyarrow

    try:
        table = file.read_row_group(group, columns=list(columns))
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    missing = sorted(set(columns) - set(table.column_names))
    if missing:
        raise ValueError(f"{path} has no column {', '.join(missing)}.")
    return table


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
