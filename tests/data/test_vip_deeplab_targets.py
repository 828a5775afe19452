import numpy as np
import pytest

from keras_deeplab.data.targets import panoptic_targets
from keras_deeplab.data.vip_deeplab_targets import depth_targets, vip_targets
from keras_deeplab.labels import CITYSCAPES
from tests.data.generator_cases import generator_cases

CAR, PERSON = 13, 11


@pytest.mark.parametrize("case", generator_cases("c03_targets_video", "next_instance_regression_gt"))
def test_targets_agree_with_deeplab2(case):
    targets = case.targets(vip_targets)
    case.assert_equal(targets)
    np.testing.assert_array_equal(targets["depth_weight"], case.expected["depth_gt"][..., 0] != 0)


def moving_car():
    """A car of 5 x 11 pixels that moves on by (2, 3), a person that appears, a crowd; half of the depth."""
    panoptic, following = np.zeros((40, 60), np.int32), np.zeros((40, 60), np.int32)
    panoptic[8:13, 20:31] = following[10:15, 23:34] = CAR * 1000 + 1
    following[30:33, 30:33] = PERSON * 1000 + 1
    panoptic[20:25, 50:55] = CAR * 1000 + 2
    following[35:, :5] = panoptic[35:, :5] = PERSON * 1000
    depth = np.zeros((40, 60))
    depth[:20] = 7.25
    return {"panoptic": panoptic, "next_panoptic": following, "depth": depth}


def test_offsets_lead_from_the_next_frame_to_the_center_in_this_one():
    sample = moving_car()
    targets = vip_targets(sample, CITYSCAPES)
    car = sample["next_panoptic"] == CAR * 1000 + 1
    pixels = np.moveaxis(np.indices(car.shape), 0, -1)
    assert (pixels + targets["next_center_offset"])[car].tolist() == [[10, 25]] * 55
    assert not targets["next_center_offset"][~car].any()
    # The pixel at the centre has the offset 0, as in DeepLab2.
    car[10, 25] = False
    np.testing.assert_array_equal(targets["next_offset_weight"], car)


def test_those_of_panoptic_deeplab_are_among_them():
    sample = moving_car()
    targets = vip_targets(sample, CITYSCAPES, np.random.default_rng(0), sigma=3)
    for name, expected in panoptic_targets(sample, CITYSCAPES, sigma=3).items():
        np.testing.assert_array_equal(targets[name], expected, err_msg=name)


def test_depth_has_weight_where_it_is_known():
    sample = moving_car()
    targets = vip_targets(sample, CITYSCAPES)
    np.testing.assert_array_equal(targets["depth"][..., 0], sample["depth"])
    np.testing.assert_array_equal(targets["depth_weight"], sample["depth"] > 0)
    assert targets["depth"].shape == (40, 60, 1)
    assert targets["depth"].dtype == targets["depth_weight"].dtype == np.float32


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_impossible_depth_is_refused(value):
    with pytest.raises(ValueError, match="The depth of sample 'a' must be metres, 0 where unknown"):
        depth_targets({"name": "a", "depth": np.array([[1.0, value]])})


@pytest.mark.parametrize("field", ["panoptic", "next_panoptic", "depth"])
def test_missing_fields_are_named(field):
    sample = moving_car()
    del sample[field]
    with pytest.raises(ValueError, match=f"has no '{field}'"):
        vip_targets(sample, CITYSCAPES)
