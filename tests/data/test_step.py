import numpy as np
import pytest

from keras_deeplab.data.images import read_label
from keras_deeplab.data.step import KittiStep, MotChallengeStep, Step, panoptic_from_step
from keras_deeplab.labels import CITYSCAPES, LABEL_SPACES, LabelSpace
from tests.references import DATA
from tests.small_datasets import picture, save, step_label, write_kitti_step, write_motchallenge_step

LAYOUTS = DATA / "layouts"
needs_layouts = pytest.mark.skipif(not LAYOUTS.is_dir(), reason="needs the layout samples")

PANOPTIC = np.array([[0, 13001, 13300, 11000], [0, 13001, 11002, 255000]])


def test_samples_hold_image_map_name_sequence_and_frame(tmp_path):
    write_kitti_step(tmp_path)
    reader = KittiStep(tmp_path)
    assert len(reader) == 6
    sample = reader[4]
    assert (sample["name"], sample["sequence"], sample["frame"]) == ("0010/000001", "0010", 1)
    np.testing.assert_array_equal(sample["image"], picture(11, 2, 4))
    np.testing.assert_array_equal(sample["panoptic"], PANOPTIC)
    assert sample["panoptic"].dtype == np.int32
    assert repr(reader) == f"KittiStep({str(tmp_path)!r}, split='train', 6 frames of 2 sequences)"


def test_motchallenge_has_jpeg_images_and_classes_of_its_own(tmp_path):
    write_motchallenge_step(tmp_path)
    reader = MotChallengeStep(tmp_path)
    assert reader.label_space is LABEL_SPACES["motchallenge_step"]
    np.testing.assert_array_equal(reader[0]["panoptic"], [[0, 4001, 4300, 4000], [0, 4001, 4002, 255000]])


def test_motchallenge_images_may_lie_in_folders_of_their_own(tmp_path):
    write_motchallenge_step(tmp_path)
    for path in sorted((tmp_path / "images/train").glob("*/*.jpg")):
        (path.parent / "img1").mkdir(exist_ok=True)
        path.rename(path.parent / "img1" / path.name)
    reader = MotChallengeStep(tmp_path)
    assert reader.names[0] == "0002/000000"
    assert set(reader[0]) == {"name", "image", "panoptic", "sequence", "frame"}


def test_frames_are_ordered_by_number(tmp_path):
    for name in ("b/9", "b/10", "a/100"):
        save(tmp_path / f"images/train/{name}.png", picture())
    reader = Step(tmp_path, "train", CITYSCAPES, labels=False)
    assert reader.names == ["a/100", "b/9", "b/10"]


def test_any_label_space_may_be_used(tmp_path):
    write_kitti_step(tmp_path, classes=(0, 1, 1))
    space = LabelSpace("harbour", ("water", "boat"), things=(1,), ignore_label=9, label_divisor=512)
    panoptic = Step(tmp_path, "train", space)[0]["panoptic"]
    np.testing.assert_array_equal(panoptic, [[0, 513, 812, 512], [0, 513, 514, 9 * 512]])


def test_images_or_labels_can_be_read_alone(tmp_path):
    write_kitti_step(tmp_path)
    assert set(KittiStep(tmp_path, labels=None)[0]) == {"name", "image", "sequence", "frame"}
    assert set(KittiStep(tmp_path, images=False)[0]) == {"name", "panoptic", "sequence", "frame"}


def test_kitti_images_may_lie_where_its_tracking_benchmark_has_them(tmp_path):
    for split, sequences in (("train", ("0000", "0001")), ("val", ("0002",))):
        write_kitti_step(tmp_path, split, sequences)
        for sequence in sequences:
            target = tmp_path / "training/image_02" / sequence
            target.parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "images" / split / sequence).rename(target)
        (tmp_path / "images" / split).rmdir()
    (tmp_path / "images").rmdir()
    save(tmp_path / "testing/image_02/0028/000000.png", picture())
    for split, sequences in (("train", ["0000", "0001"]), ("val", ["0002"])):
        for labels in (True, False):
            reader = KittiStep(tmp_path, split, labels=labels)
            assert sorted(set(reader.sequences)) == sequences
    np.testing.assert_array_equal(KittiStep(tmp_path, "val")[0]["panoptic"], PANOPTIC)
    assert KittiStep(tmp_path, "test", labels=None).names == ["0028/000000"]


