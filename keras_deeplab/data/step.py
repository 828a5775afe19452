"""Videos in the format of STEP ("Segmenting and Tracking Every Pixel"): KITTI-STEP and MOTChallenge-STEP."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Collection

import numpy as np

from keras_deeplab.data.file_reader import FileReader, describe, describe_video_reader
from keras_deeplab.data.files import dataset_folder, find_images, list_folders, require_files
from keras_deeplab.data.panoptic_map import make_panoptic
from keras_deeplab.labels import LABEL_SPACES, LabelSpace

_VOID = (255,)  # the class of void in a panoptic map's red channel
_KITTI_VAL = ("0002", "0006", "0007", "0008", "0010", "0013", "0014", "0016", "0018")
_KITTI_FOLDERS = {"train": "training", "val": "training", "test": "testing"}


class Step(FileReader):
    """Frames of videos in the format of STEP, as a random-access sequence.

    Read are `images/<split>/<sequence>/<frame>.png` (or `.jpg`; a folder `img1` in between is left out) and
    `panoptic_maps/<split>/<sequence>/<frame>.png`.

    Samples are dicts of `"image"` uint8 `[H, W, 3]`, `"panoptic"` int32 `[H, W]`, `"sequence"`, e.g.
    `"0002"`, `"frame"`, e.g. 5, and `"name"`, `"0002/000005"`. Things without an instance are crowd. An
    object has the same instance in all frames of its sequence.

    Args:
        root: path of the folder that holds `images` and `panoptic_maps`.
        split: `"train"`, `"val"` or `"test"`.
        label_space: `LabelSpace` whose classes are those of the panoptic maps.
        labels: bool. `False` or `None` reads images only, as the test split needs.
        images: bool. `False` reads labels only.

    Raises:
        ValueError: when a folder is missing or empty, or when images and labels do not belong together;
            when a sample is read, for damaged files, unknown classes, instances of stuff or sizes that
            differ.

    Source: Weber et al. 2021, "STEP: Segmenting and Tracking Every Pixel".

    Example:
    ```python
    space = LabelSpace("harbour", classes=("water", "quay", "boat"), things=(2,))
    train = Step("/data/harbour", "train", space)
    train[0]["sequence"], train[0]["frame"]  # ("0000", 0)
    ```
    """

    def __init__(
        self,
        root: str | os.PathLike,
        split: str,
        label_space: LabelSpace,
        labels: bool = True,
        images: bool = True,
    ):
        self.root = dataset_folder(root, "STEP")
        self.split = split
        label_paths = self._find("panoptic_maps", "labels") if labels else None
        image_paths = self._find_images() if images else None
        frames = {name: _frame(name) for name in {**(label_paths or {}), **(image_paths or {})}}
        super().__init__(image_paths, label_paths, label_space, frames=frames)

    def __repr__(self) -> str:
        return describe_video_reader(self)

    def decode_label(self, label: np.ndarray, path: pathlib.Path) -> np.ndarray:
        """The panoptic map of a PNG with the class in red and the instance in green and blue."""
        return panoptic_from_step(label, self.label_space, _VOID)

    def _find_images(self):
        return self._find("images", "images")

    def _find(self, folder, kind):
        folder = self.root / folder / self.split
        paths = {name.replace("/img1/", "/"): path for name, path in find_images(folder).items()}
        hint = f"Folders in {folder.parent}: {', '.join(list_folders(folder.parent)) or 'none'}."
        return require_files(paths, kind, f"{folder}/<sequence>/<frame>.png", hint)


class KittiStep(Step):
    """Frames of KITTI-STEP, as a random-access sequence: see `Step`.

    The images may lie where KITTI's tracking benchmark has them, too: `training/image_02/<sequence>` and
    `testing/image_02/<sequence>`. The split then says which of the training sequences are read.

    Args:
        root: path of the folder that holds `images`, or `training`, and `panoptic_maps`.
        split: `"train"` (12 sequences), `"val"` (9) or `"test"` (29, images only).
        label_space: `LabelSpace` with the classes of Cityscapes.
        labels: bool. `False` or `None` reads images only, as the test split needs.
        images: bool. `False` reads labels only.

    Source: Geiger et al. 2012; Weber et al. 2021, "STEP: Segmenting and Tracking Every Pixel".

    Example:
    ```python
    val = KittiStep("/data/kitti-step", split="val")
    len(val)  # 2981
    ```
    """

    def __init__(
        self,
        root: str | os.PathLike,
        split: str = "train",
        label_space: LabelSpace = LABEL_SPACES["kitti_step"],
        labels: bool = True,
        images: bool = True,
    ):
        super().__init__(root, split, label_space, labels, images)

    def _find_images(self):
        folder = self.root / _KITTI_FOLDERS.get(self.split, "training") / "image_02"
        if (self.root / "images").is_dir() or not folder.is_dir():
            return super()._find_images()
        is_val = {"train": False, "val": True}.get(self.split)
        paths = {
            name: path
            for name, path in find_images(folder).items()
            if is_val in (None, name.partition("/")[0] in _KITTI_VAL)
        }
        return require_files(paths, "images", f"{folder}/<sequence>/<frame>.png")


class MotChallengeStep(Step):
    """Frames of MOTChallenge-STEP, as a random-access sequence: see `Step`.

    Args:
        root: path of the folder that holds `images` and `panoptic_maps`.
        split: `"train"`, `"val"` where you keep a sequence for it, or `"test"` (images only).
        label_space: `LabelSpace` with MOTChallenge-STEP's seven classes.
        labels: bool. `False` or `None` reads images only, as the test split needs.
        images: bool. `False` reads labels only.

    Source: Milan et al. 2016; Weber et al. 2021, "STEP: Segmenting and Tracking Every Pixel".

    Example:
    ```python
    train = MotChallengeStep("/data/motchallenge-step", split="train")
    len(train)  # 1125
    ```
    """

    def __init__(
        self,
        root: str | os.PathLike,
        split: str = "train",
        label_space: LabelSpace = LABEL_SPACES["motchallenge_step"],
        labels: bool = True,
        images: bool = True,
    ):
        super().__init__(root, split, label_space, labels, images)


def panoptic_from_step(
    label: np.ndarray,
    label_space: LabelSpace,
    void_classes: Collection[int] = (),
    drop_stuff_instances: bool = False,
) -> np.ndarray:
    """A panoptic map from a PNG with the class in red and `256 * green + blue` for the instance.

    Args:
        label: uint8 `[H, W, 3]`, RGB.
        label_space: `LabelSpace` with the same classes.
        void_classes: classes that are void, besides the label space's `ignore_label`.
        drop_stuff_instances: bool. See `make_panoptic`.

    Returns:
        int32 `[H, W]`, `class * label_divisor + instance`.

    Raises:
        ValueError: for another shape or dtype, and as `make_panoptic`.

    Example:
    ```python
    panoptic_from_step(np.array([[[4, 1, 2]]], np.uint8), LABEL_SPACES["motchallenge_step"])  # [[4258]]
    ```
    """
    if label.ndim != 3 or label.shape[-1] != 3 or label.dtype != np.uint8:
        raise ValueError(f"a panoptic map must be an 8-bit RGB PNG. Received: {describe(label)}")
    red, green, blue = (label[..., channel].astype(np.int32) for channel in range(3))
    return make_panoptic(red, green << 8 | blue, label_space, void_classes, drop_stuff_instances)


def _frame(name):
    """The sequence and the number of a frame."""
    sequence, _, number = name.rpartition("/")
    if not sequence or not number.isdecimal():
        raise ValueError(
            f"Frames must lie in a folder per sequence and have a number for a name, as 0002/000005.png. "
            f"Found: {name}"
        )
    return sequence, int(number)
