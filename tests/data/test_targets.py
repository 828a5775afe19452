import dataclasses

import numpy as np
import pytest

from keras_deeplab.data.targets import find_segments, map_of, panoptic_targets, semantic_targets
from keras_deeplab.labels import CITYSCAPES, LabelSpace
from tests.data.generator_cases import generator_cases

ROAD, PERSON, CAR, VOID = 0, 11, 13, 255

ALL_CASES = [
    case
    for component in ("c03_targets_cityscapes", "c03_targets_coco", "c03_targets_video")
    for case in generator_cases(component, "semantic_gt")
]


@pytest.mark.parametrize("case", ALL_CASES)
def test_targets_agree_with_deeplab2(case):
    view, things = case.transformed(), case.label_space.things
    if "panoptic_gt" in case.expected:
        targets = case.targets(panoptic_targets, sigma=case.options.get("sigma", 8))
        case.assert_equal(targets)
        is_crowd = np.isin(targets["semantic"], things) & (targets["center_weight"] == 0)
        np.testing.assert_array_equal(is_crowd, case.expected["is_crowd_gt"])
    else:
        case.assert_equal(semantic_targets(view, case.label_space))


@pytest.mark.parametrize("case", [case for case in ALL_CASES if "panoptic_raw" in case.values[0].expected])
def test_segments_of_whole_maps_agree_with_deeplab2(case):
    segments = find_segments(case.sample["panoptic"], case.label_space)
    runs = segments.runs
    np.testing.assert_array_equal(runs.paint(runs.ids, np.int32), case.expected["panoptic_raw"])
    np.testing.assert_array_equal(runs.paint(segments.classes, np.int32), case.expected["semantic_raw"])
    np.testing.assert_array_equal(runs.paint(segments.is_crowd, bool), case.expected["is_crowd_raw"])


def street():
    """Road with a car of 3 x 5 pixels, a crowd of persons and void."""
    panoptic = np.full((20, 30), ROAD * 1000, np.int32)
    panoptic[4:7, 10:15] = CAR * 1000 + 1
    panoptic[15:, :8] = PERSON * 1000
    panoptic[15:, 20:] = VOID * 1000
    return panoptic


def test_shapes_and_dtypes_are_those_of_the_contract():
    targets = panoptic_targets(street(), CITYSCAPES)
    facts = {name: (value.shape, value.dtype.name) for name, value in targets.items()}
    assert facts == {
        "semantic": ((20, 30), "int32"),
        "semantic_weight": ((20, 30), "float32"),
        "center_heatmap": ((20, 30, 1), "float32"),
        "center_weight": ((20, 30), "float32"),
        "center_offset": ((20, 30, 2), "float32"),
        "offset_weight": ((20, 30), "float32"),
    }


def test_heatmap_is_one_at_the_center_only():
    heatmap = panoptic_targets(street(), CITYSCAPES)["center_heatmap"][..., 0]
    np.testing.assert_array_equal(np.argwhere(heatmap == 1), [[5, 12]])


def test_heatmap_falls_like_a_gaussian():
    heatmap = panoptic_targets(street(), CITYSCAPES, sigma=2)["center_heatmap"][..., 0]
    assert heatmap[5, 14] == pytest.approx(np.exp(-0.5))
    assert heatmap[8, 12] == pytest.approx(np.exp(-9 / 8))


def test_heatmap_is_cut_to_a_square():
    heatmap = panoptic_targets(street(), CITYSCAPES, sigma=1)["center_heatmap"][..., 0]
    np.testing.assert_array_equal(np.flatnonzero(heatmap.any(axis=1)), np.arange(1, 10))
    np.testing.assert_array_equal(np.flatnonzero(heatmap.any(axis=0)), np.arange(8, 17))


def test_offsets_lead_from_pixels_to_their_center():
    offset = panoptic_targets(street(), CITYSCAPES)["center_offset"]
    np.testing.assert_array_equal(offset[4, 10], [1, 2])
    np.testing.assert_array_equal(offset[6, 14], [-1, -2])
    assert not offset[street() != CAR * 1000 + 1].any()


def test_centers_lie_at_the_pixel_plus_offset_for_every_instance_pixel():
    rng = np.random.default_rng(0)
    panoptic = np.where(rng.random((40, 50)) < 0.5, CAR * 1000 + rng.integers(1, 4, (40, 50)), 0)
    offset = panoptic_targets(panoptic, CITYSCAPES)["center_offset"]
    pixels = np.moveaxis(np.indices(panoptic.shape), 0, -1)
    for instance in (1, 2, 3):
        mask = panoptic == CAR * 1000 + instance
        centers = np.unique((pixels + offset)[mask], axis=0)
        np.testing.assert_array_equal(centers, [np.rint(pixels[mask].mean(axis=0))])


def test_half_centers_go_to_the_even_pixel():
    panoptic = np.zeros((4, 8), np.int32)
    panoptic[0, 0:2] = CAR * 1000 + 1  # mean column 0.5
    panoptic[2, 1:3] = CAR * 1000 + 2  # mean column 1.5
    heatmap = panoptic_targets(panoptic, CITYSCAPES)["center_heatmap"][..., 0]
    np.testing.assert_array_equal(np.argwhere(heatmap == 1), [[0, 0], [2, 2]])


