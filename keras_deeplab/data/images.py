"""Image files and arrays as RGB arrays, and label files as integer maps."""

from __future__ import annotations

import io
import os
import pathlib
import struct
import zlib

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from keras_deeplab.data.image_format import GREY, JPEG_SIGNATURE, PNG_SIGNATURE, RGB, RGBA, read_header
from keras_deeplab.data.png import decode_png

IMAGE_EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")

_LABEL_MODES = ("1", "L", "P", "LA", "PA", "RGB", "RGBA", "I", "I;16", "I;16B", "I;16L", "I;16N")
_DECODING_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)


class ImageError(ValueError):
    """An image cannot be used. The message names the file or array, and the way out."""


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Reads an image file as 8-bit RGB.

    Grey and palette images become RGB, 16-bit values are scaled to 8 bits, an alpha channel is dropped,
    the EXIF orientation is applied; of an animation the first frame is read.

    Args:
        path: path of a PNG, JPEG, WebP, BMP, TIFF, GIF or PPM file.

    Returns:
        uint8 `[H, W, 3]`, RGB.

    Raises:
        ImageError: when the file is missing, empty, truncated, damaged or no image.

    Example:
    ```python
    image = read_image("street.jpg")
    ```
    """
    return decode_image(_read_bytes(path), path)


def decode_image(data: bytes, name: str | os.PathLike) -> np.ndarray:
    """Decodes the content of an image file to 8-bit RGB, as `read_image` does.

    Args:
        data: bytes of a whole file.
        name: path or description of the image, for error messages.

    Returns:
        uint8 `[H, W, 3]`, RGB.

    Raises:
        ImageError: when the content is empty, truncated, damaged or no image.

    Example:
    ```python
    image = decode_image(pathlib.Path("street.jpg").read_bytes(), "street.jpg")
    ```
    """
    header = _checked_header(name, data)
    plain = header and header.color_type >= 0 and not header.has_exif and _fits_pillow_limit(header)
    if plain and header.bit_depth == 16:
        image = _decode_as_stored(data, header)
        return to_rgb_array(image) if image is not None else _decode_rgb_with_pillow(name, data)
    image = decode_png(data, header) if plain and _is_rgb_png(data, header) else None
    if image is None and plain:
        image = _decode_with_opencv(data, cv2.IMREAD_COLOR)
    return image if image is not None else _decode_rgb_with_pillow(name, data)


def read_label(path: str | os.PathLike) -> np.ndarray:
    """Reads a label file, with its values as stored.

    Palette files give their indices, 16-bit files all 16 bits; an alpha channel is dropped.

    Args:
        path: path of a PNG file, or another lossless one.

    Returns:
        uint8, uint16 or int32 `[H, W]`; or uint8 or uint16 `[H, W, 3]` for an RGB file.

    Raises:
        ImageError: when the file is missing, empty, truncated, damaged, no image, a JPEG, or holds
            fractions.

    Example:
    ```python
    ids = read_label("aachen_000000_000019_gtFine_instanceIds.png")
    ```
    """
    return decode_label(_read_bytes(path), path)


def decode_label(data: bytes, name: str | os.PathLike) -> np.ndarray:
    """Decodes the content of a label file, with its values as stored, as `read_label` does.

    Args:
        data: bytes of a whole file.
        name: path or description of the label, for error messages.

    Returns:
        uint8, uint16 or int32 `[H, W]`; or uint8 or uint16 `[H, W, 3]` for an RGB file.

    Raises:
        ImageError: when the content is empty, truncated, damaged, no image, a JPEG, or holds fractions.

    Example:
    ```python
    ids = decode_label(pathlib.Path("aachen_gtFine_labelIds.png").read_bytes(), "aachen")
    ```
    """
    if data.startswith(JPEG_SIGNATURE):
        raise ImageError(f"{name} is a JPEG, which changes the values of a label map. Save it as PNG.")
    header = _checked_header(name, data)
    stored_plainly = header and header.color_type in (GREY, RGB, RGBA) and header.bit_depth >= 8
    if stored_plainly and _fits_pillow_limit(header):
        label = _decode_as_stored(data, header)
        if label is not None:
            if header.color_type == GREY and label.ndim == 3:  # grey with a transparent value
                label = label[..., 0]
            return np.ascontiguousarray(label if label.ndim == 2 else label[..., :3])
    return _decode_label_with_pillow(name, data, header)


def to_rgb_array(image) -> np.ndarray:
    """Brings an image array or a PIL image to 8-bit RGB.

    Args:
        image: PIL image (its EXIF orientation is applied), or array `[H, W]`, `[H, W, 1]`, `[H, W, 3]` or
            `[H, W, 4]` (alpha is dropped) of
            uint8; uint16, scaled from 0..65535 to 0..255; or another integer or float dtype with values
            in 0..255, rounded.

    Returns:
        uint8 `[H, W, 3]`, RGB.

    Raises:
        ImageError: for another shape, an empty array, values outside of 0..255, NaN, or fractions none
            of which exceeds 1, which look like an image normalised to [0, 1].

    Example:
    ```python
    to_rgb_array(np.full((2, 2), 0.6 * 255))  # grey, all 153
    ```
    """
    if isinstance(image, Image.Image):
        image = _pil_to_array(ImageOps.exif_transpose(image))
    array = np.asarray(image)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3, 4) or array.size == 0:
        hint = " Move the channels last." if array.ndim == 3 and array.shape[0] in (1, 3, 4) else ""
        if array.ndim == 4:
            hint = " Pass one image at a time."
        raise ImageError(
            "An image must have shape [H, W], [H, W, 1], [H, W, 3] or [H, W, 4]. "
            f"Received: {array.shape}.{hint}"
        )
    array = _to_uint8(array[..., :3])
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))


def list_images(folder: str | os.PathLike) -> list[pathlib.Path]:
    """The image files of a folder, by their extension, sorted by name. Hidden files are left out.

    Args:
        folder: path of a folder.

    Returns:
        List of paths.

    Raises:
        ImageError: when the folder is missing, is not a folder, or holds no image.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        problem = "is a file, not a folder" if folder.exists() else "does not exist"
        raise ImageError(f"The image folder {folder} {problem}.")
    paths = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_EXTENSIONS and not path.name.startswith(".") and path.is_file()
    )
    if not paths:
        raise ImageError(f"The folder {folder} holds no image. Looked for: {', '.join(IMAGE_EXTENSIONS)}")
    return paths


