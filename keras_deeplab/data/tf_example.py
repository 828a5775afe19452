"""The message tf.train.Example: lists of bytes, floats or integers by name. Without TensorFlow or protobuf.

Example is `{features = 1}`, Features is `{map<string, Feature> feature = 1}`, Feature is one of
`{bytes_list = 1, float_list = 2, int64_list = 3}`, and each list is `{repeated value = 1}`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

# How protocol buffers code the type of a field.
_VARINT, _FIXED64, _SIZED, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}


def decode_example(data: bytes | memoryview) -> dict[str, list]:
    """The features of a serialised tf.train.Example.

    Args:
        data: bytes or memoryview of the message.

    Returns:
        Dict from the name of each feature to its list of memoryviews into `data`, of floats or of ints.

    Raises:
        ValueError: when the data are no such message, or end early.

    Example:
    ```python
    decode_example(encode_example({"image/height": [1024]}))  # {"image/height": [1024]}
    ```
    """
    features = {}
    for _, body in _fields(memoryview(data), {(1, _SIZED)}):
        for _, entry in _fields(body, {(1, _SIZED)}):
            name, parts = b"", []
            for number, value in _fields(entry, {(1, _SIZED), (2, _SIZED)}):
                if number == 1:
                    name = bytes(value)
                else:
                    parts.append(value)
            features[name.decode("utf-8")] = _decode_feature(parts)
    return features


def encode_example(features: Mapping[str, Sequence]) -> bytes:
    """Serialises a tf.train.Example, in the order of the features' names.

    Args:
        features: mapping from name to a sequence of bytes, of floats (kept as float32) or of ints.

    Returns:
        bytes.

    Raises:
        ValueError: for a list of something else, or integers beyond int64.

    Example:
    ```python
    encode_example({"image/format": [b"png"], "image/height": [1024]})
    ```
    """
    entries = [
        _sized(1, _sized(1, name.encode()) + _sized(2, _encode_feature(name, values)))
        for name, values in sorted(features.items())
    ]
    return _sized(1, b"".join(entries))


def _decode_feature(parts):
    """The values of a Feature that comes in parts, as protocol buffers merge them: the last kind counts."""
    kind, values = 0, []
    for part in parts:
        for number, content in _fields(part, {(1, _SIZED), (2, _SIZED), (3, _SIZED)}):
            if number != kind:
                kind, values = number, []
            values.extend(_LIST_DECODERS[number](content))
    return values


def _decode_bytes(content):
    return (value for _, value in _fields(content, {(1, _SIZED)}))


def _decode_floats(content):
    for _, value in _fields(content, {(1, _SIZED), (1, _FIXED32)}):
        if len(value) % 4:
            raise ValueError("a list of floats ends early")
        yield from np.frombuffer(value, "<f4").tolist()


def _decode_integers(content):
    for _, value in _fields(content, {(1, _SIZED), (1, _VARINT)}):
        if isinstance(value, int):
            yield _signed(value)
            continue
        position = 0
        while position < len(value):
            integer, position = _varint(value, position)
            yield _signed(integer)


_LIST_DECODERS = {1: _decode_bytes, 2: _decode_floats, 3: _decode_integers}


def _fields(message, known) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of the fields of a message that are `known` by (number, type); others are skipped."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, kind = tag >> 3, tag & 7
        if number == 0 or tag >= 2**32:
            raise ValueError(f"there is no field {number}")
        if kind == _VARINT:
            value, position = _varint(message, position)
        elif kind == _SIZED or kind in _FIXED_SIZES:
            size = _FIXED_SIZES.get(kind)
            if size is None:
                size, position = _varint(message, position)
            value = message[position : position + size]
            if len(value) < size:
                raise ValueError(f"field {number} ends early")
            position += size
        else:
            raise ValueError(f"field {number} has the unknown type {kind}")
        if (number, kind) in known:
            yield number, value


def _varint(data, position):
    """An unsigned integer of 7 bits a byte, and the position after it."""
    value = 0
    for shift, byte in zip(range(0, 70, 7), data[position : position + 10], strict=False):
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position + shift // 7 + 1
    raise ValueError(f"an integer at byte {position} does not end")


def _signed(integer):
    return integer - 2**64 if integer >= 2**63 else integer


def _encode_feature(name, values):
    if not values:
        return b""
    if all(isinstance(value, bytes) for value in values):
        return _sized(1, b"".join(_sized(1, value) for value in values))
    if all(isinstance(value, float) for value in values):
        return _sized(2, _sized(1, struct.pack(f"<{len(values)}f", *values)))
    if all(isinstance(value, int) and -(2**63) <= value < 2**63 for value in values):
        return _sized(3, _sized(1, b"".join(_encode_varint(value & 0xFFFFFFFFFFFFFFFF) for value in values)))
    raise ValueError(f"Feature {name!r} must be a list of bytes, of floats or of int64. Received: {values!r}")


def _sized(number, content):
    return _encode_varint(number << 3 | _SIZED) + _encode_varint(len(content)) + content


def _encode_varint(value):
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
