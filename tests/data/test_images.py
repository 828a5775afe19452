import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from keras_deeplab.data import png
from keras_deeplab.data.images import (
    ImageError,
    decode_image,
    decode_label,
    image_file_size,
    list_images,
    read_image,
    read_label,
    to_rgb_array,
)

HEIGHT, WIDTH = 20, 30
ROWS, COLUMNS = np.indices((HEIGHT, WIDTH))
RGB = np.stack([ROWS * 12, COLUMNS * 8, 255 - ROWS * 5], axis=-1).astype(np.uint8)
GREY = (ROWS * 7 + COLUMNS).astype(np.uint8)
GREY_16 = GREY.astype(np.uint16) * 257


@pytest.fixture(autouse=True, params=["kornia_rs", "opencv"])
def decoder(request, monkeypatch):
    """What decodes PNG files: everything here holds with and without kornia_rs."""
    if request.param == "opencv":
        monkeypatch.setattr(png, "_kornia", lambda: None)
    return request.param


@pytest.fixture
def save(tmp_path):
    """Saves an array or PIL image under a name, returns the path."""

    def save(name, image, **options):
        image = image if isinstance(image, Image.Image) else Image.fromarray(image)
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return save


def png_of_grey(values, bit_depth):
    """A PNG file of grey values with any bit depth, written by hand."""
    lines = b""
    for row in values:
        bits = "".join(format(value, f"0{bit_depth}b") for value in row)
        bits += "0" * (-len(bits) % 8)
        lines += b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = values.shape
    header = struct.pack(">IIBBBBB", width, height, bit_depth, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


# Formats and pixel modes


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tiff", "a.ppm"])
def test_lossless_formats_give_the_pixels(save, name):
    image = read_image(save(name, RGB))
    np.testing.assert_array_equal(image, RGB)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 2}])
def test_jpeg_equals_pillows_decoding(save, options):
    path = save("a.jpg", RGB, quality=95, **options)
    np.testing.assert_array_equal(read_image(path), np.asarray(Image.open(path)))


def test_lossless_webp_gives_the_pixels(save):
    np.testing.assert_array_equal(read_image(save("a.webp", RGB, lossless=True)), RGB)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tiff"])
def test_grey_becomes_three_equal_channels(save, name):
    image = read_image(save(name, GREY, quality=100))
    np.testing.assert_array_equal(image[..., 0], image[..., 2])
    np.testing.assert_allclose(image[..., 1].astype(int), GREY, atol=2)


def test_palette_becomes_its_colors(save):
    palette = Image.fromarray(RGB).quantize(16)
    np.testing.assert_array_equal(read_image(save("a.png", palette)), np.asarray(palette.convert("RGB")))


def test_transparent_palette_becomes_its_colors(save):
    palette = Image.fromarray(RGB).quantize(16)
    path = save("a.png", palette, transparency=3)
    np.testing.assert_array_equal(read_image(path), np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize("name", ["a.png", "a.tiff"])
def test_alpha_is_dropped(save, name):
    rgba = np.dstack([RGB, GREY])
    np.testing.assert_array_equal(read_image(save(name, rgba)), RGB)


def test_grey_with_alpha_is_grey(save):
    path = save("a.png", Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(GREY)]))
    np.testing.assert_array_equal(read_image(path)[..., 1], GREY)


def test_black_and_white_is_0_and_255(save):
    image = read_image(save("a.png", Image.fromarray(GREY > 100)))
    np.testing.assert_array_equal(image[..., 0], np.where(GREY > 100, 255, 0))


@pytest.mark.parametrize("name", ["a.png", "a.tiff"])
def test_16_bit_grey_is_scaled(save, name):
    np.testing.assert_array_equal(read_image(save(name, GREY_16))[..., 2], GREY)


def test_16_bit_color_is_scaled(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), RGB[..., ::-1].astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), RGB)


def test_cmyk_jpeg_becomes_rgb(save):
    path = save("a.jpg", Image.fromarray(RGB).convert("CMYK"), quality=95)
    np.testing.assert_array_equal(read_image(path), np.asarray(Image.open(path).convert("RGB")))


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_exif_orientation_is_applied(save, name):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    image = read_image(save(name, RGB, exif=exif, quality=100, subsampling=0))
    np.testing.assert_allclose(image.astype(int), np.rot90(RGB, -1), atol=8)


def test_animations_give_the_first_frame(save):
    frames = [Image.fromarray(np.full((4, 4), value, np.uint8)) for value in (10, 200)]
    path = save("a.gif", frames[0], save_all=True, append_images=frames[1:])
    assert (read_image(path) == 10).all()


def test_one_pixel_is_an_image(save):
    np.testing.assert_array_equal(read_image(save("a.png", RGB[:1, :1])), RGB[:1, :1])


