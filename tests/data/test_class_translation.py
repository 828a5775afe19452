import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_deeplab.data.class_translation import ClassTranslation, check_instances
from keras_deeplab.labels import CITYSCAPES, LABEL_SPACES, LabelSpace

# Some of Cityscapes' classes in another order, void among them.
STREET = LabelSpace(
    "street", ("void", "car", "road", "person"), (1, 3), ignore_label=0, label_divisor=100_000
)


def test_classes_are_found_by_name():
    translation = ClassTranslation(STREET, CITYSCAPES)
    np.testing.assert_array_equal(translation.classes(np.array([[0, 1, 2, 3]])), [[255, 13, 0, 11]])


def test_instances_are_those_of_the_targets_things():
    translation = ClassTranslation(CITYSCAPES, LABEL_SPACES["kitti_step"])
    panoptic = np.array([[13_002, 13_000, 12_001, 7_003, 255_001, 11_999]])
    classes, instances = translation.classes_and_instances(panoptic)
    np.testing.assert_array_equal(classes, [[13, 13, 12, 7, 255, 11]])
    np.testing.assert_array_equal(instances, [[2, 0, 0, 0, 0, 999]])
    assert classes.dtype == instances.dtype == np.int32


def test_panoptic_maps_take_the_targets_divisor_and_void():
    translation = ClassTranslation(STREET, LABEL_SPACES["cityscapes_dvps"])
    panoptic = translation.panoptic(np.array([[100_007, 200_000, 300_999, 5]]))
    np.testing.assert_array_equal(panoptic, [[13_007, 0, 11_999, 32_000]])
    with pytest.raises(ValueError, match=r"instances up to 999. Received: 1000"):
        translation.panoptic(np.array([[101_000]]))


@given(st.lists(st.integers(0, 399_999), min_size=1, max_size=20))
def test_segments_stay_apart(ids):
    space = LabelSpace("same", STREET.classes, STREET.things, ignore_label=0, label_divisor=100_000)
    panoptic = np.array([ids])
    translated = ClassTranslation(STREET, space).panoptic(panoptic)
    np.testing.assert_array_equal(translated, np.where(panoptic < 100_000, 0, panoptic))


def test_other_classes_are_named():
    with pytest.raises(ValueError, match=r"classes of cityscapes. .*'pets' has others: cat, dog. .*'coco'"):
        ClassTranslation(LabelSpace("pets", ("cat", "dog")), CITYSCAPES)


@pytest.mark.parametrize("value", [30, -1])
def test_classes_that_the_label_space_lacks(value):
    translation = ClassTranslation(CITYSCAPES, CITYSCAPES)
    with pytest.raises(ValueError, match="`semantic`"):
        translation.classes(np.array([[0, value]]))
    for translate in (translation.panoptic, translation.classes_and_instances):
        with pytest.raises(ValueError, match="`panoptic`"):
            translate(np.array([[0, value * 1000]]))


def test_room_for_instances():
    check_instances(np.array([[0, 255]]), 255)
    check_instances(np.zeros((0,), int), 255)
    with pytest.raises(ValueError, match=r"up to 255. Received: 256. Number the objects"):
        check_instances(np.array([[0, 256]]), 255)
