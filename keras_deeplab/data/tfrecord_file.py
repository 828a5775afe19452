"""TFRecord files: byte strings in a row, each with its length and checksums. Without TensorFlow."""

from __future__ import annotations

import fnmatch
import functools
import glob
import mmap
import os
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

import numpy as np

# A record is its length (uint64) and that length's checksum (uint32), the content, and its checksum (uint32).
_LENGTH = struct.Struct("<Q")
_CHECKSUM = struct.Struct("<I")
_HEADER_SIZE = _LENGTH.size + _CHECKSUM.size

_GZIP_SIGNATURE = b"\x1f\x8b"
_SHARD = re.compile(r"(?P<prefix>.*)-\d{5}-of-(?P<count>\d{5})(?P<ending>[^/]*)", re.DOTALL)


class TFRecordFile:
    """The records of one TFRecord file, as a random-access sequence of bytes.

    Opening walks from length to length and reads nothing in between. The file is opened anew for every
    record, so that threads and processes share the object freely.

    The checksum of a record is verified when it is read, if the package google-crc32c is installed;
    those of the lengths are always verified.

    Args:
        path: path of an uncompressed TFRecord file. It may be empty.

    Raises:
        ValueError: when the file is missing, compressed, no TFRecord file, damaged or truncated; when a
            record is read, for a wrong checksum.

    Example:
    ```python
    records = TFRecordFile("train-00000-of-00010.tfrecord")
    len(records), records[0][:8]
    ```
    """

    def __init__(self, path: str | os.PathLike):
        self.path = os.fspath(path)
        with _opened(self.path) as file:
            self._offsets, self._lengths = _find_records(file, self.path)

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, index: int) -> bytes:
        number = range(len(self))[index]
        offset, length = int(self._offsets[number]), int(self._lengths[number])
        with _opened(self.path) as file:
            file.seek(offset)
            data, checksum = file.read(length), file.read(_CHECKSUM.size)
        if len(data) + len(checksum) < length + _CHECKSUM.size:
            raise ValueError(f"{self.path} was shortened after it was opened: record {number} is cut off.")
        crc32c = find_crc32c()
        if crc32c is not None and _mask(crc32c(data)) != _CHECKSUM.unpack(checksum)[0]:
            raise ValueError(
                f"{self.path} is damaged: record {number} has a wrong checksum. Copy or download it again."
            )
        return data

    def __repr__(self) -> str:
        return f"TFRecordFile({self.path!r}, {len(self)} records)"

    def views(self) -> Iterator[memoryview]:
        """All records in order, without verified checksums: only the parts that are looked at are read."""
        if len(self) == 0:
            return
        with _opened(self.path) as file:
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        for offset, length in zip(self._offsets.tolist(), self._lengths.tolist(), strict=True):
            yield content[offset : offset + length]


def write_record(file: BinaryIO, data: bytes) -> None:
    """Appends a record to an open TFRecord file.

    Args:
        file: binary file, open for writing.
        data: bytes. The content of the record.

    Raises:
        ImportError: when the package google-crc32c is not installed.
    """
    crc32c = find_crc32c()
    if crc32c is None:
        raise ImportError(
            "Writing TFRecords needs the package google-crc32c: pip install keras-deeplab[tfrecord]"
        )
    length = _LENGTH.pack(len(data))
    file.write(length + _CHECKSUM.pack(_mask(_short_crc32c(length))))
    file.write(data)
    file.write(_CHECKSUM.pack(_mask(crc32c(data))))


def find_crc32c() -> Callable[[bytes], int] | None:
    """The fast checksum function of the package google-crc32c; `None` when it is not installed."""
    try:
        import google_crc32c
    except ImportError:
        return None
    return google_crc32c.value


