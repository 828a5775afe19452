"""Layouts are recognised, and every reader says what is wrong with damaged files."""

import functools
import pickle
import re

import numpy as np
import pytest

from keras_deeplab import data
from keras_deeplab.data.images import ImageError
from keras_deeplab.data.layouts import LAYOUTS, detect_layout, open_dataset
from tests.references import DATA
from tests.small_datasets import (
    picture,
    save,
    step_label,
    write_ade20k,
    write_camvid,
    write_cityscapes,
    write_cityscapes_dvps,
    write_coco,
    write_kitti_step,
    write_motchallenge_step,
    write_semkitti_dvps,
)

# What is written, the name of the layout, and its reader.
DATASETS = {
    "cityscapes": (write_cityscapes, "cityscapes", data.Cityscapes),
    "coco": (functools.partial(write_coco, split="train"), "coco", data.Coco),
    "ade20k": (write_ade20k, "ade20k", data.Ade20k),
    "ade20k, semantic": (functools.partial(write_ade20k, panoptic=False), "ade20k", data.Ade20k),
    "camvid": (write_camvid, "camvid", data.CamVid),
    "kitti_step": (write_kitti_step, "kitti_step", data.KittiStep),
    "motchallenge_step": (write_motchallenge_step, "motchallenge_step", data.MotChallengeStep),
    "cityscapes_dvps": (write_cityscapes_dvps, "cityscapes_dvps", data.CityscapesDvps),
    "cityscapes_dvps, converted": (
        functools.partial(write_cityscapes_dvps, converted=True),
        "cityscapes_dvps",
        data.CityscapesDvps,
    ),
    "semkitti_dvps": (write_semkitti_dvps, "semkitti_dvps", data.SemKittiDvps),
    "semkitti_dvps, converted": (
        functools.partial(write_semkitti_dvps, converted=True),
        "semkitti_dvps",
        data.SemKittiDvps,
    ),
}


@pytest.fixture(params=DATASETS)
def dataset(request, tmp_path):
    """The folder of a small dataset, the name of its layout and its reader."""
    write, name, reader = DATASETS[request.param]
    root = tmp_path / "Daten für später"
    write(root)
    return root, name, reader


def test_layouts_are_recognised(dataset):
    root, name, _ = dataset
    assert detect_layout(root) == (name, ("train",))


def test_datasets_are_opened(dataset):
    root, _, reader = dataset
    opened = open_dataset(str(root), "train")
    assert type(opened) is reader
    assert opened.names == reader(root, "train").names
    sample = opened[0]
    assert sample["image"].dtype == np.uint8
    assert sample["image"].shape[:2] == sample["panoptic"].shape
    assert set(open_dataset(root, labels=None)[0]) & {"image", "panoptic"} == {"image"}


def test_readers_can_be_sent_to_other_processes(dataset):
    root, _, reader = dataset
    reader = reader(root)
    copy = pickle.loads(pickle.dumps(reader))
    assert copy.names == reader.names
    np.testing.assert_array_equal(copy[1]["panoptic"], reader[1]["panoptic"])


