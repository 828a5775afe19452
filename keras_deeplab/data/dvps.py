"""Videos with depth in the format of DVPS ("Depth-aware Video Panoptic Segmentation")."""

from __future__ import annotations

import os
import pathlib

import numpy as np

from keras_deeplab.data.file_reader import FileReader, describe, describe_video_reader
from keras_deeplab.data.files import dataset_folder, find_files, list_folders, require_files
from keras_deeplab.data.images import read_label
from keras_deeplab.data.panoptic_map import make_panoptic
from keras_deeplab.data.step import panoptic_from_step
from keras_deeplab.labels import LABEL_SPACES, LabelSpace

_IMAGE, _DEPTH = "_leftImg8bit", "_depth"
_PANOPTIC = "_gtFine_instanceTrainIds"
_CLASS, _INSTANCE = "_gtFine_class", "_gtFine_instance"
_INTEGER_DIVISOR = 1000  # of label maps that are one integer per pixel


class Dvps(FileReader):
    """Frames of videos with depth in the format of DVPS, as a random-access sequence.

    All files of a split lie in one folder, `video_sequence/<split>` or `<split>`. Their names begin with
    `<sequence>_<frame>` and end in `_leftImg8bit.png`, `_depth.png` (or `_depth_<focal length>.png`), and
    `_gtFine_instanceTrainIds.png` or the pair `_gtFine_class.png` and `_gtFine_instance.png`. Label maps
    hold `class * 1000 + instance`, or the class in red and `256 * green + blue` for the instance.

    Samples are dicts of `"image"` uint8 `[H, W, 3]`, `"panoptic"` int32 `[H, W]`, `"depth"` float32 `[H, W]`
    in metres with 0 for unknown, `"sequence"`, e.g. `"000002"`, `"frame"`, e.g. 5, and `"name"`, what the
    files' names have in common. An object has the same instance in all frames of its sequence.

    Args:
        root: path of the folder that holds `video_sequence`, or the splits themselves.
        split: `"train"`, `"val"` or `"test"`.
        label_space: `LabelSpace` whose classes are those of the label maps.
        labels: bool. `False` or `None` reads images only, as the test split needs.
        images: bool. `False` reads labels and depth only.
        depth: bool. Whether to read depth, where labels are read.

    Raises:
        ValueError: when a folder is missing or empty, or when files do not belong together; when a sample is
            read, for damaged files, unknown classes or sizes that differ.

    Source: Qiao et al. 2021, "ViP-DeepLab".

    Example:
    ```python
    space = LabelSpace("harbour", classes=("water", "quay", "boat"), things=(2,))
    train = Dvps("/data/harbour", "train", space)
    train[0]["depth"].max()  # 61.5
    ```
    """

    _void_classes = ()  # of the label maps, besides the label space's own

    def __init__(
        self,
        root: str | os.PathLike,
        split: str,
        label_space: LabelSpace,
        labels: bool = True,
        images: bool = True,
        depth: bool = True,
    ):
        self.root = dataset_folder(root, "DVPS")
        self.split = split
        flat = self.root / split
        folder = flat if flat.is_dir() else self.root / "video_sequence" / split
        image_paths = self._find_images(folder) if images else None
        label_paths = self._find_labels(folder) if labels else None
        depth_paths = self._find_depths(folder, label_paths) if labels and depth else None
        frames = {name: _frame(name) for name in {**(image_paths or {}), **(label_paths or {})}}
        super().__init__(image_paths, label_paths, label_space, depth_paths, frames)

    def __repr__(self) -> str:
        return describe_video_reader(self)

    def decode_label(self, label: np.ndarray, path: pathlib.Path) -> np.ndarray:
        """The panoptic map of a label file in any of the forms."""
        if path.stem.endswith(_CLASS):
            classes, instances = label, read_label(path.with_name(path.name.replace(_CLASS, _INSTANCE)))
            if classes.ndim != 2 or classes.shape != instances.shape:
                raise ValueError(
                    "classes and instances must be grey PNGs of the same size. Received: "
                    f"{describe(classes)} and {describe(instances)}"
                )
        elif label.ndim == 3:
            return panoptic_from_step(label, self.label_space, self._void_classes, drop_stuff_instances=True)
        elif label.dtype == np.uint8:
            raise ValueError(f"a label map must be a 16-bit grey or an RGB PNG. Received: {describe(label)}")
        else:
            classes, instances = np.divmod(label, _INTEGER_DIVISOR)
        return make_panoptic(
            classes, instances, self.label_space, self._void_classes, drop_stuff_instances=True
        )

    def _find_images(self, folder):
        splits = list_folders(folder.parent)
        hint = f"Folders in {folder.parent}: {', '.join(splits) or 'none'}."
        return require_files(
            find_files(folder, f"*{_IMAGE}.png", _IMAGE), "images", f"{folder}/*{_IMAGE}.png", hint
        )

    def _find_labels(self, folder):
        paths = find_files(folder, f"*{_PANOPTIC}.png", _PANOPTIC)
        paths = paths or find_files(folder, f"*{_CLASS}.png", _CLASS)
        return require_files(paths, "labels", f"{folder}/*{_PANOPTIC}.png or {folder}/*{_CLASS}.png")

    def _find_depths(self, folder, label_paths):
        paths = find_files(folder, f"*{_DEPTH}*.png", _DEPTH)
        missing = [name for name in label_paths if name not in paths]
        if missing:
            raise ValueError(
                f"{len(missing)} of {len(label_paths)} label maps have no depth map, the first is "
                f"{label_paths[missing[0]]}. Add *{_DEPTH}.png, or pass depth=False."
            )
        return paths


