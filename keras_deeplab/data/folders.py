"""Your own data: any folder of images and a folder of masks."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Collection
from typing import Literal, get_args

import numpy as np

from keras_deeplab.data import components
from keras_deeplab.data.file_reader import FileReader
from keras_deeplab.data.files import dataset_folder, find_images, require_files
from keras_deeplab.data.panoptic_map import make_panoptic
from keras_deeplab.data.panoptic_png import decode_segment_ids
from keras_deeplab.labels import LabelSpace
from keras_deeplab.runs import find_runs

MaskValues = Literal["class", "category", "panoptic", "color"]
_MASK_EXTENSIONS = (".bmp", ".gif", ".png", ".ppm", ".tif", ".tiff")


class ImageFolder(FileReader):
    """Images and masks from folders, matched by their names, as a random-access sequence.

    Folders inside of the folders are read, too. Samples are dicts of `"image"` uint8 `[H, W, 3]`,
    `"panoptic"` int32 `[H, W]` and `"name"`, the path in the folder without extension.

    Args:
        images: path of the folder of images. `None` or `False` reads masks only.
        masks: path of the folder of masks, PNG or another lossless format. `None` reads images only. May be
            the folder of the images, if `mask_suffix` tells them apart.
        label_space: `LabelSpace` of the masks.
        values: what a mask's values mean:
            `"class"`: classes of the label space. All instances are 0: things are crowd.
            `"category"`: `category_ids` of the label space.
            `"panoptic"`: `class * label_divisor + instance`, as integers, or in RGB as
                `red + 256 * green + 65536 * blue`.
            `"color"`: `colors` of the label space; black is void, where it is no class's colour.
        void_values: values of masks that are void, besides the label space's `ignore_label`: of panoptic
            masks the classes, of coloured masks `(red, green, blue)`.
        image_suffix: str. What the names of images have after the common name, e.g. `"_leftImg8bit"`.
        mask_suffix: str. What the names of masks have after the common name, e.g. `"_mask"`.
        skip_unmatched: bool. Leaves out images without a mask and masks without an image.
        split_things: bool. Makes an instance of each connected region of a thing, where masks have classes
            alone; regions below 50 pixels are crowd.

    Raises:
        ValueError: when a folder is missing or empty, or an image has no mask or the other way round; when a
            sample is read, for damaged files, unknown values or sizes that differ.

    Example:
    ```python
    space = LabelSpace("harbour", classes=("water", "sky", "quay", "boat"))
    train = ImageFolder("harbour/images", "harbour/masks", space)
    train[0]["name"]  # "monday/0001"
    ```
    """

    def __init__(
        self,
        images: str | os.PathLike | None,
        masks: str | os.PathLike | None,
        label_space: LabelSpace,
        values: MaskValues = "class",
        void_values: Collection[int | tuple[int, int, int]] = (),
        image_suffix: str = "",
        mask_suffix: str = "",
        skip_unmatched: bool = False,
        split_things: bool = False,
    ):
        if split_things and values == "panoptic":
            raise ValueError("Panoptic masks have instances: split_things=True is for the other `values`.")
        if values not in get_args(MaskValues):
            raise ValueError(f"`values` must be one of {get_args(MaskValues)}. Received: values={values!r}")
        label_space = LabelSpace.create(label_space)
        if values == "color" and len(set(label_space.colors)) < label_space.num_classes:
            raise ValueError(f"Classes of the label space {label_space.name!r} share a colour.")
        self.images = dataset_folder(images, "image") if images else None
        self.masks = dataset_folder(masks, "mask") if masks else None
        self.values, self.void_values, self.split_things = values, tuple(void_values), split_things
        image_paths = self._find_images(image_suffix, mask_suffix) if self.images else None
        mask_paths = self._find_masks(mask_suffix) if self.masks else None
        if image_paths is not None and mask_paths is not None:
            image_paths, mask_paths = _match(image_paths, mask_paths, skip_unmatched)
        super().__init__(image_paths, mask_paths, label_space)

    def __repr__(self) -> str:
        return (
            f"ImageFolder({str(self.images)!r}, {str(self.masks)!r}, label_space={self.label_space.name!r}, "
            f"{len(self)} images)"
        )

    def decode_label(self, label: np.ndarray, path: pathlib.Path) -> np.ndarray:
        """The panoptic map of a mask."""
        panoptic = _DECODERS[self.values](label, self.label_space, self.void_values)
        return components.split_things(panoptic, self.label_space) if self.split_things else panoptic

    def _find_images(self, image_suffix, mask_suffix):
        paths = find_images(self.images, image_suffix)
        if self.masks and self.images.samefile(self.masks):
            if not mask_suffix:
                raise ValueError(
                    f"Images and masks both lie in {self.images}. Pass `mask_suffix` to tell them apart."
                )
            paths = {name: path for name, path in paths.items() if not path.stem.endswith(mask_suffix)}
        return require_files(paths, "images", f"{self.images}/*{image_suffix}.*")

    def _find_masks(self, mask_suffix):
        paths = find_images(self.masks, mask_suffix, _MASK_EXTENSIONS)
        hint = f"Masks are lossless pictures: {', '.join(_MASK_EXTENSIONS)}."
        return require_files(paths, "labels", f"{self.masks}/*{mask_suffix}.png", hint)


def _match(images, masks, skip_unmatched):
    """Images and masks that have the same names."""
    for first, second, kind, other in ((images, masks, "images", "mask"), (masks, images, "masks", "image")):
        alone = [name for name in first if name not in second]
        if len(alone) == len(first) or (alone and not skip_unmatched):
            raise ValueError(
                f"{len(alone)} of {len(first)} {kind} have no {other} of the same name, the first is "
                f"{first[alone[0]]}. Check the suffixes, or pass skip_unmatched=True."
            )
    return tuple(
        {name: path for name, path in paths.items() if name in images and name in masks}
        for paths in (images, masks)
    )


def _from_classes(mask, label_space, void_values):
    return make_panoptic(_grey(mask), None, label_space, void_values)


def _from_categories(mask, label_space, void_values):
    categories = [label_space.category_id(class_id) for class_id in range(label_space.num_classes)]
    void = {label_space.ignore_label, *void_values}
    return _translate(_grey(mask), categories, void, label_space, str)


def _from_panoptic_ids(mask, label_space, void_values):
    if mask.ndim == 2 and mask.dtype == np.uint8 and label_space.label_divisor > 255:
        raise ValueError(
            f"an 8-bit mask cannot hold class * {label_space.label_divisor} + instance. Save it with 16 bits "
            "or in RGB, or pass another `values`."
        )
    ids = decode_segment_ids(mask) if mask.ndim == 3 else mask
    return make_panoptic(*np.divmod(ids, label_space.label_divisor), label_space, void_values)


def _from_colors(mask, label_space, void_values):
    colors = _pack(np.array(label_space.colors)).tolist()
    void = {0, *(_pack(np.array(color)).item() for color in void_values)}
    if mask.ndim != 3:
        mask = np.repeat(mask[..., None], 3, axis=-1)
    return _translate(_pack(mask), colors, void, label_space, lambda code: f"#{code:06x}")


def _translate(mask, values, void, label_space, describe_value):
    """The panoptic map of a mask with one value per class; of the other values, those in `void` are void."""
    runs = find_runs(mask)
    classes = dict.fromkeys(void, label_space.ignore_label) | {v: i for i, v in enumerate(values)}
    unknown = [describe_value(value) for value in runs.ids.tolist() if value not in classes]
    if unknown:
        raise ValueError(
            f"the mask holds {', '.join(unknown[:10])}, which the label space {label_space.name!r} does not "
            "know. Pass `void_values` for what is to be void."
        )
    classes = np.array([classes[value] for value in runs.ids.tolist()], np.int64)
    return runs.paint(classes * label_space.label_divisor, np.int32)


def _grey(mask):
    """The values of a mask; also of one that is saved in RGB with equal channels."""
    if mask.ndim == 3:
        if (mask != mask[..., :1]).any():
            raise ValueError(
                'the mask is in colours. Save it as a grey or palette PNG, or pass values="color".'
            )
        mask = mask[..., 0]
    return mask


def _pack(colors):
    """One integer per colour `[..., 3]`."""
    red, green, blue = (colors[..., channel].astype(np.int64) for channel in range(3))
    return red << 16 | green << 8 | blue


_DECODERS = {
    "class": _from_classes,
    "category": _from_categories,
    "panoptic": _from_panoptic_ids,
    "color": _from_colors,
}
