import io
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from keras_deeplab.data import png
from keras_deeplab.data.image_format import read_header

pytest.importorskip("kornia_rs")


def encode(pixels, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **options)
    return buffer.getvalue()


def decode(content):
    return png.decode_png(content, read_header(content))


@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from([0, 3, 4]), st.integers(0, 2**32 - 1))
def test_pixels_come_back_as_they_were(height, width, channels, seed):
    shape = (height, width, channels) if channels else (height, width)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    decoded = decode(encode(pixels))
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, pixels)


def test_16_bit_grey_keeps_all_bits():
    pixels = np.arange(0, 65536, 41, np.uint16)[:1500].reshape(30, 50)
    decoded = decode(encode(pixels))
    assert decoded.dtype == np.uint16
    np.testing.assert_array_equal(decoded, pixels)


def test_a_color_profile_and_gamma_change_nothing():
    pixels = np.arange(3 * 40, dtype=np.uint8).reshape(5, 8, 3)
    plain, profiled = encode(pixels), encode(pixels, icc_profile=b"no profile")
    # A gamma chunk, after the header.
    gamma = b"\0\0\0\4gAMA\0\0\xb1\x8f\x0b\xfc\x61\x05"
    for content in (profiled, plain[:33] + gamma + plain[33:]):
        np.testing.assert_array_equal(decode(content), pixels)


def test_other_kinds_are_left_to_other_decoders():
    assert decode(encode(np.eye(9, dtype=bool))) is None
    palette = io.BytesIO()
    Image.new("P", (3, 3)).save(palette, "PNG")
    assert decode(palette.getvalue()) is None


def test_damaged_files_are_left_to_other_decoders():
    content = bytearray(encode(np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8)))
    header = read_header(bytes(content))
    content[2000] ^= 1
    assert png.decode_png(bytes(content), header) is None


def test_without_kornia_nothing_is_decoded(monkeypatch):
    monkeypatch.setitem(sys.modules, "kornia_rs", None)
    png._kornia.cache_clear()
    try:
        assert decode(encode(np.zeros((2, 2), np.uint8))) is None
    finally:
        png._kornia.cache_clear()
