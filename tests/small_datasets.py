"""Writes small datasets in their official layouts, for tests."""

import json
import pathlib

import numpy as np
from PIL import Image

from keras_deeplab.data import write_layout
from keras_deeplab.data.arrays import ArrayReader
from keras_deeplab.data.synthetic import StreetScenes
from keras_deeplab.data.writers import coco_categories
from keras_deeplab.labels import LABEL_SPACES, LabelSpace

HEIGHT, WIDTH = 4, 6


def picture(number=0, height=HEIGHT, width=WIDTH):
    """An image whose pixels tell its number, uint8 `[height, width, 3]`."""
    pixels = np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)
    return np.roll(pixels, number)


def save(path: pathlib.Path, array: np.ndarray) -> pathlib.Path:
    """Writes an array as an image file; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"quality": 100, "subsampling": 0} if path.suffix == ".jpg" else {}
    Image.fromarray(array).save(path, **options)
    return path


def save_json(path: pathlib.Path, content) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def rgb_ids(ids: np.ndarray) -> np.ndarray:
    """Segment ids as COCO codes them in RGB."""
    ids = np.asarray(ids)
    return np.stack([ids & 255, ids >> 8 & 255, ids >> 16], axis=-1).astype(np.uint8)


def step_label(classes: np.ndarray, instances: np.ndarray) -> np.ndarray:
    """Classes and instances as STEP codes them in RGB."""
    classes, instances = np.broadcast_arrays(classes, instances)
    return np.stack([classes, instances >> 8, instances & 255], axis=-1).astype(np.uint8)


# Some other dataset's, in the format of COCO.
TWO_CATEGORIES = [
    {"id": 1, "name": "person", "isthing": 1, "color": [220, 20, 60]},
    {"id": 193, "name": "grass-merged", "isthing": 0, "color": [152, 251, 152]},
]


def write_coco(
    root, split="val", names=("000000000139", "000000000285"), ids=None, segments=None, categories=None
):
    """COCO: the images hold ids 0 (void), 7 (a person), 9 (a person), 300 (a crowd), 65793 (grass)."""
    ids = np.array([[0, 7, 7, 9], [300, 300, 65793, 65793]]) if ids is None else ids
    segments = segments or [
        {"id": 9, "category_id": 1, "iscrowd": 0},
        {"id": 7, "category_id": 1, "iscrowd": 0},
        {"id": 300, "category_id": 1, "iscrowd": 1},
        {"id": 65793, "category_id": 193, "iscrowd": 0},
    ]
    stem = root / "annotations" / f"panoptic_{split}2017"
    for number, name in enumerate(names):
        save(root / f"{split}2017" / f"{name}.jpg", picture(number, *ids.shape))
        save(stem / f"{name}.png", rgb_ids(ids))
    content = {
        "images": [{"id": int(name), "file_name": f"{name}.jpg"} for name in names],
        "annotations": [
            {"image_id": int(name), "file_name": f"{name}.png", "segments_info": segments} for name in names
        ],
        "categories": coco_categories(LABEL_SPACES["coco_panoptic"]) if categories is None else categories,
    }
    save_json(stem.with_suffix(".json"), content)
    return content


def write_camvid(root, split="train", count=2):
    """CamVid: sky, two cars that do not touch, one pixel of a car alone, and something unlabelled."""
    label = np.zeros((10, 24), np.uint8)
    label[:8, :8] = label[:8, 12:20] = label[9, 23] = 8
    label[9, :4] = 11
    for number in range(count):
        save(root / split / f"0001TP_{number:06}.png", picture(number, 10, 24))
        save(root / f"{split}annot" / f"0001TP_{number:06}.png", label)


def write_ade20k(root, split="train", count=2, panoptic=True):
    """ADE20K: wall (1), two beds (8), something else (0); the second bed is a crowd in the panoptic form."""
    folder = {"train": "training", "val": "validation"}[split]
    classes = np.array([[1, 1, 8, 0], [1, 8, 8, 0]], np.uint8)
    ids = np.array([[1, 1, 2, 0], [1, 3, 3, 0]])
    segments = [
        {"id": 1, "category_id": 0},
        {"id": 2, "category_id": 7},
        {"id": 3, "category_id": 7, "iscrowd": 1},
    ]
    names = [f"ADE_{split}_{number:08d}" for number in range(1, count + 1)]
    for number, name in enumerate(names):
        save(root / "images" / folder / f"{name}.jpg", picture(number, 2, 4))
        save(root / "annotations" / folder / f"{name}.png", classes)
        if panoptic:
            save(root / f"ade20k_panoptic_{split}" / f"{name}.png", rgb_ids(ids))
    if panoptic:
        content = {
            "images": [{"id": name, "file_name": f"{name}.jpg"} for name in names],
            "annotations": [
                {"image_id": name, "file_name": f"{name}.png", "segments_info": segments} for name in names
            ],
            "categories": [{"id": 0, "name": "wall", "isthing": 0}, {"id": 7, "name": "bed", "isthing": 1}],
        }
        save_json(root / f"ade20k_panoptic_{split}.json", content)


def write_kitti_step(
    root, split="train", sequences=("0002", "0010"), frames=3, classes=(0, 13, 11), extension=".png"
):
    """KITTI-STEP: one stuff class, two of things; an instance above 255, a crowd and void."""
    stuff, first, second = classes
    labels = np.array([[stuff, first, first, second], [stuff, first, second, 255]])
    instances = np.array([[0, 1, 300, 0], [0, 1, 2, 0]])
    for number, sequence in enumerate(sequences):
        for frame in range(frames):
            name = f"{split}/{sequence}/{frame:06d}"
            save(root / "images" / f"{name}{extension}", picture(10 * number + frame, 2, 4))
            save(root / "panoptic_maps" / f"{name}.png", step_label(labels, instances))


def write_motchallenge_step(root, split="train"):
    write_kitti_step(root, split, ("0002", "0009"), classes=(0, 4, 4), extension=".jpg")


DEPTH = np.array([[0, 256, 384, 65535], [1, 2, 3, 4]], np.uint16)


def write_cityscapes_dvps(root, split="train", sequences=2, frames=3, converted=False, labels=True):
    """Cityscapes-DVPS: road, two cars, a crowd of persons, void."""
    folder = root / split if converted else root / "video_sequence" / split
    label = np.array([[0, 13001, 13002, 11000], [0, 13001, 32000, 11000]], np.uint16)
    for sequence in range(sequences):
        for frame in range(frames):
            name = f"{sequence:06d}_{frame:06d}"
            name += "" if converted else f"_munster_{sequence:06d}_{frame:06d}"
            save(folder / f"{name}_leftImg8bit.png", picture(10 * sequence + frame, 2, 4))
            if labels:
                save(folder / f"{name}_gtFine_instanceTrainIds.png", label)
                save(folder / f"{name}_depth.png", DEPTH)


def write_semkitti_dvps(root, split="train", frames=3, converted=False):
    """SemKITTI-DVPS: cars 1 and 300, a crowd of cars, road with an instance, void."""
    folder = root / split if converted else root / "video_sequence" / split
    classes = np.array([[0, 0, 0, 8], [0, 255, 255, 8]], np.uint8)
    instances = np.array([[1, 300, 0, 5], [1, 0, 0, 0]], np.uint16)
    for frame in range(frames):
        name = f"000003_{frame:06d}"
        save(folder / f"{name}_leftImg8bit.png", picture(frame, 2, 4))
        if converted:
            save(folder / f"{name}_gtFine_instanceTrainIds.png", step_label(classes, instances))
            save(folder / f"{name}_depth.png", DEPTH)
        else:
            save(folder / f"{name}_gtFine_class.png", classes)
            save(folder / f"{name}_gtFine_instance.png", instances)
            save(folder / f"{name}_depth_718.8560180664062.png", DEPTH)


def write_cityscapes(root, split="train", cities=("aachen", "bonn")):
    """Cityscapes: unlabelled, road, two cars, a crowd of persons."""
    ids = np.array([[0, 7, 7, 26000], [26001, 26001, 24, 24]], np.uint16)
    for number, city in enumerate(cities):
        name = f"{city}/{city}_000000_000019"
        save(root / "leftImg8bit" / split / f"{name}_leftImg8bit.png", picture(number, 2, 4))
        save(root / "gtFine" / split / f"{name}_gtFine_instanceIds.png", ids)


def write_harbour(root, count=2):
    """Rendered streets with four classes: in folders of images and masks, and in COCO's panoptic format."""
    names = ("ground", "sky", "plants", "vehicle")
    label_space = LabelSpace("harbour", names, things=(3,))
    classes = np.full(256, label_space.ignore_label)
    for own, streets in enumerate(((0, 1, 9), (10,), (8,), (13, 14, 15))):
        classes[list(streets)] = own
    images, maps = [], []
    for number, scene in enumerate(StreetScenes(count, image_size=(129, 257))):
        street_classes, instances = np.divmod(scene["panoptic"], 1000)
        own = classes[street_classes]
        images.append(scene["image"])
        maps.append((own * 1000 + np.where(own == 3, instances, 0)).astype(np.int32))
        save(root / "harbour" / "images" / f"{number:04d}.png", images[-1])
        save(root / "harbour" / "masks" / f"{number:04d}.png", rgb_ids(maps[-1]))
    write_layout(ArrayReader(images, maps, label_space), root / "boats", "coco", progress=False)
