import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_deeplab.data.resize import resize_bilinear, resize_nearest
from keras_deeplab.data.transforms import (
    RandomScaleCrop,
    ResizeToFit,
    Window,
    fit_size,
    sample_size,
    scale_candidates,
)
from tests.references import SOURCES, load_component

VOID = 255000


def make_sample(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "image": rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        "panoptic": rng.integers(0, 19, (height, width), dtype=np.int32) * 1000,
        "name": "street",
    }


def reference_cases():
    for source in SOURCES:
        arrays, meta = load_component("c03_targets_cityscapes", source)
        for case, parameters in meta["cases"].items():
            if f"{case}/in/label" in arrays:
                yield pytest.param(case, parameters, arrays, id=f"{source}-{case}")


def reference_window(image_size, options, fixed):
    """The window that DeepLab2's fixed draws amount to."""
    size = tuple(options["crop_size"])
    if not options["is_training"]:
        return ResizeToFit(size, VOID).window(image_size)
    scale = options.get("min_scale_factor", 1.0)
    top, left = np.subtract(fixed.get("crop_offsets", (0, 0)), fixed.get("pad_offsets", (0, 0)))
    resized = tuple(int(np.float32(side) * np.float32(scale)) for side in image_size)
    return Window(resized, int(top), int(left), size, fixed.get("flip", False))


@pytest.mark.parametrize(("case", "parameters", "arrays"), reference_cases())
def test_windows_agree_with_deeplab2(case, parameters, arrays):
    image, label = arrays[f"{case}/in/image"], arrays[f"{case}/in/label"][..., 0]
    window = reference_window(label.shape, parameters["gen"], parameters["fixed"])
    view = window.apply({"image": image, "panoptic": label}, VOID)
    if f"{case}/out/panoptic_gt" in arrays:
        np.testing.assert_array_equal(view["panoptic"], arrays[f"{case}/out/panoptic_gt"])
    if f"{case}/out/image" in arrays:
        np.testing.assert_allclose(view["image"], arrays[f"{case}/out/image"], atol=255e-5)


@pytest.mark.parametrize("source", SOURCES)
def test_fit_size_agrees_with_deeplab2(source):
    arrays, meta = load_component("c03_targets_cityscapes", source)
    for case in ("city_eval_pad", "city_eval_downsize_to_crop"):
        image_size = arrays[f"{case}/in/image"].shape[:2]
        resized = arrays[f"{case}/out/resized_image"].shape[:2]
        assert fit_size(image_size, tuple(meta["cases"][case]["gen"]["crop_size"])) == resized


@pytest.mark.skipif("full" not in SOURCES, reason="needs the full reference set")
def test_scale_candidates_agree_with_deeplab2():
    _, meta = load_component("c04_preprocess", "full")
    for case in meta["cases"]["random_scale_candidates"]:
        scales = scale_candidates(case["min"], case["max"], case["step"])
        np.testing.assert_array_equal(scales, np.float32(case["values"]))


def resize_pad_crop_flip(sample, window):
    """What a window stands for, one step after another over whole images."""
    image = resize_bilinear(sample["image"], window.resized)
    label = resize_nearest(sample["panoptic"], window.resized)
    margin = sum(window.size) + abs(window.top) + abs(window.left)
    image = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), constant_values=127.5)
    label = np.pad(label, margin, constant_values=VOID)
    rows = slice(window.top + margin, window.top + margin + window.size[0])
    columns = slice(window.left + margin, window.left + margin + window.size[1])
    image, label = image[rows, columns], label[rows, columns]
    return (image[:, ::-1], label[:, ::-1]) if window.flip else (image, label)


sides, offsets = st.integers(1, 24), st.integers(-30, 30)


@given(sides, sides, sides, sides, offsets, offsets, sides, sides, st.booleans())
def test_windows_equal_resizing_padding_cropping_and_flipping(
    height, width, new_height, new_width, top, left, rows, columns, flip
):
    sample = make_sample(height, width)
    window = Window((new_height, new_width), top, left, (rows, columns), flip)
    view = window.apply(sample, VOID)
    image, label = resize_pad_crop_flip(sample, window)
    np.testing.assert_array_equal(view["image"], image)
    np.testing.assert_array_equal(view["panoptic"], label)


def test_windows_leave_the_sample_as_it_was():
    sample, untouched = make_sample(9, 9), make_sample(9, 9)
    view = Window((9, 9), 0, 0, (9, 9)).apply(sample, VOID)
    view["image"][:] = 0
    view["panoptic"][:] = 0
    np.testing.assert_array_equal(sample["image"], untouched["image"])
    np.testing.assert_array_equal(sample["panoptic"], untouched["panoptic"])


def test_other_fields_are_passed_on():
    assert Window((9, 9), 0, 0, (5, 5)).apply(make_sample(9, 9), VOID)["name"] == "street"


def test_labels_are_optional():
    view = ResizeToFit((5, 5), VOID)({"image": np.zeros((3, 3, 3), np.uint8)})
    assert set(view) == {"image"}


class Draws:
    """A generator that returns prepared values and notes what it was asked for."""

    def __init__(self, *values):
        self.values, self.asked = list(values), []

    def integers(self, *bounds):
        self.asked.append(bounds)
        return self.values.pop(0)

    def random(self):
        self.asked.append("flip")
        return self.values.pop(0)


def test_draws_come_in_deeplab2s_order():
    draws = Draws(0, 2, 0, 0, 1, 0.7)  # scale 0.5 of 20 x 60 is 10 x 30
    window = RandomScaleCrop((16, 20), VOID, scales=(0.5, 1.0, 0.5)).window((20, 60), draws)
    assert draws.asked == [(2,), (0, 6), (0, 1), (0, 1), (0, 11), "flip"]
    assert window == Window((10, 30), top=-2, left=1, size=(16, 20), flip=False)


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


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 500), st.integers(1, 500))
def test_fit_size_fits(height, width, rows, columns):
    fitted = fit_size((height, width), (rows, columns))
    assert 1 <= fitted[0] <= rows
    assert 1 <= fitted[1] <= columns


@pytest.mark.parametrize("size", [(0, 4), (4,), (4, 4, 3), 4, (4.5, 4), None, ("4", "4")])
def test_malformed_sizes_are_refused(size):
    with pytest.raises(ValueError, match=r"A size must be \(height, width\)"):
        RandomScaleCrop(size, VOID)


@pytest.mark.parametrize("scales", [(0.5, 2.0), (0, 1, 0.1), (2, 1, 0.1), (1, 2, -0.1), 0.5, (1, np.inf, 1)])
def test_malformed_scales_are_refused(scales):
    with pytest.raises(ValueError, match="`scales` must be"):
        RandomScaleCrop((4, 4), VOID, scales=scales)


def test_different_sizes_of_image_and_label_are_refused():
    sample = {**make_sample(4, 4), "panoptic": np.zeros((4, 5), np.int32)}
    with pytest.raises(ValueError, match="'street' has fields of different sizes: image 4x4, panoptic 4x5"):
        sample_size(sample)


def test_samples_without_fields_are_refused():
    with pytest.raises(ValueError, match=r"needs an 'image' or a 'panoptic' map.*\['name'\]"):
        sample_size({"name": "street"})