class CityscapesDvps(Dvps):
    """Frames of Cityscapes-DVPS, as a random-access sequence: see `Dvps`.

    Args:
        root: path of the folder that holds `video_sequence`, or the splits themselves.
        split: `"train"` (2400 frames), `"val"` (300) or `"test"` (300, images only).
        label_space: `LabelSpace` with the classes of Cityscapes.
        labels: bool. `False` or `None` reads images only, as the test split needs.
        images: bool. `False` reads labels and depth only.
        depth: bool. Whether to read depth, where labels are read.

    Source: Qiao et al. 2021, "ViP-DeepLab".

    Example:
    ```python
    val = CityscapesDvps("/data/cityscapes-dvps", split="val")
    val[0]["name"]  # "000002_000000_munster_000110_000004"
    ```
    """

    _void_classes = (LABEL_SPACES["cityscapes_dvps"].ignore_label,)

    def __init__(
        self,
        root: str | os.PathLike,
        split: str = "train",
        label_space: LabelSpace = LABEL_SPACES["cityscapes_dvps"],
        labels: bool = True,
        images: bool = True,
        depth: bool = True,
    ):
        super().__init__(root, split, label_space, labels, images, depth)


class SemKittiDvps(Dvps):
    """Frames of SemKITTI-DVPS, as a random-access sequence: see `Dvps`.

    The labels are projected from the laser scanner: most pixels are void, most depths unknown.

    Args:
        root: path of the folder that holds `video_sequence`, or the splits themselves.
        split: `"train"`, `"val"` or `"test"` (images only).
        label_space: `LabelSpace` with the 19 classes of SemanticKITTI.
        labels: bool. `False` or `None` reads images only, as the test split needs.
        images: bool. `False` reads labels and depth only.
        depth: bool. Whether to read depth, where labels are read.

    Source: Behley et al. 2019, "SemanticKITTI"; Qiao et al. 2021, "ViP-DeepLab".

    Example:
    ```python
    train = SemKittiDvps("/data/semkitti-dvps", split="train")
    train[0]["name"]  # "000000_000000"
    ```
    """

    _void_classes = (LABEL_SPACES["semkitti_dvps"].ignore_label,)

    def __init__(
        self,
        root: str | os.PathLike,
        split: str = "train",
        label_space: LabelSpace = LABEL_SPACES["semkitti_dvps"],
        labels: bool = True,
        images: bool = True,
        depth: bool = True,
    ):
        super().__init__(root, split, label_space, labels, images, depth)


def _frame(name):
    """The sequence and the number of a frame."""
    sequence, number, *_ = [*name.split("_"), ""]
    if not (sequence.isdecimal() and number.isdecimal()):
        raise ValueError(f"File names must begin with <sequence>_<frame>, as 000002_000005. Found: {name}")
    return sequence, int(number)
