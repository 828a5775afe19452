import numpy as np
import pytest

from keras_deeplab.data.motion_deeplab_targets import motion_targets
from keras_deeplab.data.targets import panoptic_targets
from keras_deeplab.labels import CITYSCAPES
from tests.data.generator_cases import generator_cases

ROAD, CAR, PERSON = 0, 13, 11


class Noise:
    """A generator that returns prepared normal and uniform draws, by default none that does anything."""

    def __init__(self, normals=0.0, uniforms=0.99):
        self.normals, self.uniforms = normals, uniforms

    def standard_normal(self, shape):
        return np.broadcast_to(self.normals, shape)

    def random(self, size):
        return np.broadcast_to(self.uniforms, size)


@pytest.mark.parametrize("case", generator_cases("c03_targets_video", "frame_offset_gt"))
def test_targets_agree_with_deeplab2(case):
    # No instance of a thing comes up in these cases, so that any draws give the same.
    targets = case.targets(motion_targets, np.random.default_rng(0))
    case.assert_equal(targets)
    if "image" in case.expected and case.options["is_training"]:
        np.testing.assert_array_equal(targets["previous_center_heatmap"], case.expected["image"][..., 6:])


def moving_car():
    """A car of 5 x 11 pixels that has moved by (2, 3), a person that has appeared, a crowd and void."""
    panoptic, previous = (np.full((40, 60), ROAD * 1000, np.int32) for _ in range(2))
    previous[8:13, 20:31] = panoptic[10:15, 23:34] = CAR * 1000 + 1
    panoptic[30:33, 30:33] = PERSON * 1000 + 1
    previous[20:25, 50:55] = CAR * 1000 + 2
    previous[35:, :5] = panoptic[35:, :5] = PERSON * 1000
    previous[35:, 5:9] = panoptic[35:, 5:9] = CITYSCAPES.void
    return {"panoptic": panoptic, "previous_panoptic": previous}


def test_offsets_lead_to_the_previous_center():
    sample = moving_car()
    targets = motion_targets(sample, CITYSCAPES)
    car = sample["panoptic"] == CAR * 1000 + 1
    pixels = np.moveaxis(np.indices(car.shape), 0, -1)
    assert (pixels + targets["motion_offset"])[car].tolist() == [[10, 25]] * 55
    assert not targets["motion_offset"][~car].any()


def test_only_pixels_that_move_have_a_weight():
    sample = moving_car()
    weight = motion_targets(sample, CITYSCAPES)["motion_weight"]
    car = sample["panoptic"] == CAR * 1000 + 1
    # The pixel at the previous centre has the offset 0, as in DeepLab2.
    assert car[10, 25]
    car[10, 25] = False
    np.testing.assert_array_equal(weight, car)


def test_the_heatmap_shows_all_previous_instances():
    heatmap = motion_targets(moving_car(), CITYSCAPES)["previous_center_heatmap"]
    np.testing.assert_array_equal(np.argwhere(heatmap == 1), [[10, 25, 0], [22, 52, 0]])


def test_those_of_panoptic_deeplab_are_among_them():
    sample = moving_car()
    targets = motion_targets(sample, CITYSCAPES, sigma=3, small_instance_weight=2.0)
    for name, expected in panoptic_targets(sample, CITYSCAPES, sigma=3, small_instance_weight=2.0).items():
        np.testing.assert_array_equal(targets[name], expected, err_msg=name)


def test_shapes_and_dtypes_are_those_of_the_contract():
    targets = motion_targets(moving_car(), CITYSCAPES)
    facts = {name: (targets[name].shape, targets[name].dtype.name) for name in sorted(targets)[-3:]}
    assert facts == {
        "previous_center_heatmap": ((40, 60, 1), "float32"),
        "semantic": ((40, 60), "int32"),
        "semantic_weight": ((40, 60), "float32"),
    }
    assert targets["motion_offset"].shape == (40, 60, 2)
    assert targets["motion_offset"].dtype == targets["motion_weight"].dtype == np.float32


def test_noise_moves_centers_in_proportion_to_their_extent():
    # First row: the centre's draws, second row: the false centre's. The car extends over 4 rows, 10 columns.
    rng = Noise(normals=[[5.0, -2.0], [100.0, 100.0]])
    targets = motion_targets(moving_car(), CITYSCAPES, rng)
    peaks = np.argwhere(targets["previous_center_heatmap"][..., 0] == 1)
    np.testing.assert_array_equal(peaks, [[11, 24], [23, 52]])
    np.testing.assert_array_equal(targets["motion_offset"][10, 23], [1, 1])


def test_false_centers_lie_beside_the_moved_ones():
    rng = Noise(normals=[[5.0, -2.0], [10.0, -6.0]], uniforms=[0.19, 0.2])
    targets = motion_targets(moving_car(), CITYSCAPES, rng)
    peaks = np.argwhere(targets["previous_center_heatmap"][..., 0] == 1)
    np.testing.assert_array_equal(peaks, [[11, 24], [13, 21], [23, 52]])
    np.testing.assert_array_equal(targets["motion_offset"][10, 23], [1, 1])


def test_noise_keeps_centers_inside():
    targets = motion_targets(moving_car(), CITYSCAPES, Noise(normals=-1000.0, uniforms=0.0))
    np.testing.assert_array_equal(np.argwhere(targets["previous_center_heatmap"] == 1), [[0, 0, 0]])


def test_rates_and_noise_can_be_turned_off():
    quiet = motion_targets(
        moving_car(), CITYSCAPES, np.random.default_rng(0), center_noise=0, false_positive_rate=0
    )
    for name, expected in motion_targets(moving_car(), CITYSCAPES).items():
        np.testing.assert_array_equal(quiet[name], expected, err_msg=name)


def test_false_centers_come_with_their_rate():
    sample, counts = moving_car(), []
    rng = np.random.default_rng(0)
    for _ in range(300):
        heatmap = motion_targets(sample, CITYSCAPES, rng, sigma=1, center_noise=3.0)[
            "previous_center_heatmap"
        ]
        counts.append((heatmap == 1).sum())
    assert np.mean(counts) == pytest.approx(2 * 1.2, abs=0.15)


def test_missing_and_misshapen_maps_are_refused():
    sample = moving_car()
    with pytest.raises(ValueError, match=r"Sample '' has no 'previous_panoptic'\. It has: panoptic"):
        motion_targets({"panoptic": sample["panoptic"]}, CITYSCAPES)
    with pytest.raises(
        ValueError, match=r"maps of different sizes: panoptic \(40, 60\), previous_panoptic \(9,"
    ):
        motion_targets({**sample, "previous_panoptic": np.zeros((9, 9), int)}, CITYSCAPES)