def test_the_test_split_has_no_labels(tmp_path):
    write_kitti_step(tmp_path)
    save(tmp_path / "images/test/0000/000000.png", picture())
    with pytest.raises(
        ValueError, match=r"no labels .*panoptic_maps/test.*panoptic_maps: train\..*labels=None"
    ):
        KittiStep(tmp_path, "test")
    assert len(KittiStep(tmp_path, "test", labels=None)) == 1


def test_missing_splits_are_named(tmp_path):
    write_kitti_step(tmp_path)
    with pytest.raises(ValueError, match=r"no images .*images/val/<sequence>.*Folders in .*images: train\."):
        KittiStep(tmp_path, "val", labels=None)


def test_frames_without_a_map_are_named(tmp_path):
    write_kitti_step(tmp_path)
    (tmp_path / "panoptic_maps/train/0002/000001.png").unlink()
    with pytest.raises(ValueError, match=r"1 of 6 images have no labels.*0002/000001\.png"):
        KittiStep(tmp_path)


@pytest.mark.parametrize("name", ["0002/first.png", "000001.png"])
def test_frames_must_have_a_number_and_a_sequence(tmp_path, name):
    save(tmp_path / "images/train" / name, picture())
    with pytest.raises(ValueError, match=rf"a folder per sequence and have a number.*{name[:-4]}"):
        KittiStep(tmp_path, labels=None)


def test_the_labels_of_another_dataset_are_noticed(tmp_path):
    write_motchallenge_step(tmp_path)
    with pytest.raises(ValueError, match=r"000000\.png: .*instances of 'fence' \(4\).*'kitti_step'"):
        KittiStep(tmp_path)[0]


@pytest.mark.parametrize(
    ("label", "problem"),
    [
        (np.zeros((2, 4), np.uint8), "must be an 8-bit RGB PNG"),
        (np.zeros((2, 4), np.uint16), "must be an 8-bit RGB PNG"),
        (step_label(np.full((2, 4), 19), 0), "holds the class 19,"),
        (step_label(np.full((2, 4), 13), 1000), "instance 1000"),
    ],
)
def test_wrong_maps_are_named_with_their_file(tmp_path, label, problem):
    write_kitti_step(tmp_path)
    save(tmp_path / "panoptic_maps/train/0002/000000.png", label)
    with pytest.raises(ValueError, match=rf"panoptic_maps/train/0002/000000\.png: .*{problem}"):
        KittiStep(tmp_path)[0]


def test_void_has_no_instances():
    label = step_label(np.array([[255, 13]]), np.array([[7, 7]]))
    np.testing.assert_array_equal(panoptic_from_step(label, CITYSCAPES), [[255000, 13007]])


@needs_layouts
@pytest.mark.parametrize(
    ("reader", "folder", "split", "frames", "sequences"),
    [
        (KittiStep, "kitti-step", "train", 12, 2),
        (KittiStep, "kitti-step", "val", 6, 1),
        (MotChallengeStep, "motchallenge-step", "train", 12, 2),
    ],
)
def test_samples_of_the_official_layout_are_read(reader, folder, split, frames, sequences):
    reader = reader(LAYOUTS / folder, split)
    assert (len(reader), len(set(reader.sequences))) == (frames, sequences)
    for sample in reader:
        path = LAYOUTS / folder / "panoptic_maps" / split / f"{sample['name']}.png"
        red, green, blue = read_label(path).astype(int).transpose(2, 0, 1)
        np.testing.assert_array_equal(sample["panoptic"], red * 1000 + green * 256 + blue)
        assert sample["image"].shape == (*red.shape, 3)
