import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_deeplab.data.resize_rules import (
    check_range,
    check_scales,
    check_size,
    draw_scale,
    fit_size,
    resize_to_range,
    scale_candidates,
    scaled_size,
)
from tests.references import SOURCES, load_component

sides = st.integers(1, 3000)
limits = st.integers(1, 500)


@pytest.mark.parametrize("source", SOURCES)
def test_fit_size_agrees_with_deeplab2(source):
    arrays, meta = load_component("c03_targets_cityscapes", source)
    for case in ("city_eval_pad", "city_eval_downsize_to_crop"):
        image_size = arrays[f"{case}/in/image"].shape[:2]
        resized = arrays[f"{case}/out/resized_image"].shape[:2]
        assert fit_size(image_size, tuple(meta["cases"][case]["gen"]["crop_size"])) == resized


@pytest.mark.parametrize("source", SOURCES)
def test_ranges_agree_with_deeplab2(source):
    _, meta = load_component("c04_preprocess", source)
    cases = meta["cases"]["resize_to_range_helper"]
    assert len(cases) == 340
    for case in cases:
        size = resize_to_range(case["shape"], case["min"], case["max"], case["factor"])
        assert size == tuple(case["out"]), case


@pytest.mark.parametrize("source", SOURCES)
def test_scale_candidates_agree_with_deeplab2(source):
    _, meta = load_component("c04_preprocess", source)
    for case in meta["cases"]["random_scale_candidates"]:
        scales = scale_candidates(case["min"], case["max"], case["step"])
        np.testing.assert_array_equal(scales, np.float32(case["values"]))


@pytest.mark.skipif("full" not in SOURCES, reason="needs the full reference set")
def test_scaled_sizes_agree_with_deeplab2():
    _, meta = load_component("c04_preprocess", "full")
    for case in meta["cases"]["scale_int_list"]:
        assert scaled_size(tuple(case["v"]), case["s"]) == tuple(case["out"])


@given(sides, sides, limits, limits)
def test_fit_size_fits(height, width, rows, columns):
    fitted = fit_size((height, width), (rows, columns))
    assert 1 <= fitted[0] <= rows
    assert 1 <= fitted[1] <= columns


@given(sides, sides, limits, limits)
def test_an_upper_end_alone_shrinks_to_fit(height, width, rows, columns):
    size = (height, width)
    assert resize_to_range(size, max_size=(rows, columns)) == fit_size(size, (rows, columns))


@given(sides, sides)
def test_no_range_is_the_identity(height, width):
    assert resize_to_range((height, width)) == (height, width)
    assert resize_to_range((height, width), 0, (0, 0)) == (height, width)


@given(sides, sides, limits, limits, st.integers(1, 64))
def test_factors_keep_the_upper_end_and_leave_one_more_than_a_multiple(height, width, rows, columns, factor):
    resized = resize_to_range((height, width), 300, (rows, columns), factor)
    for side, limit in zip(resized, (rows, columns), strict=True):
        assert side % factor == 1 % factor
        assert 1 <= side <= limit


@given(sides, sides, limits)
def test_lower_ends_are_reached_by_the_shorter_side(height, width, limit):
    resized = resize_to_range((height, width), limit)
    assert limit - 1 <= min(resized) <= limit


def test_scaled_sizes_are_rounded_down_in_float32():
    assert scaled_size((10, 100), np.float32(0.29)) == (2, 29)
    assert scaled_size((1, 3), 0.4) == (1, 1)


def test_drawn_scales_are_candidates():
    rng = np.random.default_rng(0)
    drawn = {draw_scale(rng, (0.5, 2.0, 0.5)) for _ in range(100)}
    assert drawn == {0.5, 1.0, 1.5, 2.0}
    assert draw_scale(None, (0.7, 0.7, 0.1)) == np.float32(0.7)


@pytest.mark.parametrize("size", [(0, 4), (4,), (4, 4, 3), 4, (4.5, 4), None, ("4", "4"), (True, 4)])
def test_malformed_sizes_are_refused(size):
    with pytest.raises(ValueError, match=r"A size must be \(height, width\)"):
        check_size(size)


@pytest.mark.parametrize("scales", [(0.5, 2.0), (0, 1, 0.1), (2, 1, 0.1), (1, 2, -0.1), 0.5, (1, np.inf, 1)])
def test_malformed_scales_are_refused(scales):
    with pytest.raises(ValueError, match="`scales` must be"):
        check_scales(scales)


@pytest.mark.parametrize(
    "resize", [641, (641, 641), (641.0, 641, 32), ((641,), 641, 32), (-1, 641, 32), (641, 641, 0), "641"]
)
def test_malformed_ranges_are_refused(resize):
    with pytest.raises(ValueError, match="`resize` must be"):
        check_range(resize)


def test_ranges_may_leave_out_anything():
    assert check_range([None, (641, 641), None]) == (None, (641, 641), None)
