import contextlib
import io
import json
import os
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from keras_deeplab.data import write_layout
from keras_deeplab.data.arrays import ArrayReader
from keras_deeplab.data.cityscapes import Cityscapes
from keras_deeplab.data.images import read_image, read_label
from keras_deeplab.data.panoptic_png import decode_segment_ids, panoptic_from_segments
from keras_deeplab.data.synthetic import StreetScenes
from keras_deeplab.labels import CITYSCAPES, LabelSpace

SIZE = (64, 96)
# Road, sky, two cars, a crowd of persons and void.
PANOPTIC = np.array([[0, 10_000, 13_001, 13_999], [11_000, 11_000, 255_000, 255_000]], np.int32)


@pytest.fixture(scope="module")
def scenes():
    return StreetScenes(3, SIZE, seed=5)


@pytest.fixture(scope="module")
def videos():
    return StreetScenes(2, SIZE, seed=5, frames_per_sequence=2, depth=True)


def reader(panoptic=PANOPTIC, names=("a",), label_space=CITYSCAPES):
    images = np.full((len(names), *panoptic.shape, 3), 9, np.uint8)
    return ArrayReader(images, [panoptic] * len(names), label_space, names)


class Samples(list):
    """Made-up samples, with what the layouts for videos need."""

    label_space = CITYSCAPES

    def __init__(self, **changes):
        sample = {"name": "a", "panoptic": PANOPTIC, "depth": np.ones((2, 4), np.float32)}
        sample |= {"image": np.full((2, 4, 3), 9, np.uint8), "sequence": "0007", "frame": 12} | changes
        super().__init__([{key: value for key, value in sample.items() if value is not None}])


def files_in(folder):
    return sorted(str(p.relative_to(folder)) for p in pathlib.Path(folder).rglob("*") if p.is_file())


# Cityscapes


def test_cityscapes_is_read_back_exactly(tmp_path, scenes):
    write_layout(scenes, tmp_path, "cityscapes", split="val")
    read = Cityscapes(tmp_path, "val", labels="instance_ids")
    assert read.names == scenes.names
    for written, again in zip(scenes, read, strict=True):
        np.testing.assert_array_equal(again["image"], written["image"])
        np.testing.assert_array_equal(again["panoptic"], written["panoptic"])
    # The panoptic form numbers instances anew, here as they were: from 1 without gaps.
    for written, again in zip(scenes, Cityscapes(tmp_path, "val", labels="panoptic"), strict=True):
        np.testing.assert_array_equal(again["panoptic"], written["panoptic"])


def test_cityscapes_codes_instances_crowds_and_void(tmp_path):
    write_layout(reader(), tmp_path, "cityscapes")
    assert files_in(tmp_path) == [
        "gtFine/cityscapes_panoptic_train.json",
        "gtFine/cityscapes_panoptic_train/scene_000000_000000_gtFine_panoptic.png",
        "gtFine/train/scene/scene_000000_000000_gtFine_instanceIds.png",
        "gtFine/train/scene/scene_000000_000000_gtFine_labelIds.png",
        "leftImg8bit/train/scene/scene_000000_000000_leftImg8bit.png",
    ]
    stem = tmp_path / "gtFine/train/scene/scene_000000_000000_gtFine_"
    ids = read_label(f"{stem}instanceIds.png")
    assert ids.dtype == np.uint16
    np.testing.assert_array_equal(ids, [[7, 23, 26_000, 26_998], [24, 24, 0, 0]])
    np.testing.assert_array_equal(read_label(f"{stem}labelIds.png"), [[7, 23, 26, 26], [24, 24, 0, 0]])
    np.testing.assert_array_equal(Cityscapes(tmp_path)[0]["panoptic"], PANOPTIC)


def test_names_of_cityscapes_stay_and_frames_of_videos_are_numbered(tmp_path, videos):
    write_layout(reader(names=("aachen_000001_000019", "bonn_000000_000001")), tmp_path / "a", "cityscapes")
    assert Cityscapes(tmp_path / "a").names == ["aachen_000001_000019", "bonn_000000_000001"]
    write_layout(videos, tmp_path / "b", "cityscapes")
    assert Cityscapes(tmp_path / "b").names == [f"scene_00000{s}_00000{f}" for s in (0, 1) for f in (0, 1)]
    for written, again in zip(videos, Cityscapes(tmp_path / "b"), strict=True):
        np.testing.assert_array_equal(again["panoptic"], written["panoptic"])


