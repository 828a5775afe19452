import numpy as np
import pytest

from keras_deeplab.data.autoaugment import AutoAugment
from keras_deeplab.data.resize import resize_bilinear, resize_nearest
from keras_deeplab.data.transforms import RandomScaleCrop, ResizeToFit
from keras_deeplab.data.window import Window
from tests.data.generator_cases import Draws

VOID = 255000


def make_sample(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "image": rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        "panoptic": rng.integers(0, 19, (height, width), dtype=np.int32) * 1000,
        "name": "street",
    }


def test_labels_are_optional():
    view = ResizeToFit((5, 5), VOID)({"image": np.zeros((3, 3, 3), np.uint8)})
    assert set(view) == {"image"}


def test_draws_come_in_deeplab2s_order():
    draws = Draws(0, 2, 0, 0, 1, 0.7)  # scale 0.5 of 20 x 60 is 10 x 30
    window = RandomScaleCrop((16, 20), VOID, scales=(0.5, 1.0, 0.5)).window((20, 60), draws)
    assert draws.asked == [(2,), (0, 6), (0, 1), (0, 1), (0, 11), "flip"]
    assert window == Window((10, 30), top=-2, left=1, size=(16, 20), flip=False, scale=0.5)


@pytest.mark.parametrize(("draw", "flip"), [(0.5, True), (0.5001, False)])
def test_flips_up_to_a_half(draw, flip):
    window = RandomScaleCrop((4, 4), VOID, scales=None).window((4, 4), Draws(0, 0, 0, 0, draw))
    assert window.flip is flip


def test_without_flip_nothing_is_drawn_for_it():
    draws = Draws(0, 0, 0, 0)
    RandomScaleCrop((4, 4), VOID, scales=None, flip=False).window((4, 4), draws)
    assert "flip" not in draws.asked


def test_padding_never_takes_the_full_margin():
    transform = RandomScaleCrop((7, 7), VOID, scales=None)
    rng = np.random.default_rng(0)
    tops = {transform.window((4, 7), rng).top for _ in range(200)}
    assert tops == {0, -1, -2}


def test_crops_reach_both_borders():
    transform = RandomScaleCrop((4, 7), VOID, scales=None)
    rng = np.random.default_rng(0)
    assert {transform.window((7, 7), rng).top for _ in range(200)} == {0, 1, 2, 3}


def test_all_scales_are_drawn():
    transform = RandomScaleCrop((10, 10), VOID, scales=(0.5, 2.0, 0.5))
    rng = np.random.default_rng(0)
    assert {transform.window((10, 10), rng).resized for _ in range(200)} == {
        (5, 5),
        (10, 10),
        (15, 15),
        (20, 20),
    }


def test_a_step_of_zero_draws_from_the_interval():
    transform = RandomScaleCrop((10, 10), VOID, scales=(0.5, 2.0, 0))
    rng = np.random.default_rng(0)
    heights = [transform.window((1000, 10), rng).resized[0] for _ in range(200)]
    assert 500 <= min(heights) < 550
    assert 1950 < max(heights) < 2000
    assert len(set(heights)) > 150


def test_tiny_images_keep_a_pixel():
    window = RandomScaleCrop((4, 4), VOID, scales=(0.5, 0.5, 0)).window((1, 1), np.random.default_rng(0))
    assert window.resized == (1, 1)


def test_fitting_shrinks_and_pads_at_bottom_and_right():
    view = ResizeToFit((4, 6), VOID)(make_sample(2, 10))
    assert (view["panoptic"][1:] == VOID).all()
    assert (view["panoptic"][0] != VOID).all()
    assert (view["image"][1:] == 127.5).all()


def test_fitting_never_enlarges():
    sample = make_sample(3, 4)
    view = ResizeToFit((9, 9), VOID)(sample)
    np.testing.assert_array_equal(view["image"][:3, :4], sample["image"])


