import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from keras_deeplab.data.panoptic_map import make_panoptic
from keras_deeplab.labels import CITYSCAPES, LABEL_SPACES


def test_classes_and_instances_are_coded():
    panoptic = make_panoptic(np.array([[0, 13, 13, 255]]), np.array([[0, 2, 0, 9]]), CITYSCAPES)
    np.testing.assert_array_equal(panoptic, [[0, 13002, 13000, 255000]])
    assert panoptic.dtype == np.int32


def test_classes_alone_have_instance_zero():
    np.testing.assert_array_equal(
        make_panoptic(np.array([[13, 0]], np.uint8), None, CITYSCAPES), [[13000, 0]]
    )


def test_further_classes_may_be_void():
    space = dataclasses.replace(CITYSCAPES, ignore_label=99)
    panoptic = make_panoptic(np.array([[99, 255, 32, 1]]), None, space, void_classes=[255, 32])
    np.testing.assert_array_equal(panoptic, [[99000, 99000, 99000, 1000]])


def test_void_may_be_one_of_the_classes():
    panoptic = make_panoptic(np.array([[0, 1]]), np.array([[3, 3]]), LABEL_SPACES["coco_panoptic"])
    np.testing.assert_array_equal(panoptic, [[0, 259]])


@pytest.mark.parametrize(("classes", "listed"), [([19, 20, 255], "19, 20"), ([-1, 0, 0], "-1")])
def test_unknown_classes_are_named(classes, listed):
    with pytest.raises(
        ValueError, match=rf"holds the class {listed}, .*'cityscapes'.*0 to 18 and 255 for void"
    ):
        make_panoptic(np.array([classes]), None, CITYSCAPES)


def test_instances_of_stuff_are_refused_or_dropped():
    classes, instances = np.array([[0, 7, 13]]), np.array([[1, 2, 3]])
    with pytest.raises(ValueError, match=r"instances of 'road' \(0\), 'traffic sign' \(7\)"):
        make_panoptic(classes, instances, CITYSCAPES)
    dropped = make_panoptic(classes, instances, CITYSCAPES, drop_stuff_instances=True)
    np.testing.assert_array_equal(dropped, [[0, 7000, 13003]])


def test_instances_must_fit_into_the_divisor():
    np.testing.assert_array_equal(make_panoptic(np.array([[13]]), np.array([[999]]), CITYSCAPES), [[13999]])
    with pytest.raises(ValueError, match=r"instance 1000, but `label_divisor` 1000 .* room for 999"):
        make_panoptic(np.array([[13]]), np.array([[1000]]), CITYSCAPES)


shapes = st.tuples(st.integers(1, 5), st.integers(1, 5))


@given(arrays.arrays(np.uint8, shapes, elements=st.sampled_from([0, 5, 11, 18, 255])), st.data())
def test_every_pixel_is_coded_alone(classes, data):
    instances = data.draw(arrays.arrays(np.uint16, classes.shape, elements=st.integers(0, 999)))
    panoptic = make_panoptic(classes, instances, CITYSCAPES, drop_stuff_instances=True)
    expected = classes.astype(int) * 1000 + np.where(np.isin(classes, CITYSCAPES.things), instances, 0)
    np.testing.assert_array_equal(panoptic, expected)
