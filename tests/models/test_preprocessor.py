"""From any image size to the network's and back."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_deeplab.models.preprocessor import Placement, SegmenterPreprocessor


def test_a_smaller_image_is_padded_below_and_on_the_right():
    image = np.random.default_rng(0).integers(0, 256, (3, 5, 3), dtype="uint8")
    pixels, placement = SegmenterPreprocessor((5, 9)).prepare(image)
    assert placement == Placement((3, 5), (3, 5))
    np.testing.assert_array_equal(pixels[:3, :5], image)
    assert set(pixels[3:].ravel()) | set(pixels[:, 5:].ravel()) == {127.5}


@pytest.mark.parametrize(
    ("resize", "size", "resized"),
    [
        ("shrink", (20, 40), (10, 20)),
        ("shrink", (5, 8), (5, 8)),
        ("fit", (5, 8), (12, 20)),
        ("fit", (20, 5), (17, 4)),
    ],
)
def test_rules_of_resizing(resize, size, resized):
    _, placement = SegmenterPreprocessor((17, 20), resize=resize).prepare(np.zeros((*size, 3), "uint8"))
    assert placement.resized == resized


def test_a_map_comes_back_at_the_images_size():
    rows, columns = np.mgrid[:40, :80]
    image = np.stack([rows, columns, rows], axis=-1).astype("uint8")
    preprocessor = SegmenterPreprocessor((20, 41))
    pixels, placement = preprocessor.prepare(image)
    restored = preprocessor.restore(pixels[..., 1], placement)
    assert restored.shape == (40, 80)
    assert np.abs(restored - columns).max() <= 2.5


def test_a_large_image_is_refused_where_resizing_is_off():
    with pytest.raises(ValueError, match=r"30x10 pixels.*at most 17x33"):
        SegmenterPreprocessor((17, 33), resize="none").prepare(np.zeros((30, 10, 3), "uint8"))


def test_without_a_size_sides_become_multiples_plus_one():
    pixels, _ = SegmenterPreprocessor(None, size_divisor=16).prepare(np.zeros((17, 18, 3), "uint8"))
    assert pixels.shape == (17, 33, 3)


def test_a_huge_image_shrinks_and_grows_back():
    preprocessor = SegmenterPreprocessor((65, 97))
    pixels, placement = preprocessor.prepare(np.full((10_000, 10_000, 3), 9, "uint8"))
    assert placement.resized == (65, 65)
    assert (pixels[:, :65] == 9).all()
    assert preprocessor.restore(np.ones((65, 97), "uint8"), placement).sum() == 100_000_000


def test_a_single_pixel_survives():
    preprocessor = SegmenterPreprocessor((65, 97))
    pixels, placement = preprocessor.prepare(np.full((1, 1, 3), 9, "uint8"))
    assert pixels[0, 0].tolist() == [9, 9, 9]
    assert preprocessor.restore(np.full((65, 97), 4), placement).tolist() == [[4]]


def test_a_call_normalises():
    result = SegmenterPreprocessor((2, 2))(np.array([0.0, 127.5, 255.0], "float32"))
    np.testing.assert_allclose(ops.convert_to_numpy(result), [-1, 0, 1])


@pytest.mark.parametrize("arguments", [{"resize": "crop"}, {"image_size": (3,)}, {"image_size": (None, 5)}])
def test_malformed_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        SegmenterPreprocessor(**arguments)


def test_the_configuration_round_trips():
    preprocessor = SegmenterPreprocessor((65, 97), resize="fit", size_divisor=16)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(preprocessor))
    assert copy.get_config() == preprocessor.get_config()