def test_a_hundred_million_pixels_are_an_image(tmp_path):
    bits = Image.new("1", (10_000, 10_000))
    bits.putpixel((9_999, 9_999), 1)
    bits.save(tmp_path / "large.png")
    image = read_image(tmp_path / "large.png")
    assert image.shape == (10_000, 10_000, 3)
    assert image[-1, -1, 0] == 255
    assert image[-1, -2, 0] == 0


def test_names_may_be_strings_with_any_characters(save):
    np.testing.assert_array_equal(read_image(str(save("straße 東京.png", RGB))), RGB)


def test_the_extension_does_not_matter(save):
    path = save("a.png", RGB)
    np.testing.assert_array_equal(read_image(path.rename(path.with_suffix(".jpg"))), RGB)


# Unusable files


def test_missing_files_are_named(tmp_path):
    with pytest.raises(ImageError, match=r"There is no image file .*nothing.png"):
        read_image(tmp_path / "nothing.png")


def test_folders_are_named(tmp_path):
    with pytest.raises(ImageError, match=r"is a folder.*list_images"):
        read_image(tmp_path)


def test_empty_files_are_named(tmp_path):
    (tmp_path / "empty.png").touch()
    with pytest.raises(ImageError, match=r"empty.png is empty"):
        read_image(tmp_path / "empty.png")


