import numpy as np
import pytest

from keras_deeplab.data.dvps import CityscapesDvps, Dvps, SemKittiDvps
from keras_deeplab.data.images import read_label
from keras_deeplab.labels import CITYSCAPES, LabelSpace
from tests.references import DATA
from tests.small_datasets import DEPTH, picture, save, write_cityscapes_dvps, write_semkitti_dvps

LAYOUTS = DATA / "layouts"
needs_layouts = pytest.mark.skipif(not LAYOUTS.is_dir(), reason="needs the layout samples")

CITYSCAPES_PANOPTIC = np.array([[0, 13001, 13002, 11000], [0, 13001, 32000, 11000]])
ROAD, VOID = 8 * 65536, 255 * 65536
SEMKITTI_PANOPTIC = np.array([[1, 300, 0, ROAD], [1, VOID, VOID, ROAD]])


@pytest.mark.parametrize(
    ("converted", "name"), [(False, "000001_000002_munster_000001_000002"), (True, "000001_000002")]
)
def test_cityscapes_samples_hold_everything(tmp_path, converted, name):
    write_cityscapes_dvps(tmp_path, converted=converted)
    reader = CityscapesDvps(tmp_path)
    assert len(reader) == 6
    sample = reader[5]
    assert (sample["name"], sample["sequence"], sample["frame"]) == (name, "000001", 2)
    np.testing.assert_array_equal(sample["image"], picture(12, 2, 4))
    np.testing.assert_array_equal(sample["panoptic"], CITYSCAPES_PANOPTIC)
    np.testing.assert_array_equal(sample["depth"], (DEPTH / 256).astype(np.float32))
    assert (sample["panoptic"].dtype, sample["depth"].dtype) == (np.int32, np.float32)
    assert repr(reader) == f"CityscapesDvps({str(tmp_path)!r}, split='train', 6 frames of 2 sequences)"


@pytest.mark.parametrize("converted", [False, True])
def test_semkitti_samples_hold_everything(tmp_path, converted):
    write_semkitti_dvps(tmp_path, "val", converted=converted)
    sample = SemKittiDvps(tmp_path, "val")[1]
    assert (sample["name"], sample["sequence"], sample["frame"]) == ("000003_000001", "000003", 1)
    np.testing.assert_array_equal(sample["panoptic"], SEMKITTI_PANOPTIC)
    np.testing.assert_array_equal(sample["depth"], (DEPTH / 256).astype(np.float32))


def test_void_follows_the_label_space(tmp_path):
    write_cityscapes_dvps(tmp_path)
    panoptic = CityscapesDvps(tmp_path, label_space=CITYSCAPES)[0]["panoptic"]
    np.testing.assert_array_equal(panoptic[1], [0, 13001, 255000, 11000])


def test_own_videos_may_have_the_format(tmp_path):
    save(tmp_path / "train/7_12_leftImg8bit.png", picture(0, 1, 2))
    save(tmp_path / "train/7_12_gtFine_instanceTrainIds.png", np.array([[0, 1003]], np.uint16))
    space = LabelSpace("harbour", ("water", "boat"), things=(1,), ignore_label=9, label_divisor=10)
    sample = Dvps(tmp_path, "train", space, depth=False)[0]
    assert (sample["sequence"], sample["frame"]) == ("7", 12)
    np.testing.assert_array_equal(sample["panoptic"], [[0, 13]])
    assert "depth" not in sample


def test_parts_can_be_read_alone(tmp_path):
    write_cityscapes_dvps(tmp_path)
    common = {"name", "sequence", "frame"}
    assert set(CityscapesDvps(tmp_path, labels=None)[0]) == common | {"image"}
    assert set(CityscapesDvps(tmp_path, images=False)[0]) == common | {"panoptic", "depth"}
    assert set(CityscapesDvps(tmp_path, depth=False)[0]) == common | {"image", "panoptic"}


def test_the_test_split_has_images_only(tmp_path):
    write_cityscapes_dvps(tmp_path, "test", labels=False)
    with pytest.raises(
        ValueError, match=r"no labels .*test/\*_gtFine_instanceTrainIds\.png or .*labels=None"
    ):
        CityscapesDvps(tmp_path, "test")
    assert len(CityscapesDvps(tmp_path, "test", labels=None)) == 6


def test_missing_splits_are_named(tmp_path):
    write_cityscapes_dvps(tmp_path)
    with pytest.raises(
        ValueError, match=r"no images .*video_sequence/val.*Folders in .*video_sequence: train\."
    ):
        CityscapesDvps(tmp_path, "val")


def test_missing_depth_is_named(tmp_path):
    write_semkitti_dvps(tmp_path)
    next((tmp_path / "video_sequence/train").glob("000003_000001_depth*")).unlink()
    with pytest.raises(ValueError, match=r"1 of 3 label maps have no depth map.*000003_000001.*depth=False"):
        SemKittiDvps(tmp_path)


def test_names_must_begin_with_sequence_and_frame(tmp_path):
    save(tmp_path / "train/aachen_000001_leftImg8bit.png", picture())
    with pytest.raises(ValueError, match=r"must begin with <sequence>_<frame>.*aachen_000001"):
        CityscapesDvps(tmp_path, labels=None)


@pytest.mark.parametrize(
    ("label", "problem"),
    [
        (np.full((2, 4), 19000, np.uint16), "holds the class 19,"),
        (np.zeros((2, 4), np.uint8), "must be a 16-bit grey or an RGB PNG"),
    ],
)
def test_wrong_maps_are_named_with_their_file(tmp_path, label, problem):
    write_cityscapes_dvps(tmp_path, converted=True)
    save(tmp_path / "train/000000_000000_gtFine_instanceTrainIds.png", label)
    with pytest.raises(ValueError, match=rf"000000_000000_gtFine_instanceTrainIds\.png: .*{problem}"):
        CityscapesDvps(tmp_path)[0]


def test_instances_must_belong_to_the_classes(tmp_path):
    write_semkitti_dvps(tmp_path)
    folder = tmp_path / "video_sequence/train"
    save(folder / "000003_000000_gtFine_instance.png", np.zeros((2, 5), np.uint16))
    with pytest.raises(ValueError, match=r"gtFine_class\.png: .*grey PNGs of the same size"):
        SemKittiDvps(tmp_path)[0]
    (folder / "000003_000000_gtFine_instance.png").unlink()
    with pytest.raises(ValueError, match=r"no image file .*000003_000000_gtFine_instance\.png"):
        SemKittiDvps(tmp_path)[0]


@needs_layouts
@pytest.mark.parametrize(
    ("reader", "name"), [(CityscapesDvps, "cityscapes-dvps"), (SemKittiDvps, "semkitti-dvps")]
)
def test_official_and_converted_samples_are_the_same(reader, name):
    official, converted = reader(LAYOUTS / name), reader(LAYOUTS / f"{name}-deeplab2")
    assert len(official) == len(converted) == 12
    for first, second in zip(official, converted, strict=True):
        for key in ("image", "panoptic", "depth", "sequence", "frame"):
            np.testing.assert_array_equal(first[key], second[key])


@needs_layouts
def test_official_samples_are_decoded_as_the_converter_does():
    reader = CityscapesDvps(LAYOUTS / "cityscapes-dvps")
    folder = LAYOUTS / "cityscapes-dvps/video_sequence/train"
    for sample in reader:
        label = read_label(folder / f"{sample['name']}_gtFine_instanceTrainIds.png")
        np.testing.assert_array_equal(sample["panoptic"], label)
        depth = read_label(folder / f"{sample['name']}_depth.png")
        np.testing.assert_array_equal(sample["depth"] * 256, depth)
