"""What PNG and JPEG files say about themselves, and whether all of the file is there.

Decoders may return half an image for a truncated file without an error, so that files are checked
before decoding.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8\xff"

GREY, RGB, RGBA = 0, 2, 6  # colour types of PNG

_START_OF_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_START_OF_SCAN, _APPLICATION_1 = 0xDA, 0xE1
_END_OF_IMAGE = b"\xff\xd9"


class Header(NamedTuple):
    """The facts of a PNG or JPEG file that decide how to decode it.

    `color_type` is PNG's; for JPEG it is `GREY`, `RGB` or, with four channels, -1.
    """

    width: int
    height: int
    bit_depth: int
    color_type: int
    has_exif: bool


def read_header(data: bytes) -> Header | None:
    """The header of a complete PNG or JPEG file; `None` for other formats.

    Args:
        data: bytes. The whole file.

    Raises:
        ValueError: when the file is truncated or damaged; the message says how.
    """
    if data.startswith(PNG_SIGNATURE):
        return _png_header(data)
    if data.startswith(JPEG_SIGNATURE):
        return _jpeg_header(data)
    return None


def _png_header(data):
    position, header, has_exif = len(PNG_SIGNATURE), None, False
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            break
        (checksum,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(memoryview(data)[position + 4 : end - 4]) != checksum:
            raise ValueError(f"is damaged: wrong checksum at byte {position}")
        if kind == b"IHDR" and length == 13:
            header = struct.unpack_from(">IIBB", data, position + 8)
        has_exif |= kind == b"eXIf"
        position = end
        if kind == b"IEND":
            if header is None:
                raise ValueError("is damaged: it has no header")
            return Header(*header, has_exif)
    raise ValueError(f"is truncated after {len(data)} bytes")


def _jpeg_header(data):
    position, frame, has_exif = 2, None, False
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            raise ValueError(f"is damaged: no marker at byte {position}")
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker in _WITHOUT_LENGTH:
            position += 2
            continue
        if marker == _START_OF_SCAN:
            # Inside of a scan FF is always followed by 00, so that the end marker is unmistakable.
            if data.find(_END_OF_IMAGE, position) < 0 or frame is None:
                break
            precision, height, width, channels = frame
            return Header(width, height, precision, {1: GREY, 3: RGB}.get(channels, -1), has_exif)
        (length,) = struct.unpack_from(">H", data, position + 2)
        if marker in _START_OF_FRAME and position + 10 <= len(data):
            frame = struct.unpack_from(">BHHB", data, position + 4)
        has_exif |= marker == _APPLICATION_1
        position += 2 + length
    raise ValueError(f"is truncated after {len(data)} bytes")
