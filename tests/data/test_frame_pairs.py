import numpy as np
import pytest

from keras_deeplab.data.dvps import CityscapesDvps
from keras_deeplab.data.frame_pairs import FramePairs
from keras_deeplab.data.step import KittiStep
from keras_deeplab.data.synthetic import StreetScenes
from tests.small_datasets import picture, save, write_cityscapes_dvps, write_kitti_step


def test_the_last_frame_of_a_sequence_has_no_next_one(tmp_path):
    write_cityscapes_dvps(tmp_path)
    reader = CityscapesDvps(tmp_path)
    pairs = FramePairs(reader)
    assert len(pairs) == 4
    assert list(zip(pairs.sequences, pairs.frames, strict=True)) == [
        *(("000000", 0), ("000000", 1), ("000001", 0), ("000001", 1))
    ]
    assert pairs.names == [reader.names[i] for i in (0, 1, 3, 4)]
    sample = pairs[2]
    assert (sample["sequence"], sample["frame"]) == ("000001", 0)
    np.testing.assert_array_equal(sample["image"], picture(10, 2, 4))
    np.testing.assert_array_equal(sample["next_image"], picture(11, 2, 4))
    np.testing.assert_array_equal(sample["next_panoptic"], reader.load_panoptic(4))
    assert {"depth", "next_depth", "next_name"} & set(sample) == {"depth"}


def test_the_first_frame_of_a_sequence_is_its_own_previous_one(tmp_path):
    write_kitti_step(tmp_path)
    pairs = FramePairs(KittiStep(tmp_path), neighbor="previous")
    assert len(pairs) == 6
    for index, expected in enumerate((0, 0, 1, 10, 10, 11)):
        np.testing.assert_array_equal(pairs[index]["previous_image"], picture(expected, 2, 4))
    assert "next_image" not in pairs[0]


@pytest.mark.parametrize(("neighbor", "frames"), [("next", [0, 5]), ("previous", [0, 1, 5, 6])])
def test_frames_that_are_missing_are_no_neighbors(tmp_path, neighbor, frames):
    for frame in (0, 1, 5, 6):
        save(tmp_path / f"images/train/0000/{frame:06d}.png", picture(frame))
    pairs = FramePairs(KittiStep(tmp_path, labels=None), neighbor=neighbor)
    assert pairs.frames == frames
    if neighbor == "previous":
        np.testing.assert_array_equal(pairs[2]["previous_image"], picture(5))
    assert set(pairs[0]) == {"name", "sequence", "frame", "image", f"{neighbor}_image"}


def test_neighbors_may_be_several_frames_away(tmp_path):
    write_kitti_step(tmp_path, sequences=("0000",), frames=5)
    pairs = FramePairs(KittiStep(tmp_path), step=3)
    assert pairs.frames == [0, 1]
    np.testing.assert_array_equal(pairs[1]["next_image"], picture(4, 2, 4))


def test_pairs_are_a_sequence_with_a_label_space(tmp_path):
    write_kitti_step(tmp_path)
    reader = KittiStep(tmp_path)
    pairs = FramePairs(reader)
    assert pairs.label_space is reader.label_space
    assert len(list(pairs)) == len(pairs) == 4
    assert repr(pairs) == f"FramePairs({reader!r}, neighbor='next', 4 pairs)"
    with pytest.raises(IndexError):
        pairs[4]


def test_sequences_without_pairs_are_refused(tmp_path):
    write_kitti_step(tmp_path, frames=1)
    with pytest.raises(ValueError, match=r"No frame of KittiStep.* has one whose number is 1 more"):
        FramePairs(KittiStep(tmp_path))


def test_wrong_arguments_are_named(tmp_path):
    write_kitti_step(tmp_path)
    with pytest.raises(ValueError, match="`neighbor` must be 'next' or 'previous'"):
        FramePairs(KittiStep(tmp_path), neighbor="last")
    with pytest.raises(ValueError, match=r"`step` must be an integer >= 1.*0"):
        FramePairs(KittiStep(tmp_path), step=0)
    with pytest.raises(ValueError, match=r"is no video: it has no `sequences` and `frames`"):
        FramePairs(StreetScenes(1, (33, 33)))
