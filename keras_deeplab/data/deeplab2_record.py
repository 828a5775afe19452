"""What a record of DeepLab2 holds: features of tf.train.Example, to samples and back."""

from __future__ import annotations

import re

import cv2
import numpy as np

from keras_deeplab.data.image_format import PNG_SIGNATURE
from keras_deeplab.data.images import decode_image, decode_label, to_rgb_array
from keras_deeplab.data.tf_example import decode_example, encode_example
from keras_deeplab.data.writers import image_stem
from keras_deeplab.labels import LabelSpace
from keras_deeplab.runs import find_runs
from keras_deeplab.segments import as_label_map, check_classes

# What the fields of a frame begin with in samples, and its features in records.
_FRAMES = {"": "image", "previous_": "prev_image", "next_": "next_image"}
_IMAGE, _IMAGE_FORMAT = "{}/encoded", "image/format"
_LABEL, _LABEL_FORMAT = "{}/segmentation/class/encoded", "image/segmentation/class/format"
_DEPTH, _DEPTH_FORMAT = "image/depth/encoded", "image/depth/format"
_NAME, _HEIGHT, _WIDTH, _CHANNELS = "image/filename", "image/height", "image/width", "image/channels"
_SEQUENCE, _FRAME = "video/sequence_id", "video/frame_id"
_VIDEO_FIELDS = {*("sequence", "frame", "previous_image", "previous_panoptic", "next_image", "next_panoptic")}
_SHARED_BY_CAMERAS = (_NAME, _SEQUENCE, _FRAME)

_DEPTH_STEPS = 256  # a metre is stored as 256
_IMAGE_OPTIONS = {"png": [], "jpeg": [cv2.IMWRITE_JPEG_QUALITY, 95]}
_KINDS = {memoryview: "byte string", int: "integer"}