def test_cityscapesscripts_makes_the_same_panoptic_form(tmp_path, scenes):
    preparation = pytest.importorskip("cityscapesscripts.preparation.createPanopticImgs")
    write_layout(scenes, tmp_path / "ours", "cityscapes")
    (tmp_path / "official").mkdir()
    with contextlib.redirect_stdout(io.StringIO()):
        preparation.convert2panoptic(
            str(tmp_path / "ours" / "gtFine"), str(tmp_path / "official"), False, ["train"]
        )
    ours, official = tmp_path / "ours" / "gtFine", tmp_path / "official"
    assert len(files_in(official)) == 4
    for name in files_in(official):
        if name.endswith(".png"):
            np.testing.assert_array_equal(read_label(ours / name), read_label(official / name))
    ours, official = (
        json.loads((f / "cityscapes_panoptic_train.json").read_text()) for f in (ours, official)
    )
    for content in (ours, official):
        for annotation in content["annotations"]:
            annotation["segments_info"].sort(key=lambda segment: segment["id"])
        for category in content["categories"]:
            category.pop("supercategory")
    assert ours == official


def test_cityscapesscripts_scores_the_labels_against_themselves_with_1(tmp_path, scenes, monkeypatch):
    write_layout(scenes, tmp_path, "cityscapes", split="val")
    results = tmp_path / "results"
    results.mkdir()
    for path in (tmp_path / "gtFine" / "val").glob("*/*_labelIds.png"):
        shutil.copy(path, results / path.name.replace("_gtFine_labelIds", "_pred"))
    monkeypatch.setenv("CITYSCAPES_DATASET", str(tmp_path))
    monkeypatch.setenv("CITYSCAPES_RESULTS", str(results))
    evaluation = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    args = evaluation.args
    args.evalInstLevelScore, args.quiet, args.JSONOutput = False, True, False
    monkeypatch.setattr(args, "predictionPath", str(results))
    monkeypatch.setattr(args, "predictionWalk", None)
    truths = sorted(map(str, (tmp_path / "gtFine" / "val").glob("*/*_gtFine_labelIds.png")))
    scores = evaluation.evaluateImgLists(
        [evaluation.getPrediction(args, path) for path in truths], truths, args
    )
    assert scores["averageScoreClasses"] == 1
    assert scores["averageScoreCategories"] == 1


@pytest.mark.parametrize("layout", ["cityscapes", "coco"])
def test_panopticapi_scores_the_labels_against_themselves_with_1(tmp_path, scenes, layout, capsys):
    evaluation = pytest.importorskip("panopticapi.evaluation")
    write_layout(scenes, tmp_path, layout)
    place = {"cityscapes": "gtFine/cityscapes_panoptic_train", "coco": "annotations/panoptic_train2017"}[
        layout
    ]
    content = json.loads((tmp_path / f"{place}.json").read_text())
    categories = {category["id"]: category for category in content["categories"]}
    pairs = [(annotation, annotation) for annotation in content["annotations"]]
    folder = str(tmp_path / place)
    counts = evaluation.pq_compute_single_core(0, pairs, folder, folder, categories)
    scores, _ = counts.pq_average(categories, isthing=None)
    assert (scores["pq"], scores["sq"], scores["rq"]) == (1, 1, 1)
    assert scores["n"] > 8


# COCO


def test_coco_is_read_back_exactly_but_for_the_jpegs(tmp_path, scenes):
    write_layout(scenes, tmp_path, "coco", split="val")
    content = json.loads((tmp_path / "annotations/panoptic_val2017.json").read_text())
    assert [image["id"] for image in content["images"]] == [1, 2, 3]
    for sample, image, annotation in zip(scenes, content["images"], content["annotations"], strict=True):
        pixels = read_image(tmp_path / "val2017" / image["file_name"])
        assert np.abs(pixels.astype(int) - sample["image"]).mean() < 4
        assert (image["height"], image["width"]) == SIZE
        assert annotation["image_id"] == image["id"]
        ids = decode_segment_ids(
            read_label(tmp_path / "annotations/panoptic_val2017" / annotation["file_name"])
        )
        panoptic = panoptic_from_segments(ids, annotation["segments_info"], CITYSCAPES)
        np.testing.assert_array_equal(panoptic, sample["panoptic"])