def test_the_same_seed_gives_the_same_sample():
    transform = RandomScaleCrop((9, 9), VOID, autoaugment=AutoAugment())
    first, second = (transform(make_sample(12, 15), np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first["image"], second["image"])
    np.testing.assert_array_equal(first["panoptic"], second["panoptic"])


def test_samples_are_resized_to_a_range_before_they_are_scaled():
    transform = RandomScaleCrop((17, 17), VOID, scales=(2, 2, 0), flip=False, resize=(9, 9, 8))
    sample = make_sample(20, 40)  # 9 x 18 -> 4 x 9 -> 9 x 9 -> 18 x 18
    view = transform(sample, Draws(0, 0, 1, 0))
    for field, resize in (("image", resize_bilinear), ("panoptic", resize_nearest)):
        resized = resize(resize(sample[field], (9, 9)), (18, 18))
        np.testing.assert_array_equal(view[field], resized[1:, :17])


def test_colours_change_after_scaling_and_before_padding():
    bright = AutoAugment(policy=[[("Brightness", 1.0, 10)]])
    sample = {"image": np.full((4, 4, 3), 20, np.uint8)}
    view = RandomScaleCrop((6, 6), VOID, scales=(0.5, 0.5, 0), autoaugment=bright)(
        sample, np.random.default_rng(0)
    )
    values, counts = np.unique(view["image"], return_counts=True)
    assert dict(zip(values, counts, strict=True)) == {38.0: 2 * 2 * 3, 127.5: 32 * 3}


def test_images_of_a_sample_change_alike():
    sample = make_sample(12, 15)
    sample["next_image"] = sample["image"]
    transform = RandomScaleCrop((9, 9), VOID, autoaugment=AutoAugment())
    for seed in range(10):
        view = transform(sample, np.random.default_rng(seed))
        np.testing.assert_array_equal(view["image"], view["next_image"])


def test_depth_follows_the_scale():
    sample = {**make_sample(8, 8), "depth": np.full((8, 8), 12.0, np.float32)}
    near = RandomScaleCrop((4, 4), VOID, scales=(2, 2, 0))(sample, np.random.default_rng(0))
    far = ResizeToFit((4, 4), VOID)(sample)
    np.testing.assert_array_equal(near["depth"], np.full((4, 4), 6.0))
    np.testing.assert_array_equal(far["depth"], np.full((4, 4), 24.0))


@pytest.mark.parametrize("transform", [RandomScaleCrop, ResizeToFit])
def test_depth_is_not_resized_to_a_range(transform):
    sample = {**make_sample(8, 8), "depth": np.ones((8, 8), np.float32)}
    with pytest.raises(ValueError, match="'street' has depth, which `resize` would make wrong"):
        transform((4, 4), VOID, resize=(4, 4, None))(sample, np.random.default_rng(0))


def test_fitting_to_a_range_may_enlarge():
    view = ResizeToFit((9, 9), VOID, resize=(9, None, 8))({"image": np.ones((3, 3, 3), np.uint8)})
    assert (view["image"] == 1).all()


def test_ranges_beyond_the_size_are_refused():
    with pytest.raises(ValueError, match=r"8x8 is resized to 17x17 .* exceeds `size` \(9, 9\)"):
        ResizeToFit((9, 9), VOID, resize=(17, 17, None))(make_sample(8, 8))


@pytest.mark.parametrize("transform", [RandomScaleCrop, ResizeToFit])
def test_malformed_arguments_are_refused(transform):
    with pytest.raises(ValueError, match=r"A size must be \(height, width\)"):
        transform((0, 4), VOID)
    with pytest.raises(ValueError, match="`resize` must be"):
        transform((4, 4), VOID, resize=641)


def test_malformed_scales_are_refused():
    with pytest.raises(ValueError, match="`scales` must be"):
        RandomScaleCrop((4, 4), VOID, scales=(2, 1, 0.1))