class DeepLab2Record:
    """One record, or one camera of it.

    Args:
        data: bytes or memoryview, a serialised tf.train.Example.
        place: str. What errors call the record.
        camera: name of the camera, for records of several cameras.

    Raises:
        ValueError: when the data are no tf.train.Example; when something is decoded, if it is missing or
            damaged.
    """

    def __init__(self, data: bytes | memoryview, place: str, camera: str | None = None):
        self.place = place
        self.camera = camera
        try:
            self.features = decode_example(data)
        except ValueError as error:
            raise ValueError(f"{place} is no valid tf.train.Example: {error}.") from error

    @property
    def cameras(self) -> list[str]:
        """The names of the cameras, sorted; empty in a record of plain images."""
        start = _IMAGE.format("image") + "/"
        return sorted(name.removeprefix(start) for name in self.features if name.startswith(start))

    @property
    def label_format(self) -> str | None:
        """`"raw"` for int32 panoptic maps, `"png"` for PNGs of classes, `None` without a label."""
        name = _LABEL.format("image")
        return _map_format(self._bytes(name)) if name in self else None

    @property
    def name(self) -> str:
        """Name of the sample: with the sequence, where files are only named by the number of the frame."""
        *folders, file_name = self._text(_NAME).split("/")
        name = "/".join([*folders, image_stem(file_name)])
        if _SEQUENCE in self:
            sequence = self._text(_SEQUENCE)
            told = name == sequence or name.startswith((f"{sequence}_", f"{sequence}/"))
            name = name if told else f"{sequence}/{name}"
        return name if self.camera is None else f"{name}/{self.camera}"

    def position(self) -> dict:
        """Where the sample comes from: `"sequence"`, `"frame"` and `"camera"`, as far as there are any."""
        fields = {}
        if _SEQUENCE in self:
            fields["sequence"] = self._text(_SEQUENCE)
        if _FRAME in self:
            numbers = re.findall(r"[0-9]+", self._text(_FRAME))
            if not numbers:
                raise ValueError(f"{self.place}: {_FRAME!r} has no number: {self._text(_FRAME)!r}")
            fields["frame"] = int(numbers[-1])
        return fields if self.camera is None else fields | {"camera": self.camera}

    def sample(self, label_space: LabelSpace, images: bool = True, labels: bool = True) -> dict:
        """Decodes the sample: the fields that are asked for and there; image and label must be there."""
        sample = {"name": self.name} | self.position()
        for field, frame in _FRAMES.items():
            if images and (frame == "image" or _IMAGE.format(frame) in self):
                sample[f"{field}image"] = self._image(_IMAGE.format(frame))
            if labels and (frame == "image" or _LABEL.format(frame) in self):
                sample[f"{field}panoptic"] = self.panoptic(label_space, frame)
        if labels and _DEPTH in self:
            sample["depth"] = self._depth()
        return sample

    def panoptic(self, label_space: LabelSpace, frame: str = "image") -> np.ndarray:
        """Decodes a label map: int32 `[H, W]`, `class * label_divisor + instance`."""
        name = _LABEL.format(frame)
        if frame == "image" and name not in self:
            raise ValueError(f"{self.place} has no label. Pass labels=None to read images only.")
        ids = self._map(name)
        if _map_format(self._bytes(name)) == "png":
            ids = ids.astype(np.int64) * label_space.label_divisor
        try:
            return clean_panoptic(ids, label_space)
        except ValueError as error:
            raise ValueError(f"{self.place}, {name}: {error}") from None

    def __contains__(self, name):
        return self._camera_name(name) in self.features

    def _camera_name(self, name):
        return name if self.camera is None or name in _SHARED_BY_CAMERAS else f"{name}/{self.camera}"

    def _value(self, name, kind):
        name = self._camera_name(name)
        if name not in self.features:
            raise ValueError(f"{self.place} has no {name!r}. It has: {', '.join(sorted(self.features))}")
        values = self.features[name]
        if len(values) != 1 or not isinstance(values[0], kind):
            raise ValueError(f"{self.place}: {name!r} does not hold one {_KINDS[kind]}.")
        return values[0]

    def _bytes(self, name):
        return self._value(name, memoryview)

    def _text(self, name):
        try:
            return bytes(self._bytes(name)).decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.place}: {name!r} is no text: {error}") from None

    def _size(self):
        size = self._value(_HEIGHT, int), self._value(_WIDTH, int)
        if min(size) < 1:
            raise ValueError(f"{self.place} has an image size of {_text_of(size)}.")
        return size

    def _image(self, name):
        image = decode_image(bytes(self._bytes(name)), f"{self.place}, {name}")
        if image.shape[:2] != self._size():
            raise ValueError(
                f"{self.place}: {name!r} is {_text_of(image.shape)}, but {_HEIGHT!r} and {_WIDTH!r} say "
                f"{_text_of(self._size())}."
            )
        return image

    def _depth(self):
        depth = self._map(_DEPTH)
        if depth.min() < 0:
            raise ValueError(f"{self.place}: {_DEPTH!r} holds negative values, the least is {depth.min()}.")
        return depth.astype(np.float32) / np.float32(_DEPTH_STEPS)

    def _map(self, name):
        """An integer map `[H, W]`, stored as raw int32 or as PNG."""
        data, size = self._bytes(name), self._size()
        if _map_format(data) == "png":
            label = decode_label(bytes(data), f"{self.place}, {name}")
            if label.shape != size:
                raise ValueError(
                    f"{self.place}: {name!r} is a PNG of shape {label.shape}. Expected: {size}, as the image."
                )
            return label
        if len(data) != 4 * size[0] * size[1]:
            raise ValueError(
                f"{self.place}: {name!r} has {len(data)} bytes. It is no PNG, and an int32 map of "
                f"{_text_of(size)} has {4 * size[0] * size[1]}."
            )
        return np.frombuffer(data, "<i4").reshape(size)


