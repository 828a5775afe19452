import io

import numpy as np
import pytest
from PIL import Image

from keras_deeplab.data.image_format import GREY, RGB, RGBA, Header, read_header

EXIF = Image.Exif()
EXIF[0x0112] = 6


def encode(file_format, mode, **options):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 4), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(buffer, file_format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("file_format", "mode", "color_type"),
    [
        ("PNG", "L", GREY),
        ("PNG", "P", 3),
        ("PNG", "RGB", RGB),
        ("PNG", "RGBA", RGBA),
        ("JPEG", "L", GREY),
        ("JPEG", "RGB", RGB),
        ("JPEG", "CMYK", -1),
    ],
)
def test_headers_tell_size_and_colors(file_format, mode, color_type):
    assert read_header(encode(file_format, mode)) == Header(30, 20, 8, color_type, has_exif=False)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
def test_exif_is_noticed(file_format):
    assert read_header(encode(file_format, "RGB", exif=EXIF)).has_exif


def test_16_bits_are_noticed():
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((2, 2), np.uint16)).save(buffer, "PNG")
    assert read_header(buffer.getvalue()).bit_depth == 16


def test_other_formats_have_no_header():
    assert read_header(encode("BMP", "RGB")) is None


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
def test_truncation_is_noticed_at_every_byte(file_format, options):
    data = encode(file_format, "RGB", **options)
    for length in range(8, len(data)):
        with pytest.raises(ValueError, match=f"is truncated after {length} bytes"):
            read_header(data[:length])


def test_wrong_checksums_are_located():
    data = bytearray(encode("PNG", "RGB"))
    data[20] ^= 1  # in the first chunk
    with pytest.raises(ValueError, match="is damaged: wrong checksum at byte 8"):
        read_header(bytes(data))


def test_missing_jpeg_markers_are_located():
    data = bytearray(encode("JPEG", "RGB"))
    data[20] = 0
    with pytest.raises(ValueError, match="is damaged: no marker at byte 20"):
        read_header(bytes(data))
