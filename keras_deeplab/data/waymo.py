"""The panoptic labels of the Waymo Open Dataset's cameras, straight from its parquet files."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from keras_deeplab.data.file_reader import describe
from keras_deeplab.data.files import check_same_size, dataset_folder, list_folders, require_files
from keras_deeplab.data.images import decode_image, decode_label
from keras_deeplab.data.panoptic_map import make_panoptic
from keras_deeplab.data.parquet_rows import list_rows, read_row
from keras_deeplab.labels import LABEL_SPACES, LabelSpace
from keras_deeplab.runs import find_runs

CAMERAS = {"front": 1, "front_left": 2, "front_right": 3, "side_left": 4, "side_right": 5}
_FOLDERS = {"train": "training", "val": "validation", "test": "testing"}
_KEYS = ("key.segment_context_name", "key.frame_timestamp_micros", "key.camera_name")
_IMAGE = "[CameraImageComponent].image"
_LABEL = "[CameraSegmentationLabelComponent]"
_SEQUENCE = f"{_LABEL}.sequence_id"
_PANOPTIC, _DIVISOR = f"{_LABEL}.panoptic_label", f"{_LABEL}.panoptic_label_divisor"
_LOCAL_IDS = f"{_LABEL}.instance_id_to_global_id_mapping.local_instance_ids"
_GLOBAL_IDS = f"{_LABEL}.instance_id_to_global_id_mapping.global_instance_ids"


class Waymo:
    """Labelled camera images of the Waymo Open Dataset (perception, version 2), as a random-access sequence.

    Read are `<split>/camera_image/*.parquet` and `<split>/camera_segmentation/*.parquet`, the labels of
    panoramic video panoptic segmentation (WOD-PVPS). Each view of a camera is a sample. Only images with a
    label are read; `labels=None` reads all images. Not read: the TFRecords of version 1, depth from the
    laser scanners, and how many cameras see a pixel. Needs pyarrow: `pip install keras-deeplab[waymo]`.

    Samples are dicts of `"image"` uint8 `[H, W, 3]`, `"panoptic"` int32 `[H, W]`, `"camera"`, e.g.
    `"front"`, `"sequence"`, one camera's view of a sequence, `"frame"`, counted from 0 among those that are
    read of it, and `"name"`, `"<segment>/<timestamp in microseconds>_<camera>"`. Instances are the dataset's
    global ids: an object has the same in all frames and cameras of its sequence, unless the dataset does not
    track it (`is_tracked` is false, which is not read); then it has another one in every image. Stuff has
    instance 0.

    Parquet files are read by row groups, so that reading in order is much faster than in random order. For
    training, write the files anew with small ones: `pyarrow.parquet.write_table(..., row_group_size=4)`.

    Args:
        root: path of the folder that holds `training`, `validation` and `testing`.
        split: `"train"`, `"val"`, `"test"`, or a folder's name.
        label_space: `LabelSpace` with Waymo's classes.
        labels: bool. `False` or `None` reads images only, as the test split needs.
        images: bool. `False` reads labels only.
        cameras: names of the cameras to read: `"front"`, `"front_left"`, `"front_right"`, `"side_left"`,
            `"side_right"`.

    Raises:
        ImportError: when pyarrow is not installed.
        ValueError: when a folder is missing or empty, a file is damaged, an image is there twice, or labels
            have no image; when a sample is read, for damaged images, unknown classes, sizes that differ, or a
            file that was changed meanwhile.

    Source: Mei et al. 2022, "Waymo Open Dataset: Panoramic Video Panoptic Segmentation".

    Example:
    ```python
    val = Waymo("/data/waymo_open_dataset_v_2_0_1", split="val", cameras=["front"])
    val[0]["panoptic"].shape  # (1280, 1920)
    ```
    """

    def __init__(
        self,
        root: str | os.PathLike,
        split: str = "train",
        label_space: LabelSpace = LABEL_SPACES["waymo"],
        labels: bool = True,
        images: bool = True,
        cameras: Sequence[str] = tuple(CAMERAS),
    ):
        if not (labels or images):
            raise ValueError("Nothing to read: `labels` is None and `images` is False.")
        if isinstance(cameras, str) or not cameras or set(cameras) - CAMERAS.keys():
            raise ValueError(f"`cameras` must be some of {', '.join(CAMERAS)}. Received: cameras={cameras!r}")
        self.root = dataset_folder(root, "Waymo")
        self.split = split
        self.label_space = LabelSpace.create(label_space)
        self._image_rows = self._find_rows("camera_image", "images", cameras) if images else None
        self._label_rows = (
            self._find_rows("camera_segmentation", "labels", cameras, [_SEQUENCE]) if labels else None
        )
        rows = self._label_rows or self._image_rows
        self._keys = list(rows)
        if images:
            _check_images(self._keys, self._image_rows, self.root)
        self.cameras = [camera for _, _, camera in rows]
        self.names = [f"{segment}/{time}_{camera}" for segment, time, camera in rows]
        # One camera's view is one video. Without labels or their sequence's id, a segment is one sequence.
        self.sequences = [
            f"{row.values.get(_SEQUENCE) or segment}_{camera}" for (segment, _, camera), row in rows.items()
        ]
        self.frames = _count_frames(self.sequences, [time for _, time, _ in rows])

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> dict:
        sample = {
            "name": self.names[index],
            "camera": self.cameras[index],
            "sequence": self.sequences[index],
            "frame": self.frames[index],
        }
        if self._image_rows is not None:
            sample["image"] = self.load_image(index)
        if self._label_rows is not None:
            sample["panoptic"] = self.load_panoptic(index)
        if "image" in sample and "panoptic" in sample:
            check_same_size(sample["image"], sample["name"], sample["panoptic"], sample["name"])
        return sample

    def __repr__(self) -> str:
        return f"Waymo({str(self.root)!r}, split={self.split!r}, {len(self)} images)"

    def load_image(self, index: int) -> np.ndarray:
        """The image of one sample alone, uint8 `[H, W, 3]`.

        Raises:
            ValueError: when the image is damaged, or images are not read.
        """
        if self._image_rows is None:
            raise ValueError("This reader was made with images=False and has no images.")
        row = self._image_rows[self._keys[index]]
        return decode_image(read_row(row, [_IMAGE])[_IMAGE], f"{self.names[index]} of {row.path}")

    def load_panoptic(self, index: int) -> np.ndarray:
        """The panoptic map of one sample alone, int32 `[H, W]`, `class * label_divisor + instance`.

        Raises:
            ValueError: when the label is damaged or holds unknown classes, or labels are not read.
        """
        if self._label_rows is None:
            raise ValueError("This reader was made with labels=None and has no label maps.")
        row = self._label_rows[self._keys[index]]
        where = f"{self.names[index]} of {row.path}"
        values = read_row(row, [_PANOPTIC, _DIVISOR, _LOCAL_IDS, _GLOBAL_IDS])
        label = decode_label(values[_PANOPTIC], where)
        try:
            return panoptic_from_waymo(
                label, values[_DIVISOR], values[_LOCAL_IDS], values[_GLOBAL_IDS], self.label_space
            )
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None

    def _find_rows(self, component, kind, cameras, columns=()):
        """Where the rows are, by segment, timestamp and camera, in the order of the files."""
        folder = self.root / _FOLDERS.get(self.split, self.split) / component
        names = {CAMERAS[camera]: camera for camera in cameras}
        rows = {}
        for path in sorted(folder.glob("[!.]*.parquet")):
            for row in list_rows(path, [*_KEYS, *columns]):
                segment, time, camera = (row.values[column] for column in _KEYS)
                if camera not in names:
                    continue
                key = segment, time, names[camera]
                if key in rows:
                    raise ValueError(
                        f"{path} and {rows[key].path} hold the same: segment {segment}, time {time}, camera "
                        f"{names[camera]}. Keep one of them."
                    )
                rows[key] = row
        hint = f"Folders in {self.root}: {', '.join(list_folders(self.root)) or 'none'}."
        return require_files(rows, kind, f"of these cameras in {folder}/*.parquet", hint)


def panoptic_from_waymo(
    label: np.ndarray,
    divisor: int,
    local_ids: Sequence[int],
    global_ids: Sequence[int],
    label_space: LabelSpace = LABEL_SPACES["waymo"],
) -> np.ndarray:
    """A panoptic map from a label of the Waymo Open Dataset.

    Args:
        label: integer `[H, W]`, `class * divisor + local instance`.
        divisor: int. The label's divisor.
        local_ids: sequence of int, the image's local instances. Instances that are missing keep their own id.
        global_ids: sequence of int, the sequence's instance for each of them, at least 0.
        label_space: `LabelSpace` with Waymo's classes.

    Returns:
        int32 `[H, W]`, `class * label_divisor + instance`, with the sequence's instances.

    Raises:
        ValueError: for another shape, a divisor below 1, ids of different number, negative global ids, and as
            `make_panoptic`.

    Example:
    ```python
    panoptic_from_waymo(np.array([[2001]]), 1000, [1], [77])  # [[200077]]
    ```
    """
    if label.ndim != 2 or divisor < 1 or len(local_ids) != len(global_ids):
        raise ValueError(
            "a label must be a grey PNG with a divisor above 0 and a global id for each local one. Received: "
            f"{describe(label)}, divisor {divisor}, {len(local_ids)} and {len(global_ids)} ids"
        )
    if min(global_ids, default=0) < 0:
        raise ValueError(f"global ids must be at least 0. Received: {min(global_ids)}")
    runs = find_runs(label)
    classes, instances = np.divmod(runs.ids, divisor)
    new_ids = dict(zip(local_ids, global_ids, strict=True))
    instances = np.array([new_ids.get(instance, instance) for instance in instances.tolist()])
    values = make_panoptic(classes[None], instances[None], label_space, drop_stuff_instances=True)
    return runs.paint(values[0], np.int32)


def _check_images(keys, image_rows, root):
    missing = [key for key in keys if key not in image_rows]
    if missing:
        segment, time, camera = missing[0]
        raise ValueError(
            f"{len(missing)} of {len(keys)} labels have no image in {root}, the first is that of segment "
            f"{segment}, time {time}, camera {camera}. Download the segment's camera_image file, or pass "
            "images=False."
        )


def _count_frames(sequences, times):
    """The number of each frame in its sequence, from 0, by time."""
    of_sequence = {}
    for sequence, time in zip(sequences, times, strict=True):
        of_sequence.setdefault(sequence, []).append(time)
    numbers = {s: {time: i for i, time in enumerate(sorted(of_s))} for s, of_s in of_sequence.items()}
    return [numbers[sequence][time] for sequence, time in zip(sequences, times, strict=True)]
