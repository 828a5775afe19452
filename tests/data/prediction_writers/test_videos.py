"""Predictions for benchmarks of videos, read back and as their official scripts read them."""

import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from keras_deeplab.data import PredictionWriter, StreetScenes, write_layout
from keras_deeplab.data.dvps import CityscapesDvps, SemKittiDvps
from keras_deeplab.data.images import read_label
from keras_deeplab.data.step import KittiStep, MotChallengeStep
from keras_deeplab.labels import CITYSCAPES, LABEL_SPACES, LabelSpace
from keras_deeplab.metrics import PanopticQuality
from keras_deeplab.results import Segmentation
from tests.small_datasets import (
    write_cityscapes_dvps,
    write_kitti_step,
    write_motchallenge_step,
    write_semkitti_dvps,
)

STEP_DATASETS = {
    "kitti_step": (KittiStep, write_kitti_step),
    "motchallenge_step": (MotChallengeStep, write_motchallenge_step),
}


def write(reader, folder, layout):
    with PredictionWriter(folder, reader.label_space, layout) as writer:
        for sample in reader:
            writer.write(
                Segmentation(
                    sample["panoptic"], reader.label_space, name=sample["name"], depth=sample.get("depth")
                )
            )


def files_in(folder):
    return sorted(str(p.relative_to(folder)) for p in pathlib.Path(folder).rglob("*") if p.is_file())


# STEP


@pytest.mark.parametrize("layout", STEP_DATASETS)
def test_step_is_read_back_exactly(tmp_path, layout):
    reader_of, write_dataset = STEP_DATASETS[layout]
    write_dataset(tmp_path / "data", "train")
    reader = reader_of(tmp_path / "data", "train")
    assert any((sample["panoptic"] % 1000 == 300).any() for sample in reader)
    write(reader, tmp_path / "results/panoptic_maps/train", layout)
    again = reader_of(tmp_path / "results", "train", images=False)
    assert again.names == reader.names
    for index, sample in enumerate(reader):
        np.testing.assert_array_equal(again.load_panoptic(index), sample["panoptic"])
    maps = files_in(tmp_path / "data/panoptic_maps/train")
    assert files_in(tmp_path / "results/panoptic_maps/train") == maps
    for name in maps:
        np.testing.assert_array_equal(
            read_label(tmp_path / "data/panoptic_maps/train" / name),
            read_label(tmp_path / "results/panoptic_maps/train" / name),
        )


def test_step_takes_models_of_cityscapes(tmp_path):
    panoptic = np.array([[13_002, 12_001, 255_000, 8_000]])
    with PredictionWriter(tmp_path, CITYSCAPES, "kitti_step") as writer:
        writer.write(Segmentation(panoptic, CITYSCAPES), sequence=2, frame=5)
    assert files_in(tmp_path) == ["0002/000005.png"]
    picture = np.asarray(Image.open(tmp_path / "0002/000005.png"))
    assert picture.tolist() == [[[13, 0, 2], [12, 0, 0], [255, 0, 0], [8, 0, 0]]]


def test_step_has_room_for_65535_instances(tmp_path):
    space = LabelSpace("many", ("car", "road"), (0,), label_divisor=100_000)
    with PredictionWriter(tmp_path, space, "kitti_step") as writer:
        writer.write(Segmentation(np.array([[65_535]]), space), "0000/000000")
        assert read_label(tmp_path / "0000/000000.png").tolist() == [[[13, 255, 255]]]
        with pytest.raises(
            ValueError, match=r"Prediction '0000/000001': .* up to 65535. Received: 65536. Number"
        ):
            writer.write(Segmentation(np.array([[65_536]]), space), "0000/000001")
    assert files_in(tmp_path) == ["0000/000000.png"]


def test_step_replaces_frames_and_keeps_others(tmp_path):
    for frame, panoptic in ((0, 0), (1, 0), (1, 8_000)):
        with PredictionWriter(tmp_path, CITYSCAPES, "kitti_step") as writer:
            writer.write(Segmentation(np.array([[panoptic]]), CITYSCAPES), sequence="0007", frame=frame)
    assert [read_label(tmp_path / f"0007/00000{f}.png")[0, 0, 0] for f in (0, 1)] == [0, 8]


# DVPS. The published scripts read the folders like this.


def by_sequence(folder):
    sequences = {}
    for name in sorted(os.listdir(folder)):
        sequences.setdefault(name.split("_")[0], []).append(np.array(Image.open(folder / name)))
    return sequences