def find_shards(paths: str | os.PathLike | Sequence[str | os.PathLike]) -> list[str]:
    """The files that paths and patterns name, each once, those of a pattern sorted by name.

    Args:
        paths: path, pattern with `*`, `?` or `[...]`, or a sequence of them.

    Returns:
        List of str.

    Raises:
        ValueError: when there is none, a pattern finds no file, or not all shards that it means.
    """
    paths = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    found = {}
    for path in map(os.fspath, paths):
        if os.path.isdir(path):
            raise ValueError(
                f"{path} is a folder. Pass a pattern, e.g. {os.path.join(path, 'train-*.tfrecord')}"
            )
        is_pattern = glob.has_magic(path) and not os.path.exists(path)
        matches = sorted(glob.glob(path)) if is_pattern else [path]
        if not matches:
            raise ValueError(f"There are no TFRecord files {path}.")
        if is_pattern:
            _check_shards(matches, path)
        found |= dict.fromkeys(matches)
    if not found:
        raise ValueError("`paths` is empty.")
    return list(found)


def _opened(path):
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise ValueError(f"There is no TFRecord file {path}.") from None
    except OSError as error:
        raise ValueError(f"The TFRecord file {path} cannot be read: {error.strerror}.") from error


def _find_records(file, path):
    """Offsets and lengths of the records' contents, two int64 `[N]`."""
    size = os.fstat(file.fileno()).st_size
    offsets, lengths, position = [], [], 0
    while position < size:
        file.seek(position)
        header = file.read(_HEADER_SIZE)
        length = _read_length(header, position, path, len(offsets))
        end = position + _HEADER_SIZE + length + _CHECKSUM.size
        if end > size:
            raise ValueError(
                f"{path} is truncated: record {len(offsets)} ends at byte {end}, the file at byte {size}. "
                "Copy or download it again."
            )
        offsets.append(position + _HEADER_SIZE)
        lengths.append(length)
        position = end
    return np.array(offsets, np.int64), np.array(lengths, np.int64)


def _read_length(header, position, path, number):
    if len(header) == _HEADER_SIZE:
        length, checksum = header[: _LENGTH.size], header[_LENGTH.size :]
        if _mask(_short_crc32c(length)) == _CHECKSUM.unpack(checksum)[0]:
            return _LENGTH.unpack(length)[0]
    if number > 0:
        problem = "is truncated" if len(header) < _HEADER_SIZE else "is damaged"
        raise ValueError(
            f"{path} {problem}: there is no record {number} at byte {position}. Copy or download it again."
        )
    if header.startswith(_GZIP_SIGNATURE):
        raise ValueError(
            f"{path} is compressed with gzip, so that its records cannot be reached one by one. "
            "Unpack it first, e.g. with gzip -dc."
        )
    raise ValueError(f"{path} is not an uncompressed TFRecord file (it starts with {header!r}).")


def _mask(checksum):
    """TFRecord's form of a checksum, so that a checksum of data with checksums in it stays a good one."""
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _short_crc32c(data):
    """CRC-32C byte by byte: only for short data."""
    table, checksum = _crc32c_table(), 0xFFFFFFFF
    for byte in data:
        checksum = table[(checksum ^ byte) & 0xFF] ^ checksum >> 8
    return checksum ^ 0xFFFFFFFF


@functools.cache
def _crc32c_table():
    """The CRC-32C of each byte value, reflected, for the polynomial of Castagnoli."""
    checksums = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        checksums = checksums >> 1 ^ (checksums & 1) * np.uint32(0x82F63B78)
    return checksums.tolist()


def _check_shards(matches, pattern):
    """A folder copied by half, or written twice, would otherwise go unnoticed."""
    counts = {}
    for match in filter(None, map(_SHARD.fullmatch, matches)):
        prefix, count, ending = match["prefix"], match["count"], match["ending"]
        if counts.setdefault((prefix, ending), count) != count:
            raise ValueError(
                f"{pattern} finds shards of two sets, of {counts[prefix, ending]} and of {count}. Name one "
                f"of them: {prefix}-*-of-{count}{ending}"
            )
    for (prefix, ending), count in counts.items():
        whole = (f"{prefix}-{shard:05d}-of-{count}{ending}" for shard in range(int(count)))
        missing = sorted({path for path in whole if fnmatch.fnmatchcase(path, pattern)} - set(matches))
        if missing:
            raise ValueError(
                f"{len(missing)} of {int(count)} shards are missing, the first is {missing[0]}. Copy them, "
                "or pass a list of the files to read."
            )