def test_truncated_files_are_named(dataset):
    root, _, reader = dataset
    reader = reader(root)
    for path in pictures_of_first_sample(reader):
        whole = path.read_bytes()
        for length in (0, 1, 20, len(whole) // 2, len(whole) - 3):
            path.write_bytes(whole[:length])
            with pytest.raises(ImageError, match=re.escape(path.name)):
                reader[0]
        path.write_bytes(whole)
    assert reader[0]["name"] == reader.names[0]


def test_text_in_place_of_pictures_is_named(dataset):
    root, _, reader = dataset
    reader = reader(root)
    for path in pictures_of_first_sample(reader):
        whole = path.read_bytes()
        path.write_bytes(b"<html>404 Not Found</html>")
        with pytest.raises(ImageError, match=rf"{re.escape(path.name)} is not an image"):
            reader[0]
        path.write_bytes(whole)


def pictures_of_first_sample(reader):
    paths = sorted(reader.root.rglob(f"{reader.names[0]}*.*g"))
    if getattr(reader, "labels", None) == "panoptic":
        paths = [path for path in paths if "annotations" not in path.parts]
    assert len(paths) >= 2
    return paths


def test_images_alone_are_recognised_by_their_names(tmp_path):
    write_motchallenge_step(tmp_path / "mot", "test")
    write_kitti_step(tmp_path / "kitti", "test")
    for name in ("mot", "kitti"):
        for path in (tmp_path / name / "panoptic_maps").rglob("*.png"):
            path.unlink()
    write_cityscapes_dvps(tmp_path / "dvps", "test", labels=False)
    assert detect_layout(tmp_path / "mot").name == "motchallenge_step"
    assert detect_layout(tmp_path / "kitti").name == "kitti_step"
    assert detect_layout(tmp_path / "dvps") == ("cityscapes_dvps", ("test",))


def test_maps_tell_the_step_datasets_apart_whatever_the_images_are(tmp_path):
    write_motchallenge_step(tmp_path)
    for path in (tmp_path / "images").rglob("*.jpg"):
        path.rename(path.with_suffix(".png"))
    assert detect_layout(tmp_path).name == "motchallenge_step"
    classes, instances = np.full((2, 4), 13), np.full((2, 4), 1)
    for path in (tmp_path / "panoptic_maps").rglob("*.png"):
        save(path, step_label(classes, instances))
    assert detect_layout(tmp_path).name == "kitti_step"


def test_folders_that_look_like_two_datasets_are_refused(tmp_path):
    save(tmp_path / "test/000003_000001_leftImg8bit.png", picture())
    with pytest.raises(
        ValueError, match=r"may hold cityscapes_dvps or semkitti_dvps.*CityscapesDvps or SemKitti"
    ):
        open_dataset(tmp_path, "test")


def test_unknown_folders_show_what_datasets_look_like(tmp_path):
    (tmp_path / "empty/deep").mkdir(parents=True)
    save(tmp_path / "pictures/a.png", picture())
    with pytest.raises(ValueError, match="holds none of the known datasets") as error:
        detect_layout(tmp_path)
    for name, layout in LAYOUTS.items():
        assert f"{name}: {layout.patterns[0]}" in str(error.value)
    assert "ImageFolder" in str(error.value)


def test_own_images_in_numbered_folders_are_no_video(tmp_path):
    save(tmp_path / "images/train/cats/1.png", picture())
    save(tmp_path / "images/train/dogs/fido.jpg", picture())
    with pytest.raises(ValueError, match="holds none of the known datasets"):
        detect_layout(tmp_path)


def test_missing_folders_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"The dataset folder .*nowhere does not exist"):
        open_dataset(tmp_path / "nowhere")


def test_missing_splits_are_named_by_the_reader(tmp_path):
    write_coco(tmp_path)
    with pytest.raises(ValueError, match=r"no images .*train2017.*annotations, val2017"):
        open_dataset(tmp_path, "train")


def test_waymo_is_recognised_by_its_folders(tmp_path):
    path = tmp_path / "validation/camera_segmentation/a.parquet"
    path.parent.mkdir(parents=True)
    path.touch()
    assert detect_layout(tmp_path) == ("waymo", ("val",))


@pytest.mark.parametrize("name", LAYOUTS)
def test_readers_of_layouts_exist(name):
    assert hasattr(data, LAYOUTS[name].reader.partition(":")[2])


@pytest.mark.skipif(not (DATA / "layouts").is_dir(), reason="needs the layout samples")
@pytest.mark.parametrize(
    ("folder", "name", "splits"),
    [
        ("cityscapes", "cityscapes", ("train", "val")),
        ("coco", "coco", ("val",)),
        ("layouts/ADE20K", "ade20k", ("train", "val")),
        ("camvid", "camvid", ("train", "val")),
        ("layouts/kitti-step", "kitti_step", ("test", "train", "val")),
        ("layouts/motchallenge-step", "motchallenge_step", ("test", "train")),
        ("layouts/cityscapes-dvps", "cityscapes_dvps", ("test", "train", "val")),
        ("layouts/cityscapes-dvps-deeplab2", "cityscapes_dvps", ("test", "train", "val")),
        ("layouts/semkitti-dvps", "semkitti_dvps", ("test", "train", "val")),
        ("layouts/semkitti-dvps-deeplab2", "semkitti_dvps", ("test", "train", "val")),
    ],
)
def test_samples_of_official_layouts_are_recognised(folder, name, splits):
    assert detect_layout(DATA / folder) == (name, splits)