def test_crowd_keeps_its_class_but_has_no_center():
    targets = panoptic_targets(street(), CITYSCAPES)
    crowd = street() == PERSON * 1000
    assert (targets["semantic"][crowd] == PERSON).all()
    assert not targets["center_weight"][crowd].any()
    assert not targets["offset_weight"][crowd].any()


def test_void_has_no_center_weight_and_the_ignore_label():
    targets = panoptic_targets(street(), CITYSCAPES)
    void = street() == CITYSCAPES.void
    assert (targets["semantic"][void] == 255).all()
    assert not targets["center_weight"][void].any()
    assert (targets["semantic_weight"][void] == 1).all()


def test_stuff_has_center_weight_but_no_offset_weight():
    targets = panoptic_targets(street(), CITYSCAPES)
    assert targets["center_weight"][0, 0] == 1
    assert targets["offset_weight"][0, 0] == 0


def test_instances_have_all_weights():
    targets = panoptic_targets(street(), CITYSCAPES)
    car = street() == CAR * 1000 + 1
    assert (targets["center_weight"][car] == 1).all()
    np.testing.assert_array_equal(targets["offset_weight"], car)


def test_only_instances_below_the_area_are_small():
    for area, weight in ((16, 3), (15, 1)):
        targets = panoptic_targets(street(), CITYSCAPES, small_instance_area=area)
        assert targets["semantic_weight"][5, 12] == weight
        assert targets["semantic_weight"].sum() == 600 + 15 * (weight - 1)


def test_small_instances_weigh_one_without_a_weight():
    assert (panoptic_targets(street(), CITYSCAPES, small_instance_weight=None)["semantic_weight"] == 1).all()


def test_an_ignored_class_among_the_classes_has_no_center():
    space = LabelSpace("toy", classes=("unlabelled", "cat"), things=(1,), ignore_label=0)
    targets = panoptic_targets(np.array([[3, 1001]]), space)  # an instance of void, and a cat
    np.testing.assert_array_equal(targets["center_weight"], [[0, 1]])
    np.testing.assert_array_equal(np.argwhere(targets["center_heatmap"] == 1), [[0, 1, 0]])


def test_stuff_with_instance_numbers_has_a_center_but_no_offset_weight():
    targets = panoptic_targets(np.array([[7, 7, 7]]), CITYSCAPES)
    assert targets["center_heatmap"][0, 1, 0] == 1
    np.testing.assert_array_equal(targets["center_offset"][0, :, 1], [1, 0, -1])
    assert not targets["offset_weight"].any()


def test_a_map_without_instances_has_an_empty_heatmap():
    assert not panoptic_targets(np.zeros((5, 5), int), CITYSCAPES)["center_heatmap"].any()


def test_neighbouring_centers_keep_the_larger_gaussian():
    panoptic = np.array([[CAR * 1000 + 1, 0, 0, 0, CAR * 1000 + 2]])
    heatmap = panoptic_targets(panoptic, CITYSCAPES, sigma=2)["center_heatmap"][0, :, 0]
    np.testing.assert_allclose(heatmap, np.exp(-np.array([0, 1, 4, 1, 0]) / 8), rtol=1e-6)


def test_large_divisors_need_no_large_tables():
    space = dataclasses.replace(CITYSCAPES, label_divisor=2**22)
    targets = panoptic_targets(np.array([[CAR * 2**22 + 2**21]], np.int32), space)
    assert targets["semantic"] == CAR
    assert targets["center_heatmap"] == 1


def test_unknown_classes_are_named():
    with pytest.raises(ValueError, match="`panoptic` holds the class 19, 200,"):
        panoptic_targets(np.array([[19000, 200001, 18000]]), CITYSCAPES)


def test_negative_values_are_refused():
    with pytest.raises(ValueError, match="`panoptic` holds the class -1,"):
        semantic_targets(np.array([[-1, 0]]), CITYSCAPES)


def test_sigma_must_be_positive():
    with pytest.raises(ValueError, match="`sigma` must be positive"):
        panoptic_targets(street(), CITYSCAPES, sigma=0)


def test_semantic_targets_are_classes_with_equal_weights():
    targets = semantic_targets(street(), CITYSCAPES)
    np.testing.assert_array_equal(targets["semantic"], street() // 1000)
    assert targets["semantic"].dtype == np.int32
    assert (targets["semantic_weight"] == 1).all()


def test_samples_and_their_maps_give_the_same_targets():
    of_map = panoptic_targets(street(), CITYSCAPES)
    of_sample = panoptic_targets({"panoptic": street(), "name": "a"}, CITYSCAPES, np.random.default_rng(0))
    assert of_map.keys() == of_sample.keys()
    for name, value in of_map.items():
        np.testing.assert_array_equal(of_sample[name], value, err_msg=name)


def test_missing_fields_are_named():
    with pytest.raises(ValueError, match=r"Sample 'a' has no 'panoptic'\. It has: name, image\."):
        map_of({"name": "a", "image": None})
    with pytest.raises(ValueError, match=r"need 'depth' need a whole sample\. Received: ndarray"):
        map_of(street(), "depth")
