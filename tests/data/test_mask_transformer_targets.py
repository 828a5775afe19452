import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_deeplab.data.mask_transformer_targets import mask_targets
from keras_deeplab.labels import CITYSCAPES
from tests.data.generator_cases import generator_cases

PERSON, CAR = 11, 13

ALL_CASES = [
    case
    for component in ("c03_targets_cityscapes", "c03_targets_coco")
    for case in generator_cases(component, "thing_id_mask_gt")
]


@pytest.mark.parametrize("case", ALL_CASES)
def test_targets_agree_with_deeplab2(case):
    case.assert_equal(case.targets(mask_targets, max_things=case.options.get("max_thing_id", 128)))


def test_instances_are_numbered_as_they_come_up():
    panoptic = np.array([[0, 13009, 11000], [11002, 13009, 255000], [13001, 8000, 11002]])
    targets = mask_targets(panoptic, CITYSCAPES, max_things=5)
    np.testing.assert_array_equal(targets["thing_id_mask"], [[-1, 0, -1], [1, 0, -1], [2, -1, 1]])
    np.testing.assert_array_equal(targets["thing_id_class"], [CAR, PERSON, CAR, -1, -1])
    np.testing.assert_array_equal(targets["semantic"], panoptic // 1000)
    assert (targets["semantic_weight"] == 1).all()


def test_small_instances_can_weigh_more():
    targets = mask_targets(np.array([[13001, 11000, 13001, 0]]), CITYSCAPES, small_instance_weight=3.0)
    np.testing.assert_array_equal(targets["semantic_weight"], [[3, 1, 3, 1]])


def test_shapes_and_dtypes_are_those_of_the_contract():
    targets = mask_targets({"panoptic": np.array([[13001, 0]])}, CITYSCAPES)
    facts = {name: (value.shape, value.dtype.name) for name, value in targets.items()}
    assert facts == {
        "semantic": ((1, 2), "int32"),
        "semantic_weight": ((1, 2), "float32"),
        "thing_id_mask": ((1, 2), "int32"),
        "thing_id_class": ((128,), "int32"),
    }


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
def test_masks_and_classes_describe_every_instance(height, width, seed):
    rng = np.random.default_rng(seed)
    panoptic = rng.integers(9, 19, (height, width)) * 1000 + rng.integers(0, 3, (height, width))
    targets = mask_targets(panoptic, CITYSCAPES)
    mask, classes = targets["thing_id_mask"], targets["thing_id_class"]
    is_thing = np.isin(panoptic // 1000, CITYSCAPES.things) & (panoptic % 1000 != 0)
    np.testing.assert_array_equal(mask >= 0, is_thing)
    np.testing.assert_array_equal(classes[mask[is_thing]], panoptic[is_thing] // 1000)
    assert len(np.unique(mask[is_thing])) == len(np.unique(panoptic[is_thing])) == (classes >= 0).sum()


def test_too_many_instances_are_refused():
    with pytest.raises(ValueError, match="holds 3 instances of things, but `max_things` is 2"):
        mask_targets(np.array([[13001, 13002, 11001]]), CITYSCAPES, max_things=2)