def image_file_size(path: str | os.PathLike) -> tuple[int, int]:
    """`(height, width)` of an image file, from its header, as stored (without EXIF orientation).

    Raises:
        ImageError: when the file is missing or no image.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
    except FileNotFoundError:
        raise ImageError(f"There is no image file {path}.") from None
    except (*_DECODING_ERRORS, Image.DecompressionBombError) as error:
        raise ImageError(f"{path} cannot be read as an image: {error}") from error
    return height, width


def _read_bytes(path):
    try:
        return pathlib.Path(path).read_bytes()
    except FileNotFoundError:
        raise ImageError(f"There is no image file {path}.") from None
    except IsADirectoryError:
        raise ImageError(f"{path} is a folder. Pass a file; `list_images` lists those of a folder.") from None
    except OSError as error:
        raise ImageError(f"The image file {path} cannot be read: {error.strerror}.") from error


def _checked_header(name, data):
    if not data:
        raise ImageError(f"The image file {name} is empty. Copy or download it again.")
    try:
        return read_header(data)
    except ValueError as error:
        raise ImageError(f"The image file {name} {error}. Copy or download it again.") from None


def _fits_pillow_limit(header):
    # Beyond, Pillow refuses the file as a decompression bomb; with limit None it never does.
    limit = Image.MAX_IMAGE_PIXELS
    return limit is None or header.width * header.height <= 2 * limit


def _is_rgb_png(data, header):
    return data.startswith(PNG_SIGNATURE) and header.color_type == RGB


def _decode_as_stored(data, header):
    """The values of a PNG file in RGB(A) order, or `None` when neither decoder takes it."""
    pixels = decode_png(data, header) if data.startswith(PNG_SIGNATURE) else None
    return _decode_with_opencv(data, cv2.IMREAD_UNCHANGED) if pixels is None else pixels


def _decode_with_opencv(data, flags):
    """The pixels in RGB(A) order, or `None` when OpenCV cannot decode them."""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
    if image is None or image.ndim == 2:
        return image
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA if image.shape[-1] == 4 else cv2.COLOR_BGR2RGB)


def _open_with_pillow(name, data):
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except UnidentifiedImageError:
        raise ImageError(
            f"{name} is not an image of a known format (it starts with {data[:8]!r}). "
            "Convert it to PNG or JPEG."
        ) from None
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"The image file {name} is refused for its size. If you trust it, raise "
            f"PIL.Image.MAX_IMAGE_PIXELS. ({error})"
        ) from None
    except _DECODING_ERRORS as error:
        raise ImageError(f"The image file {name} is damaged: {error}. Copy or download it again.") from error
    return image


def _decode_rgb_with_pillow(name, data):
    image = _open_with_pillow(name, data)
    try:
        return to_rgb_array(image)
    except ImageError as error:
        raise ImageError(f"The image file {name} cannot be used: {error}") from None


def _decode_label_with_pillow(name, data, header):
    image = _open_with_pillow(name, data)
    shortened = header is not None and header.bit_depth == 16 and not image.mode.startswith("I;16")
    if shortened or image.format == "WEBP" or image.mode not in _LABEL_MODES:
        raise ImageError(
            f"{name} ({image.format}, {image.mode} pixels) does not keep label values. Save integers as PNG."
        )
    label = np.asarray(image)
    if image.mode in ("LA", "PA"):
        label = label[..., 0]
    if image.mode == "1":
        return label.astype(np.uint8)
    if image.mode == "L" and header is not None and header.bit_depth < 8:
        # Pillow stretches 2- and 4-bit grey to 0..255.
        return label // np.uint8(255 // (2**header.bit_depth - 1))
    if image.mode.startswith("I;16"):
        return label.astype(np.uint16)
    return np.ascontiguousarray(label[..., :3]) if label.ndim == 3 else label.copy()


def _pil_to_array(image):
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    if image.mode == "I":
        array = np.asarray(image)
        return array.astype(np.uint16) if array.min() >= 0 and 255 < array.max() <= 65535 else array
    if image.mode == "F":
        return np.asarray(image)
    return np.asarray(image.convert("RGB"))


def _to_uint8(array):
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if not (np.issubdtype(array.dtype, np.integer) or np.issubdtype(array.dtype, np.floating)):
        raise ImageError(f"An image must hold numbers in 0..255. Received: dtype {array.dtype}")
    smallest, largest = array.min(), array.max()
    if not (smallest >= 0 and largest <= 255):  # also false for NaN
        raise ImageError(f"An image must hold values in 0..255. Received: {smallest} to {largest}")
    rounded = np.rint(array)
    if largest <= 1 and (rounded != array).any():
        raise ImageError(
            f"An image must hold values in 0..255. Received: {smallest} to {largest}, which look normalised "
            "to [0, 1]; multiply by 255."
        )
    return rounded.astype(np.uint8)