def cityscapes_dvps_maps(folder):
    """Classes and instances of each sequence, int64 `[H, frames * W]`."""
    maps = {
        name: np.concatenate(frames, axis=1).astype(int)
        for name, frames in by_sequence(folder / "panoptic").items()
    }
    return {name: (frames[..., 0], frames[..., 1]) for name, frames in maps.items()}


class Scenes(list):
    label_space = CITYSCAPES


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    scenes = Scenes(StreetScenes(2, (64, 96), seed=5, frames_per_sequence=3, depth=True))
    for sample in scenes:
        sample["panoptic"][60:, 20:70] = CITYSCAPES.void
    write_layout(scenes, folder / "data", "cityscapes_dvps", split="val", progress=False)
    reader = CityscapesDvps(folder / "data", "val")
    write(reader, folder / "predictions", "cityscapes_dvps")
    return reader, folder / "predictions"


def test_cityscapes_dvps_has_the_names_of_its_images(videos):
    reader, folder = videos
    names = [f"{name}_leftImg8bit.png" for name in reader.names]
    assert names[4] == "000001_000001_scene_000001_000001_leftImg8bit.png"
    assert files_in(folder) == [f"{kind}/{name}" for kind in ("depth", "panoptic") for name in names]


def test_cityscapes_dvps_holds_the_maps(videos):
    reader, folder = videos
    maps, depths = cityscapes_dvps_maps(folder), by_sequence(folder / "depth")
    for number, name in enumerate(("000000", "000001")):
        samples = [reader[3 * number + frame] for frame in range(3)]
        truth = np.concatenate([sample["panoptic"] for sample in samples], axis=1)
        classes, instances = maps[name]
        assert (truth == 32_000).any()
        np.testing.assert_array_equal(classes, np.where(truth == 32_000, 19, truth // 1000))
        np.testing.assert_array_equal(instances, truth % 1000)
        for depth, sample in zip(depths[name], samples, strict=True):
            assert depth.dtype == np.uint16
            np.testing.assert_array_equal(depth / 256, sample["depth"])


def test_cityscapes_dvps_scores_truth_with_1_and_predicted_void_as_missing(videos, tmp_path):
    reader, folder = videos
    disturbed = []
    with PredictionWriter(tmp_path, reader.label_space, "cityscapes_dvps") as writer:
        for sample in reader:
            prediction = np.roll(sample["panoptic"], 3, axis=1)
            prediction[:10] = 32_000
            disturbed.append(prediction)
            writer.write(Segmentation(prediction, reader.label_space, depth=sample["depth"]), sample["name"])
    truth = [np.concatenate([s["panoptic"] for s in list(reader)[i : i + 3]], axis=1) for i in (0, 3)]
    wanted = [np.concatenate(disturbed[i : i + 3], axis=1) for i in (0, 3)]
    assert quality(truth, folder) == 1
    expected = PanopticQuality(reader.label_space)
    for pair in zip(truth, wanted, strict=True):
        expected.update(*pair)
    assert quality(truth, tmp_path) == pytest.approx(expected.result()["pq"], rel=1e-12)
    assert quality(truth, tmp_path) < 0.9


def quality(truths, folder):
    """VPQ of whole sequences from the files. As in the scripts, class 19 is no class of the average."""
    space = LabelSpace(
        "files", (*CITYSCAPES.classes, "void"), CITYSCAPES.things, ignore_label=32, label_divisor=1000
    )
    metric = PanopticQuality(space)
    for truth, (classes, instances) in zip(truths, cityscapes_dvps_maps(folder).values(), strict=True):
        metric.update(truth, classes * 1000 + instances)
    per_class = metric.result()["per_class"]["pq"][:19]
    return np.nanmean(per_class)


def test_cityscapes_dvps_has_one_byte_for_instances(tmp_path):
    depth = np.ones((1, 1))
    with PredictionWriter(tmp_path, CITYSCAPES, "cityscapes_dvps") as writer:
        writer.write(Segmentation(np.array([[13_255]]), CITYSCAPES, depth=depth), sequence=3, frame=7)
        with pytest.raises(ValueError, match=r"up to 255. Received: 256"):
            writer.write(Segmentation(np.array([[13_256]]), CITYSCAPES, depth=depth), "000003_000008")
    name = "000003_000007_leftImg8bit.png"
    assert files_in(tmp_path) == [f"depth/{name}", f"panoptic/{name}"]
    assert np.asarray(Image.open(tmp_path / "panoptic" / name)).tolist() == [[[13, 255, 0]]]


@pytest.mark.parametrize("layout", ["cityscapes_dvps", "semkitti_dvps"])
def test_far_depth_is_as_far_as_fits(tmp_path, layout):
    space = LABEL_SPACES[layout]
    depth = np.array([[1000.0, 0.0, 1.5]])
    with PredictionWriter(tmp_path, space, layout) as writer:
        writer.write(Segmentation(np.full((1, 3), space.void), space, depth=depth), "000000_000000")
    (file,) = files_in(tmp_path / "depth")
    assert read_label(tmp_path / "depth" / file).tolist() == [[65_535, 0, 384]]


def test_semkitti_dvps_is_read_back_exactly(tmp_path):
    write_semkitti_dvps(tmp_path / "data", "val")
    reader = SemKittiDvps(tmp_path / "data", "val")
    write(reader, tmp_path / "predictions", "semkitti_dvps")
    assert files_in(tmp_path / "predictions")[:4] == [
        *(f"depth/000003_00000{frame}_depth.png" for frame in range(3)),
        "panoptic/000003_000000_cat.png",
    ]
    # As a dataset, which has another class for void than predictions.
    for path in (tmp_path / "predictions").glob("*/*.png"):
        label = read_label(path)
        if path.name.endswith("_cat.png"):
            assert set(np.unique(label)) == {0, 8, 19}
            label = np.where(label == 19, 255, label).astype(np.uint8)
        kind = {"cat": "gtFine_class", "ins": "gtFine_instance", "depth": "depth"}[path.stem.split("_")[-1]]
        target = tmp_path / "again/val" / f"{path.stem.rpartition('_')[0]}_{kind}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(label).save(target)
    again = SemKittiDvps(tmp_path / "again", "val", images=False)
    assert again.names == reader.names
    for read, sample in zip(again, reader, strict=True):
        assert 300 in sample["panoptic"] % 65_536
        np.testing.assert_array_equal(read["panoptic"], sample["panoptic"])
        np.testing.assert_array_equal(read["depth"], sample["depth"])


def test_semkitti_dvps_has_two_bytes_for_instances(tmp_path):
    space = LabelSpace("many", ("car", "road"), (0,), label_divisor=100_000)
    with PredictionWriter(tmp_path, space, "semkitti_dvps") as writer:
        writer.write(Segmentation(np.array([[65_535]]), space, depth=np.ones((1, 1))), "000000_000000")
        with pytest.raises(ValueError, match="up to 65535"):
            writer.write(Segmentation(np.array([[65_536]]), space, depth=np.ones((1, 1))), "000000_000001")
    assert read_label(tmp_path / "panoptic/000000_000000_ins.png").tolist() == [[65_535]]


def test_real_forms_of_cityscapes_dvps(tmp_path):
    write_cityscapes_dvps(tmp_path / "data", "val")
    reader = CityscapesDvps(tmp_path / "data", "val")
    write(reader, tmp_path / "predictions", "cityscapes_dvps")
    names = sorted(path.name for path in (tmp_path / "data").rglob("*_leftImg8bit.png"))
    assert sorted(os.listdir(tmp_path / "predictions/panoptic")) == names
    assert sorted(os.listdir(tmp_path / "predictions/depth")) == names


# All of them


@pytest.mark.parametrize("layout", ["kitti_step", "motchallenge_step", "cityscapes_dvps", "semkitti_dvps"])
def test_what_videos_need(tmp_path, layout):
    space, panoptic, depth = LABEL_SPACES[layout], np.array([[LABEL_SPACES[layout].void]]), np.ones((1, 1))
    with PredictionWriter(tmp_path, space, layout) as writer:
        for name in ("street", None):
            with pytest.raises(ValueError, match="for videos and needs the sequence and the number"):
                writer.write(Segmentation(panoptic, space, depth=depth), name)
        with pytest.raises(ValueError, match="needs the sequence"):
            writer.write(Segmentation(panoptic, space, depth=depth), "street", sequence="0001")
        with pytest.raises(ValueError, match="Prediction '0/0': the layout needs a panoptic map"):
            writer.write(Segmentation(None, space, semantic=np.array([[0]]), depth=depth), "0/0")
        if layout.endswith("dvps"):
            with pytest.raises(ValueError, match="Prediction '0/0': the layout needs depth"):
                writer.write(Segmentation(panoptic, space), "0/0")
            with pytest.raises(ValueError, match="Prediction '0/0': `depth` must be at least 0"):
                writer.write(Segmentation(panoptic, space, depth=-depth), "0/0")
    assert files_in(tmp_path) == []