def test_coco_images_keep_their_numbers_and_takes_any_classes(tmp_path):
    space = LabelSpace("pets", ("void", "cat", "dog"), (1, 2), ignore_label=0, category_ids=(0, 17, 18))
    write_layout(reader(np.array([[0, 1001, 2000]]), ("000000142238.jpg",), space), tmp_path, "coco")
    content = json.loads((tmp_path / "annotations/panoptic_train2017.json").read_text())
    assert content["images"] == [{"id": 142238, "file_name": "000000142238.jpg", "height": 1, "width": 3}]
    segments = content["annotations"][0]["segments_info"]
    assert [(s["category_id"], s["iscrowd"], s["bbox"]) for s in segments] == [
        (17, 0, [1, 0, 1, 1]),
        (18, 1, [2, 0, 1, 1]),
    ]
    assert [category["id"] for category in content["categories"]] == [17, 18]


def test_coco_needs_labels(tmp_path):
    with pytest.raises(ValueError, match="Sample 'a': the layout coco needs labels"):
        write_layout(Samples(panoptic=None), tmp_path, "coco")


# KITTI-STEP


def test_kitti_step_counts_cars_and_persons(tmp_path, videos):
    write_layout(videos, tmp_path, "kitti_step", split="val")
    assert files_in(tmp_path)[:2] == ["images/val/0000/000000.png", "images/val/0000/000001.png"]
    for index, sample in enumerate(videos):
        place = f"val/{index // 2:04d}/{index % 2:06d}.png"
        np.testing.assert_array_equal(read_image(tmp_path / "images" / place), sample["image"])
        red, green, blue = np.moveaxis(read_label(tmp_path / "panoptic_maps" / place).astype(int), -1, 0)
        classes, instances = np.divmod(sample["panoptic"], 1000)
        np.testing.assert_array_equal(red, classes)
        counted = np.where(np.isin(classes, (11, 13)), instances, 0)
        np.testing.assert_array_equal(green * 256 + blue, counted)


def test_kitti_step_splits_instances_over_two_channels(tmp_path):
    write_layout(Samples(), tmp_path, "kitti_step")
    picture = read_label(tmp_path / "panoptic_maps/train/0007/000012.png")
    assert picture[0, 3].tolist() == [13, 3, 999 - 3 * 256]
    assert picture[1, 2].tolist() == [255, 0, 0]


# Cityscapes-DVPS


def test_dvps_has_classes_instances_and_depth(tmp_path, videos):
    write_layout(videos, tmp_path, "cityscapes_dvps", split="val")
    for index, sample in enumerate(videos):
        frame = f"{index // 2:06d}_{index % 2:06d}"
        stem = tmp_path / f"video_sequence/val/{frame}_scene_{frame}_"
        np.testing.assert_array_equal(read_image(f"{stem}leftImg8bit.png"), sample["image"])
        ids = read_label(f"{stem}gtFine_instanceTrainIds.png").astype(int)
        void = sample["panoptic"] == CITYSCAPES.void
        np.testing.assert_array_equal(ids, np.where(void, 32_000, sample["panoptic"]))
        depth = read_label(f"{stem}depth.png")
        assert depth.dtype == np.uint16
        fits = sample["depth"] < 255.9
        assert np.abs(depth / 256 - sample["depth"])[fits].max() <= 1 / 512
    assert len(files_in(tmp_path)) == 4 * 3


def test_dvps_depth_beyond_16_bits_is_unknown(tmp_path):
    depth = np.array([[0, 0.5, 1.999, 255.99], [256, 300, 80, 1e9]], np.float32)
    write_layout(Samples(depth=depth), tmp_path, "cityscapes_dvps")
    written = read_label(tmp_path / "video_sequence/train/000007_000012_scene_000007_000012_depth.png")
    np.testing.assert_array_equal(written, [[0, 128, 512, 65533], [0, 0, 20480, 0]])


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"sequence": None}, "needs the `sequence` and `frame`"),
        ({"frame": None}, "needs the `sequence` and `frame`"),
        ({"depth": None}, "needs depth"),
        ({"depth": np.full((2, 4), np.nan)}, "`depth` must be at least 0"),
        ({"depth": np.full((2, 4), -1.0)}, "`depth` must be at least 0"),
        ({"panoptic": np.full((2, 4), 30_000)}, "class 30"),
        ({"panoptic": np.full((2, 4), -1)}, "class -1"),
    ],
)
def test_samples_that_do_not_fit_are_named(tmp_path, changes, complaint):
    with pytest.raises(ValueError, match=f"Sample 'a': .*{complaint}"):
        write_layout(Samples(**changes), tmp_path, "cityscapes_dvps")