def test_other_files_are_named(tmp_path):
    (tmp_path / "text.png").write_text("hello, this is no image")
    with pytest.raises(ImageError, match=r"text.png is not an image of a known format.*hello"):
        read_image(tmp_path / "text.png")


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about truncated TIFF
@pytest.mark.parametrize("read", [read_image, read_label])
@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.bmp", "a.tiff", "a.jpg", "p.jpg"])
def test_truncated_files_are_refused_wherever_they_end(save, name, read):
    path = save(name, RGB, progressive=name.startswith("p"))
    data = path.read_bytes()
    for length in [*range(1, 60), *range(60, len(data) - 1, max(len(data) // 25, 1)), len(data) - 5]:
        path.write_bytes(data[:length])
        with pytest.raises(ImageError, match=path.name):
            read(path)


def test_damaged_pngs_are_refused(save):
    path = save("a.png", RGB)
    data = path.read_bytes()
    for position in range(8, len(data), 11):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(ImageError, match=r"a\.png"):
            read_image(path)


def test_bytes_after_the_end_do_no_harm(save):
    for name in ("a.png", "a.jpg"):
        path = save(name, RGB)
        whole = read_image(path)
        path.write_bytes(path.read_bytes() + b"\0" * 100)
        np.testing.assert_array_equal(read_image(path), whole)


def test_oversized_images_name_pillows_limit(save, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ImageError, match=r"refused for its size.*MAX_IMAGE_PIXELS"):
        read_image(save("a.png", RGB))


def test_contents_are_decoded_as_their_files_are_read(save):
    path = save("a.png", RGB)
    np.testing.assert_array_equal(decode_image(path.read_bytes(), "any"), RGB)
    path = save("b.png", GREY)
    np.testing.assert_array_equal(decode_label(path.read_bytes(), "any"), GREY)


@pytest.mark.parametrize("decode", [decode_image, decode_label])
def test_unusable_contents_are_named(save, decode):
    with pytest.raises(ImageError, match="record 7 is empty"):
        decode(b"", "record 7")
    with pytest.raises(ImageError, match="record 7 is truncated"):
        decode(save("a.png", RGB).read_bytes()[:-4], "record 7")


def test_image_error_is_a_value_error():
    assert issubclass(ImageError, ValueError)


# Labels


@pytest.mark.parametrize("bit_depth", [1, 2, 4, 8, 16])
def test_labels_keep_grey_values_of_every_depth(tmp_path, bit_depth):
    values = np.arange(35).reshape(5, 7) * 1871 % 2**bit_depth
    (tmp_path / "a.png").write_bytes(png_of_grey(values, bit_depth))
    label = read_label(tmp_path / "a.png")
    np.testing.assert_array_equal(label, values)
    assert label.dtype == (np.uint16 if bit_depth == 16 else np.uint8)


def test_labels_of_palette_files_are_the_indices(save):
    palette = Image.fromarray(RGB).quantize(16)
    np.testing.assert_array_equal(read_label(save("a.png", palette)), np.asarray(palette))


@pytest.mark.parametrize("array", [RGB, np.dstack([RGB, GREY])])
def test_color_labels_keep_their_order(save, array):
    np.testing.assert_array_equal(read_label(save("a.png", array)), RGB)


def test_16_bit_color_labels_keep_their_values(tmp_path):
    colors = RGB.astype(np.uint16) * 200
    cv2.imwrite(str(tmp_path / "a.png"), colors[..., ::-1])
    np.testing.assert_array_equal(read_label(tmp_path / "a.png"), colors)


def test_a_transparent_grey_value_stays_a_label(save):
    np.testing.assert_array_equal(read_label(save("a.png", GREY, transparency=5)), GREY)


def test_32_bit_tiff_labels_keep_their_values(save):
    values = GREY.astype(np.int32) * 70_000
    np.testing.assert_array_equal(read_label(save("a.tiff", values)), values)


def test_16_bit_labels_with_alpha_are_refused(tmp_path):
    # Pillow would shorten them to 8 bits.
    grey_with_alpha = bytearray(png_of_grey(np.arange(8).reshape(2, 4), 16))
    grey_with_alpha[19], grey_with_alpha[25] = 2, 4  # two pixels of grey and alpha in a row
    grey_with_alpha[29:33] = struct.pack(">I", zlib.crc32(grey_with_alpha[12:29]))
    (tmp_path / "a.png").write_bytes(grey_with_alpha)
    with pytest.raises(ImageError, match="does not keep label values"):
        read_label(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.jpg", "a.webp"])
def test_lossy_labels_are_refused(save, name):
    with pytest.raises(ImageError, match=rf"{name}.*as PNG"):
        read_label(save(name, GREY))


def test_labels_of_fractions_are_refused(save):
    with pytest.raises(ImageError, match="does not keep label values"):
        read_label(save("a.tiff", GREY.astype(np.float32)))


# Arrays


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.float32, np.float64, np.float16])
def test_arrays_of_0_to_255_keep_their_values(dtype):
    array = to_rgb_array(RGB.astype(dtype))
    np.testing.assert_array_equal(array, RGB)
    assert array.dtype == np.uint8


@pytest.mark.parametrize("array", [GREY, GREY[..., None]])
def test_grey_arrays_get_three_channels(array):
    np.testing.assert_array_equal(to_rgb_array(array), np.dstack([GREY] * 3))


def test_alpha_of_arrays_is_dropped():
    np.testing.assert_array_equal(to_rgb_array(np.dstack([RGB, GREY])), RGB)


def test_fractions_are_rounded():
    np.testing.assert_array_equal(to_rgb_array(np.array([[0.4, 99.6, 254.9]]))[0, :, 0], [0, 100, 255])


def test_16_bit_arrays_are_scaled():
    np.testing.assert_array_equal(
        to_rgb_array(np.array([[128, 200, 65535]], np.uint16))[0, :, 0], [0, 1, 255]
    )


def test_black_float_arrays_are_images():
    assert not to_rgb_array(np.zeros((2, 2, 3))).any()


def test_pil_images_are_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, "PNG", exif=exif)
    np.testing.assert_array_equal(to_rgb_array(Image.open(buffer)), RGB[::-1, ::-1])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((2, 2, 3), 0.5), r"look normalised to \[0, 1\]"),
        (np.full((2, 2, 3), -1.0), "-1.0 to -1.0"),
        (np.full((2, 2, 3), 256), "256 to 256"),
        (np.full((2, 2, 3), np.nan), "nan to nan"),
        (np.zeros((2, 2, 3), bool), "dtype bool"),
        (np.array([["a"]]), "dtype <U1"),
        (np.zeros((3, 20, 30), np.uint8), r"\(3, 20, 30\). Move the channels last"),
        (np.zeros((1, 20, 30, 3), np.uint8), "Pass one image at a time"),
        (np.zeros((20, 30, 2), np.uint8), r"Received: \(20, 30, 2\)"),
        (np.zeros((0, 30, 3), np.uint8), r"Received: \(0, 30, 3\)"),
        (7, r"Received: \(\)"),
    ],
)
def test_unusable_arrays_are_described(array, message):
    with pytest.raises(ImageError, match=message):
        to_rgb_array(array)


# Folders


def test_images_of_a_folder_are_sorted(save, tmp_path):
    for name in ("b.PNG", "a.jpg", "c.tiff", ".hidden.png"):
        save(name, RGB)
    (tmp_path / "notes.txt").write_text("none")
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.jpg", "b.PNG", "c.tiff"]


def test_folders_without_images_are_named(tmp_path):
    with pytest.raises(ImageError, match=r"holds no image. Looked for: .bmp"):
        list_images(tmp_path)


def test_missing_folders_are_named(tmp_path):
    with pytest.raises(ImageError, match="nowhere does not exist"):
        list_images(tmp_path / "nowhere")


def test_files_are_no_folders(save):
    with pytest.raises(ImageError, match="is a file, not a folder"):
        list_images(save("a.png", RGB))


def test_file_sizes_come_from_the_header(save):
    assert image_file_size(save("a.png", RGB)) == (HEIGHT, WIDTH)


def test_sizes_of_unusable_files_are_refused(tmp_path):
    with pytest.raises(ImageError, match="There is no image file"):
        image_file_size(tmp_path / "a.png")
    (tmp_path / "a.png").write_text("none")
    with pytest.raises(ImageError, match="cannot be read as an image"):
        image_file_size(tmp_path / "a.png")