def encode_sample(
    sample: dict, label_space: LabelSpace, panoptic: bool = True, image_format: str = "png"
) -> bytes:
    """A sample as a record of DeepLab2.

    Args:
        sample: dict with `"image"` and `"name"`, and optionally `"panoptic"`, `"sequence"` and `"frame"`,
            `"depth"`, and images and maps of the previous or the next frame.
        label_space: `LabelSpace` of the maps.
        panoptic: bool. Whether labels are panoptic maps in raw int32, or PNGs of the classes alone.
        image_format: `"png"`, or `"jpeg"`, which is smaller and changes the pixels.

    Returns:
        bytes of a tf.train.Example.

    Raises:
        ValueError: for missing fields, maps of another size or with unknown classes, depth that is negative
            or not finite, or classes beyond 255 in a PNG.
    """
    if not sample.get("name") or "image" not in sample:
        raise ValueError("A record needs an image and a name.")
    size = to_rgb_array(sample["image"]).shape[:2]
    features = {
        _NAME: sample["name"].encode(),
        _IMAGE_FORMAT: image_format.encode(),
        _HEIGHT: size[0],
        _WIDTH: size[1],
        _CHANNELS: 3,
    }
    if _VIDEO_FIELDS & sample.keys():
        if not {"sequence", "frame"} <= sample.keys():
            raise ValueError("The record of a video needs a `sequence` and the number of the `frame`.")
        features[_NAME] = sample["name"].removeprefix(f"{sample['sequence']}/").encode()
        features[_SEQUENCE] = str(sample["sequence"]).encode()
        features[_FRAME] = f"{sample['frame']:06d}".encode()
    for field, frame in _FRAMES.items():
        image, label = f"{field}image", f"{field}panoptic"
        if image in sample:
            features[_IMAGE.format(frame)] = _encode_image(sample[image], size, image, image_format)
        if label in sample:
            features[_LABEL.format(frame)] = _encode_label(sample[label], size, label, label_space, panoptic)
            features[_LABEL_FORMAT] = b"raw" if panoptic else b"png"
    if "depth" in sample:
        features[_DEPTH] = _encode_depth(sample["depth"], size)
        features[_DEPTH_FORMAT] = b"raw"
    return encode_example({name: [value] for name, value in features.items()})


def _encode_image(image, size, field, image_format):
    _check_size(image, size, field)
    pixels = cv2.cvtColor(to_rgb_array(image), cv2.COLOR_RGB2BGR)
    return cv2.imencode(f".{image_format}", pixels, _IMAGE_OPTIONS[image_format])[1].tobytes()


def _encode_label(ids, size, field, label_space, panoptic):
    _check_size(ids, size, field)
    ids = clean_panoptic(ids, label_space, field)
    if panoptic:
        return ids.astype("<i4").tobytes()
    classes = ids // label_space.label_divisor
    if classes.max() > 255:
        raise ValueError(f"A PNG of classes holds 0..255. Received: {field} with class {classes.max()}")
    return cv2.imencode(".png", classes.astype(np.uint8))[1].tobytes()


def _encode_depth(depth, size):
    _check_size(depth, size, "depth")
    if not (np.isfinite(depth).all() and np.min(depth) >= 0 and np.max(depth) * _DEPTH_STEPS < 2**31):
        raise ValueError("`depth` must be in metres, 0 where unknown. Received: negative or infinite values")
    return np.rint(np.multiply(depth, _DEPTH_STEPS, dtype=np.float64)).astype("<i4").tobytes()


def _check_size(array, size, field):
    if np.shape(array)[:2] != size:
        raise ValueError(f"`{field}` has shape {np.shape(array)}, but the image is {_text_of(size)}.")


def clean_panoptic(ids: np.ndarray, label_space: LabelSpace, name: str = "panoptic") -> np.ndarray:
    """Checks the classes of a panoptic map, and sets the instance of stuff and void to 0.

    Args:
        ids: integer `[H, W]`, `class * label_divisor + instance`.
        label_space: `LabelSpace`.
        name: str. What the map is called in errors.

    Returns:
        int32 `[H, W]`, a new array.

    Raises:
        ValueError: for classes that the label space does not have, an empty map, or one that does not hold
            integers.

    Example:
    ```python
    clean_panoptic(np.array([[7001, 13001, 255003]]), CITYSCAPES)  # [[7000, 13001, 255000]]
    ```
    """
    runs = find_runs(as_label_map(name, ids))
    classes, instances = np.divmod(runs.ids, label_space.label_divisor)
    check_classes(name, classes, label_space)
    clean = classes * label_space.label_divisor + np.where(np.isin(classes, label_space.things), instances, 0)
    return runs.paint(clean, np.int32) if (clean != runs.ids).any() else ids.astype(np.int32)


def _map_format(data):
    return "png" if data[: len(PNG_SIGNATURE)] == PNG_SIGNATURE else "raw"


def _text_of(size):
    return f"{size[0]}x{size[1]}"
