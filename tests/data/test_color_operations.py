import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps

from keras_deeplab.data import color_operations
from keras_deeplab.data.autoaugment import OPERATIONS
from tests.references import SOURCES, load_component


def reference_cases():
    for source in SOURCES:
        arrays, meta = load_component("c04_autoaugment", source)
        for key in arrays:
            case, _, image = key.rpartition("/")
            if case in meta["cases"]:
                name, level = case.split("/")[1:]
                arguments = tuple(meta["cases"][case]["args"])
                inputs = arrays[f"in/{image}"], float(level.removeprefix("level")), arguments
                yield pytest.param(name, *inputs, arrays[key], id=f"{source}-{key}")


@pytest.mark.parametrize(("name", "image", "magnitude", "arguments", "expected"), reference_cases())
def test_operations_agree_with_deeplab2(name, image, magnitude, arguments, expected):
    operation = OPERATIONS[name]
    assert operation.arguments(magnitude) == arguments
    result = operation.function(image, *arguments)
    np.testing.assert_array_equal(result, expected)
    assert result.dtype == np.uint8


@pytest.mark.skipif("full" not in SOURCES, reason="needs the full reference set")
@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0, 1.7])
def test_blends_agree_with_deeplab2(strength):
    arrays, _ = load_component("c04_autoaugment", "full")
    image = arrays["in/image"]
    blended = color_operations._blend(image, color_operations.invert(image), strength)
    np.testing.assert_array_equal(blended, arrays[f"blend/{strength}"])


def random_image(seed, highest=256):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 40, 2)
    return rng.integers(0, highest, (height, width, 3), dtype=np.uint8)


seeds, strengths = st.integers(0, 999), st.floats(0.0, 1.9)


@given(seeds, st.integers(1, 256))
def test_histogram_operations_agree_with_pil(seed, highest):
    image = random_image(seed, highest)
    equalized = np.asarray(ImageOps.equalize(Image.fromarray(image)))
    np.testing.assert_array_equal(color_operations.equalize(image), equalized)
    # PIL computes in float64, so that whole numbers are hit or missed elsewhere.
    stretched = np.asarray(ImageOps.autocontrast(Image.fromarray(image))).astype(int)
    assert np.abs(color_operations.auto_contrast(image) - stretched).max() <= 1


@given(seeds, st.integers(1, 8), st.integers(0, 255))
def test_table_operations_agree_with_pil(seed, bits, threshold):
    image = random_image(seed)
    picture = Image.fromarray(image)
    np.testing.assert_array_equal(color_operations.invert(image), ImageOps.invert(picture))
    np.testing.assert_array_equal(color_operations.posterize(image, bits), ImageOps.posterize(picture, bits))
    np.testing.assert_array_equal(
        color_operations.solarize(image, threshold), ImageOps.solarize(picture, threshold)
    )


@given(seeds, strengths)
def test_adjustments_differ_from_pil_by_rounding_alone(seed, strength):
    image = random_image(seed)
    for adjust, enhance, tolerance in (
        (color_operations.adjust_brightness, ImageEnhance.Brightness, 1),
        # The grey and the smoothed image are rounded as well.
        (color_operations.adjust_color, ImageEnhance.Color, 3),
        (color_operations.adjust_sharpness, ImageEnhance.Sharpness, 3),
    ):
        expected = np.asarray(enhance(Image.fromarray(image)).enhance(strength)).astype(int)
        assert np.abs(adjust(image, strength) - expected).max() <= tolerance


@given(seeds)
def test_strength_one_is_the_identity(seed):
    image = random_image(seed)
    for name in ("color", "contrast", "brightness", "sharpness"):
        adjusted = getattr(color_operations, f"adjust_{name}")(image, 1.0)
        np.testing.assert_array_equal(adjusted, image)


@given(seeds)
def test_inverting_twice_is_the_identity(seed):
    image = random_image(seed)
    np.testing.assert_array_equal(color_operations.invert(color_operations.invert(image)), image)


@given(seeds)
def test_smoothing_is_the_mean_without_its_fraction_but_for_rounding_errors(seed):
    image = random_image(seed)
    smoothed = color_operations.adjust_sharpness(image, 0.0)
    inner = image[1:-1, 1:-1].astype(int)
    sums = 4 * inner + sum(
        image[row : row + inner.shape[0], column : column + inner.shape[1]].astype(int)
        for row in range(3)
        for column in range(3)
    )
    missed = sums // 13 - smoothed[1:-1, 1:-1]
    assert set(np.unique(missed)) <= {0, 1}
    assert (sums[missed == 1] % 13 == 0).all()
    border = np.ones(image.shape[:2], bool)
    border[1:-1, 1:-1] = False
    np.testing.assert_array_equal(smoothed[border], image[border])


def test_low_contrast_brightens_large_images_as_deeplab2_does():
    assert (color_operations.adjust_contrast(np.zeros((256, 255, 3), np.uint8), 0.5) == 127).all()
    assert (color_operations.adjust_contrast(np.zeros((16, 16, 3), np.uint8), 0.5) == 0).all()


def test_views_are_taken_as_they_are():
    image = random_image(7)[::-1, ::-1]
    for name, operation in OPERATIONS.items():
        arguments = operation.arguments(3)
        expected = operation.function(image.copy(), *arguments)
        np.testing.assert_array_equal(operation.function(image, *arguments), expected, err_msg=name)