# All layouts


@pytest.mark.parametrize("layout", ["cityscapes", "kitti_step", "cityscapes_dvps"])
def test_images_alone_are_written_alone(tmp_path, layout):
    write_layout(Samples(panoptic=None, depth=None), tmp_path, layout, split="test")
    (file,) = files_in(tmp_path)
    np.testing.assert_array_equal(read_image(tmp_path / file), np.full((2, 4, 3), 9))


@pytest.mark.parametrize("layout", ["cityscapes", "kitti_step", "cityscapes_dvps", "coco"])
def test_labels_alone_are_written_alone(tmp_path, layout):
    write_layout(Samples(image=None), tmp_path, layout)
    assert files_in(tmp_path)
    assert not any("leftImg8bit" in f or f.startswith(("images", "train2017")) for f in files_in(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"layout": "kitti"}, "`layout` must be one of cityscapes, coco, kitti_step, cityscapes_dvps"),
        ({"split": "valid"}, "`split` must be one of train, val, test"),
        ({"samples": StreetScenes(0)}, "nothing to write"),
        (
            {"samples": reader(np.zeros((1, 1), int), label_space=LabelSpace("pets", ("cat",)))},
            "The label space 'pets' has others: cat",
        ),
        (
            {"samples": reader(np.full((1, 1), 131_000), label_space=LabelSpace(
                "large", CITYSCAPES.classes, CITYSCAPES.things, label_divisor=10_000
            ))},
            "instances up to 999. Received: 1000",
        ),
        ({"samples": reader(names=("x_1_2", "x_1_2"))}, "same file"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_said(tmp_path, arguments, complaint):
    arguments = {"samples": Samples(), "folder": tmp_path, "layout": "cityscapes"} | arguments
    with pytest.raises(ValueError, match=complaint):
        write_layout(**arguments)


def test_other_content_is_kept_unless_it_may_be_replaced(tmp_path):
    write_layout(Samples(), tmp_path, "kitti_step")
    other = Samples(image=np.full((2, 4, 3), 50, np.uint8))
    with pytest.raises(ValueError, match=r"000012\.png is there with other content. Pass overwrite=True"):
        write_layout(other, tmp_path, "kitti_step")
    assert read_image(tmp_path / "images/train/0007/000012.png").max() == 9
    write_layout(other, tmp_path, "kitti_step", overwrite=True)
    assert read_image(tmp_path / "images/train/0007/000012.png").max() == 50


def test_an_interrupted_writing_leaves_whole_files_and_can_be_repeated(tmp_path, scenes, monkeypatch):
    write_layout(scenes, tmp_path / "whole", "cityscapes")
    whole = {name: (tmp_path / "whole" / name).read_bytes() for name in files_in(tmp_path / "whole")}
    replace, calls = os.replace, []

    def fail_later(*paths):
        calls.append(paths)
        if len(calls) == 6:
            raise KeyboardInterrupt
        replace(*paths)

    monkeypatch.setattr(os, "replace", fail_later)
    with pytest.raises(KeyboardInterrupt):
        write_layout(scenes, tmp_path / "part", "cityscapes")
    part = files_in(tmp_path / "part")
    assert len(part) == 5
    assert all((tmp_path / "part" / name).read_bytes() == whole[name] for name in part)
    monkeypatch.setattr(os, "replace", replace)
    write_layout(scenes, tmp_path / "part", "cityscapes")
    assert {name: (tmp_path / "part" / name).read_bytes() for name in files_in(tmp_path / "part")} == whole


def test_pngs_hold_what_other_libraries_read(tmp_path):
    write_layout(Samples(), tmp_path, "cityscapes_dvps")
    stem = tmp_path / "video_sequence/train/000007_000012_scene_000007_000012_"
    ids = np.asarray(Image.open(f"{stem}gtFine_instanceTrainIds.png"))
    np.testing.assert_array_equal(ids, np.where(PANOPTIC == 255_000, 32_000, PANOPTIC))
