import dataclasses

import numpy as np
import pytest

from keras_deeplab.data.panoptic_png import decode_segment_ids, panoptic_from_segments
from keras_deeplab.labels import CITYSCAPES


def segment(segment_id, category_id, iscrowd=0):
    return {"id": segment_id, "category_id": category_id, "iscrowd": iscrowd}


def test_ids_are_base_256_colors():
    colors = np.array([[[1, 0, 0], [0, 1, 0], [0, 0, 1], [255, 255, 255]]], np.uint8)
    np.testing.assert_array_equal(decode_segment_ids(colors), [[1, 256, 65536, 2**24 - 1]])


@pytest.mark.parametrize("colors", [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3), np.uint16)])
def test_other_files_are_refused(colors):
    with pytest.raises(ValueError, match="must be 8-bit RGB"):
        decode_segment_ids(colors)


def test_things_are_numbered_by_class_and_stuff_is_not():
    ids = np.array([[0, 7, 50, 40, 60]])
    segments = [segment(50, 26), segment(40, 26), segment(7, 7), segment(60, 24)]
    panoptic = panoptic_from_segments(ids, segments, CITYSCAPES)
    np.testing.assert_array_equal(panoptic, [[255000, 0, 13002, 13001, 11001]])
    assert panoptic.dtype == np.int32


def test_crowds_get_instance_zero():
    panoptic = panoptic_from_segments(np.array([[9, 8]]), [segment(9, 26, 1), segment(8, 26)], CITYSCAPES)
    np.testing.assert_array_equal(panoptic, [[13000, 13001]])


def test_categories_beyond_the_label_space_are_void():
    np.testing.assert_array_equal(
        panoptic_from_segments(np.array([[9]]), [segment(9, 1)], CITYSCAPES), [[255000]]
    )


def test_id_zero_may_be_described():
    np.testing.assert_array_equal(
        panoptic_from_segments(np.array([[0]]), [segment(0, 8)], CITYSCAPES), [[1000]]
    )


def test_segments_may_be_absent_from_the_map():
    np.testing.assert_array_equal(
        panoptic_from_segments(np.array([[0]]), [segment(5, 8)], CITYSCAPES), [[255000]]
    )


def test_ids_without_a_description_are_named():
    with pytest.raises(ValueError, match="without a description: 3, 9"):
        panoptic_from_segments(np.array([[3, 5, 9]]), [segment(5, 8)], CITYSCAPES)


def test_ids_described_twice_are_named():
    with pytest.raises(ValueError, match="described twice: 5"):
        panoptic_from_segments(np.array([[5]]), [segment(5, 8), segment(5, 7)], CITYSCAPES)


def test_more_instances_than_the_divisor_holds_are_refused():
    space = dataclasses.replace(CITYSCAPES, label_divisor=3)
    with pytest.raises(ValueError, match="3 instances, but `label_divisor` 3"):
        panoptic_from_segments(np.array([[1]]), [segment(i, 26) for i in (1, 2, 3)], space)
