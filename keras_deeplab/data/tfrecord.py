"""DeepLab2's TFRecords, read as they are. Without TensorFlow."""

from __future__ import annotations

import bisect
import functools
import itertools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_deeplab.data.deeplab2_record import DeepLab2Record
from keras_deeplab.data.tfrecord_file import TFRecordFile, find_shards
from keras_deeplab.labels import LabelSpace


class TFRecords:
    """DeepLab2's TFRecord files as a random-access sequence of samples.

    Everything that DeepLab2's converters write is read: images as PNG or JPEG; labels as raw int32 panoptic
    maps or as PNGs of classes; previous or next frames, and depth.

    Samples are dicts of `"image"` uint8 `[H, W, 3]`, `"panoptic"` int32 `[H, W]` and `"name"`. Where the
    records hold them, there are also `"sequence"`, `"frame"`, `"previous_image"`, `"previous_panoptic"`,
    `"next_image"`, `"next_panoptic"` and `"depth"` (float32 `[H, W]` in metres, 0 where unknown). By default,
    DeepLab2's converters make crowds void.

    Opening reads the lengths of the records only; `names` are read on first use.

    Args:
        paths: path or pattern (`"records/train-*.tfrecord"`) of uncompressed TFRecord files, or a sequence
            of them. A pattern must find all of the shards that it means.
        label_space: `LabelSpace` of the labels. The records do not hold it.
        labels: `"auto"` reads labels and depth if the first record has a label; `None` reads images only.
        images: bool. `False` reads labels and depth only.
        cameras: name or sequence of names of the cameras to read, for records of several cameras. Each view
            is a sample of its own, and has a `"camera"`; all those of the first camera come first.

    Raises:
        ValueError: when files are missing, compressed, truncated or no TFRecords, or hold no record; when a
            sample is read, for damaged records, missing features, classes that the label space does not
            have, or sizes that differ. Without the package google-crc32c (`pip install
            keras-deeplab[tfrecord]`), checksums of the records are not verified.

    Example:
    ```python
    train = TFRecords("/data/records/train-*.tfrecord", CITYSCAPES)
    train[0]["panoptic"].shape  # (1024, 2048)
    ```
    """

    def __init__(
        self,
        paths: str | os.PathLike | Sequence[str | os.PathLike],
        label_space: LabelSpace,
        labels: str | None = "auto",
        images: bool = True,
        cameras: str | Sequence[str] | None = None,
    ):
        if labels not in ("auto", None):
            raise ValueError(f"`labels` must be 'auto' or None. Received: labels={labels!r}")
        self.label_space = LabelSpace.create(label_space)
        self.images = images
        self.cameras = (cameras,) if isinstance(cameras, str) else tuple(cameras or ())
        paths = find_shards(paths)
        with ThreadPoolExecutor() as pool:
            self.files = list(pool.map(TFRecordFile, paths))
        self._starts = list(itertools.accumulate((len(file) for file in self.files), initial=0))
        if self._starts[-1] == 0:
            raise ValueError(f"There are no records in {len(paths)} files, the first is {paths[0]}.")
        first = self._record(0)
        if first.cameras and not self.cameras:
            raise ValueError(
                f"{first.place} is of several cameras. Pass `cameras`, of {', '.join(first.cameras)}."
            )
        self.labels = first.label_format if labels == "auto" else None
        if self.labels is None and not images:
            raise ValueError(
                "Nothing to read: `images` is False, and there are no labels or `labels` is None."
            )

    def __len__(self) -> int:
        return self._starts[-1] * max(len(self.cameras), 1)

    def __getitem__(self, index: int) -> dict:
        return self._record(index).sample(self.label_space, self.images, self.labels is not None)

    def __repr__(self) -> str:
        cameras = f", cameras={self.cameras}" if self.cameras else ""
        return (
            f"TFRecords({self._starts[-1]} records in {len(self.files)} files, "
            f"label_space={self.label_space.name!r}, labels={self.labels!r}{cameras})"
        )

    @functools.cached_property
    def names(self) -> list[str]:
        """The names of all samples. Of each record, only the parts around its name are read."""
        return [record.name for record in self._records()]

    @functools.cached_property
    def sequences(self) -> list[str]:
        """The sequences of all samples, for records of videos; others do not have this attribute."""
        return self._positions("sequence")

    @functools.cached_property
    def frames(self) -> list[int]:
        """The numbers of all samples in their sequences, for records of videos."""
        return self._positions("frame")

    def load_panoptic(self, index: int) -> np.ndarray:
        """The label map of one sample, without its image.

        Args:
            index: int. Position in the sequence.

        Returns:
            int32 `[H, W]`, `class * label_divisor + instance`.

        Raises:
            ValueError: when the record is damaged or holds unknown classes, or labels are not read.
        """
        if self.labels is None:
            raise ValueError("This reader has no label maps: the records have none, or `labels` is None.")
        return self._record(index).panoptic(self.label_space)

    def _positions(self, field):
        if field not in self._record(0).position():
            raise AttributeError(f"The records have no {field}: they are none of a video.")
        return [record.position()[field] for record in self._records()]

    def _records(self):
        """All records in order, of which only what is looked at is read."""
        return (
            DeepLab2Record(view, f"{file.path}, record {number}", camera)
            for camera in self.cameras or [None]
            for file in self.files
            for number, view in enumerate(file.views())
        )

    def _record(self, index):
        camera, number = divmod(range(len(self))[index], self._starts[-1])
        # The last of the files that start here: those before it are empty.
        file_number = bisect.bisect_right(self._starts, number) - 1
        file, number = self.files[file_number], number - self._starts[file_number]
        place = f"{file.path}, record {number}"
        return DeepLab2Record(file[number], place, self.cameras[camera] if self.cameras else None)
