"""What all readers of image and label files have in common."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Mapping

import numpy as np

from keras_deeplab.data.files import check_same_size, common_names
from keras_deeplab.data.images import ImageError, image_file_size, read_image, read_label
from keras_deeplab.labels import LabelSpace

_DEPTH_UNIT = 256  # of a depth file's values in a metre


class FileReader:
    """Samples from files, as a random-access sequence: an image, and its label and depth where they are read.

    The readers of datasets find the files and say in `decode_label` what their labels mean.

    Samples are dicts of `"name"`, `"image"` uint8 `[H, W, 3]`, `"panoptic"` int32 `[H, W]`, `"depth"`
    float32 `[H, W]` in metres with 0 for unknown; and of videos `"sequence"` and `"frame"`.

    Args:
        images: dict from name to the path of an image. `None` when images are not read.
        labels: dict from name to the path of a label. `None` when labels are not read.
        label_space: `LabelSpace` of the panoptic maps.
        depths: dict from name to the path of a 16-bit depth file, in 1/256 metres; or `None`.
        frames: of a video, dict from name to `(sequence, frame)`; samples then come in that order.

    Raises:
        ValueError: when there is nothing to read, or names have an image but no label or the other way
            round; when a sample is read, for damaged or wrong files and for sizes that differ.
    """

    def __init__(
        self,
        images: Mapping[str, pathlib.Path] | None,
        labels: Mapping[str, pathlib.Path] | None,
        label_space: LabelSpace,
        depths: Mapping[str, pathlib.Path] | None = None,
        frames: Mapping[str, tuple[str, int]] | None = None,
    ):
        if images is None and labels is None:
            raise ValueError("Nothing to read: `labels` is None and `images` is False.")
        self.label_space = LabelSpace.create(label_space)
        self.names = common_names(images, labels)
        if frames is not None:
            self.names.sort(key=lambda name: frames[name])
            self.sequences = [frames[name][0] for name in self.names]
            self.frames = [frames[name][1] for name in self.names]
        self._is_video = frames is not None
        self._image_paths, self._label_paths, self._depth_paths = images, labels, depths

    def decode_label(self, label: np.ndarray, path: pathlib.Path) -> np.ndarray:
        """The panoptic map, int32 `[H, W]`, of a label file: `label` as `read_label` gives it."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> dict:
        name = self.names[index]
        sample = {"name": name}
        if self._is_video:
            sample |= {"sequence": self.sequences[index], "frame": self.frames[index]}
        for key, paths, load, kind in (
            ("image", self._image_paths, self.load_image, ""),
            ("panoptic", self._label_paths, self.load_panoptic, "label map"),
            ("depth", self._depth_paths, self.load_depth, "depth map"),
        ):
            if paths is not None:
                sample[key] = load(index)
                if kind and "image" in sample:
                    check_same_size(sample["image"], self._image_paths[name], sample[key], paths[name], kind)
        return sample

    @functools.cached_property
    def image_size(self) -> tuple[int, int]:
        """`(height, width)` of the first image, from its file's header."""
        paths = self._image_paths if self._image_paths is not None else self._label_paths
        return image_file_size(paths[self.names[0]])

    def load_image(self, index: int) -> np.ndarray:
        """The image of one sample alone, uint8 `[H, W, 3]`.

        Raises:
            ValueError: when the file is missing or damaged, or images are not read.
        """
        if self._image_paths is None:
            raise ValueError("This reader was made with images=False and has no images.")
        return read_image(self._image_paths[self.names[index]])

    def load_panoptic(self, index: int) -> np.ndarray:
        """The panoptic map of one sample alone.

        Args:
            index: int. Position in the sequence.

        Returns:
            int32 `[H, W]`, `class * label_divisor + instance`.

        Raises:
            ValueError: when the file is missing, damaged or holds unknown ids, or labels are not read.
        """
        if self._label_paths is None:
            raise ValueError("This reader was made with labels=None and has no label maps.")
        path = self._label_paths[self.names[index]]
        label = read_label(path)
        try:
            return self.decode_label(label, path)
        except ImageError:  # of a second file, which it names
            raise
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def load_depth(self, index: int) -> np.ndarray:
        """The depth map of one sample alone, float32 `[H, W]` in metres, 0 for unknown.

        Raises:
            ValueError: when the file is missing, damaged or not 16-bit, or there are no depth maps.
        """
        if self._depth_paths is None:
            raise ValueError("This reader has no depth maps.")
        path = self._depth_paths[self.names[index]]
        depth = read_label(path)
        if depth.dtype != np.uint16 or depth.ndim != 2:
            raise ImageError(f"The depth map {path} must be a 16-bit grey PNG. Received: {describe(depth)}")
        return depth.astype(np.float32) / _DEPTH_UNIT


def describe(array: np.ndarray) -> str:
    """Shape and dtype of an array, for messages."""
    return f"shape {array.shape}, {array.dtype}"


def describe_video_reader(reader) -> str:
    """What `repr` says of a video reader with a `root` and a `split`."""
    kind, sequences = type(reader).__name__, len(set(reader.sequences))
    return (
        f"{kind}({str(reader.root)!r}, split={reader.split!r}, {len(reader)} frames of {sequences} sequences)"
    )
