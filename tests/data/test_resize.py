import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_deeplab.data.resize import resize_bilinear, resize_nearest, sample_bilinear, source_positions
from tests.references import SOURCES, load_component

SIZES = [(9, 13), (33, 49), (17, 21), (5, 7), (1, 1), (40, 41)]


def test_bilinear_keeps_corners_and_halves_between():
    image = np.array([[0, 2], [4, 6]], np.uint8)
    np.testing.assert_array_equal(resize_bilinear(image, (3, 3)), [[0, 1, 2], [2, 3, 4], [4, 5, 6]])


def test_nearest_rounds_halves_up():
    label = np.array([[1, 2], [3, 4]], np.int32)
    np.testing.assert_array_equal(resize_nearest(label, (2, 3)), [[1, 2, 2], [3, 4, 4]])


def test_positions_of_a_single_pixel_are_the_first():
    np.testing.assert_array_equal(source_positions(9, 1), [0])


def test_downscaling_to_one_pixel_takes_the_first():
    assert resize_bilinear(np.arange(12.0).reshape(3, 4), (1, 1)) == [[0]]


@pytest.mark.parametrize("size", [(0, 3), (3, 0), (-1, 2)])
def test_sizes_below_one_are_refused(size):
    with pytest.raises(ValueError, match="must be at least 1"):
        resize_bilinear(np.zeros((4, 4)), size)


def test_empty_images_are_refused():
    with pytest.raises(ValueError, match="must be at least 1"):
        resize_nearest(np.zeros((0, 4), np.int32), (2, 2))


def test_nearest_keeps_dtype_and_channels():
    label = np.arange(12, dtype=np.uint16).reshape(2, 2, 3)
    resized = resize_nearest(label, (3, 2))
    assert resized.dtype == np.uint16
    np.testing.assert_array_equal(resized[2, 0], [6, 7, 8])


def test_rows_beyond_one_block_are_interpolated_too():
    ramp = np.repeat(np.arange(100, dtype=np.float32)[:, None], 5, axis=1)
    np.testing.assert_allclose(resize_bilinear(ramp, (199, 3))[:, 1], np.arange(199) / 2, atol=1e-4)


sides = st.integers(1, 40)


@given(sides, sides, sides, sides)
def test_bilinear_is_exact_on_planes(height, width, new_height, new_width):
    plane = 3 * np.arange(height)[:, None] - 2 * np.arange(width) + 1.5
    rows = np.linspace(0, height - 1, new_height) if new_height > 1 else np.zeros(1)
    columns = np.linspace(0, width - 1, new_width) if new_width > 1 else np.zeros(1)
    expected = 3 * rows[:, None] - 2 * columns + 1.5
    np.testing.assert_allclose(resize_bilinear(plane, (new_height, new_width)), expected, atol=1e-3)


@given(sides, sides)
def test_same_size_is_the_identity(height, width):
    label = np.arange(height * width, dtype=np.int32).reshape(height, width)
    np.testing.assert_array_equal(resize_nearest(label, (height, width)), label)
    np.testing.assert_array_equal(resize_bilinear(label, (height, width)), label)


@given(sides, sides, sides, sides)
def test_integer_results_drop_the_fraction(height, width, new_height, new_width):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    rows, columns = source_positions(height, new_height), source_positions(width, new_width)
    sampled = sample_bilinear(image, rows, columns, np.uint8)
    np.testing.assert_array_equal(sampled, sample_bilinear(image, rows, columns).astype(np.uint8))
    assert sampled.dtype == np.uint8


@given(sides, sides, sides, sides)
def test_nearest_invents_no_label(height, width, new_height, new_width):
    label = np.random.default_rng(0).integers(0, 5, (height, width)) * 1000
    assert set(np.unique(resize_nearest(label, (new_height, new_width)))) <= set(np.unique(label))


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("size", SIZES)
def test_bilinear_agrees_with_deeplab2(source, size):
    arrays, _ = load_component("c04_preprocess", source)
    expected = arrays[f"resize_bilinear/{size[0]}x{size[1]}"]
    for image, reference in zip(arrays["in/t"], expected, strict=True):
        np.testing.assert_allclose(resize_bilinear(image, size), reference, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif("full" not in SOURCES, reason="needs the full reference set")
@pytest.mark.parametrize("size", SIZES)
def test_bilinear_on_other_inputs_agrees_with_deeplab2(size):
    arrays, _ = load_component("c04_preprocess", "full")
    name = f"{size[0]}x{size[1]}"
    many_channels = resize_bilinear(arrays["in/big"][0], size)
    np.testing.assert_allclose(many_channels, arrays[f"resize_bilinear_c40/{name}"][0], rtol=1e-5, atol=1e-5)
    expected = arrays[f"resize_align_corners_bilinear_int/{name}"]
    for label, reference in zip(arrays["in/li"], expected, strict=True):
        np.testing.assert_allclose(resize_bilinear(label, size), reference, rtol=1e-5)


@pytest.mark.skipif("full" not in SOURCES, reason="needs the full reference set")
def test_bilinear_on_maps_of_numbers_agrees_with_deeplab2():
    arrays, _ = load_component("c04_preprocess", "full")
    expected = arrays["resize_to_range_float_label/label"]
    resized = resize_bilinear(arrays["in/float_label"], expected.shape[:2])
    np.testing.assert_allclose(resized, expected, rtol=1e-5)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("size", SIZES)
def test_nearest_agrees_with_deeplab2(source, size):
    arrays, _ = load_component("c04_preprocess", source)
    expected = arrays[f"resize_align_corners_nearest/{size[0]}x{size[1]}"]
    for label, reference in zip(arrays["in/li"], expected, strict=True):
        np.testing.assert_array_equal(resize_nearest(label, size), reference)


@pytest.mark.parametrize("source", SOURCES)
def test_undoing_preprocessing_agrees_with_deeplab2(source):
    arrays, meta = load_component("c04_preprocess", source)
    undo = meta["cases"]["undo"]
    height, width = undo["regions_to_crop"]
    for name, resize in (
        ("panoptic_pred", resize_nearest),
        ("center_heatmap", resize_nearest),
        ("semantic_probs", resize_bilinear),
        ("offset_map", resize_bilinear),
    ):
        cropped = arrays[f"undo/in/{name}"][0, :height, :width]
        expected = arrays[f"undo/out/{name}"][0]
        np.testing.assert_allclose(resize(cropped, tuple(undo["output_shape"])), expected, atol=1e-5)


@pytest.mark.skipif("full" not in SOURCES, reason="needs the full reference set")
def test_nearest_at_a_whole_stride_takes_every_nth_pixel_as_deeplab2():
    arrays, _ = load_component("c04_preprocess", "full")
    resized = resize_nearest(arrays["in/label"][..., 0], (25, 33))
    np.testing.assert_array_equal(resized, arrays["strided_downsample/4x"][0])
