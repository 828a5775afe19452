import numpy as np

from keras_deeplab.evaluation.report.error_picture import draw_errors, find_errors
from keras_deeplab.labels import CITYSCAPES, LABEL_SPACES

COCO = LABEL_SPACES["coco_panoptic"]
VOID = CITYSCAPES.void


def test_only_wrong_classes_are_errors():
    truth = np.array([[0, 13_001, 13_001, VOID, VOID, 7_000]])
    prediction = np.array([[0, 13_002, 14_001, 0, VOID, VOID]])
    np.testing.assert_array_equal(
        find_errors(truth, prediction, CITYSCAPES), [[False, False, True, False, False, True]]
    )


def test_void_may_be_a_class_of_the_label_space():
    divisor = COCO.label_divisor
    truth = np.array([[0, divisor, divisor]])
    prediction = np.array([[divisor, 0, divisor + 1]])
    np.testing.assert_array_equal(find_errors(truth, prediction, COCO), [[False, True, False]])


def test_the_pixels_of_the_picture():
    image = np.array([[[200, 100, 50], [200, 100, 50], [200, 100, 50], [0, 0, 0]]], np.uint8)
    truth = np.array([[0, 0, VOID, 0]])
    prediction = np.array([[0, 1_000, 1_000, VOID]])
    grey = 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    expected = np.array(
        [
            [grey] * 3,
            0.2 * grey + 0.8 * np.array([255, 80, 0]),
            [0.4 * grey] * 3,
            [0.8 * 255, 0.8 * 80, 0],
        ]
    )
    picture = draw_errors(image, truth, prediction, CITYSCAPES)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, np.round(expected)[None])


def test_truth_as_prediction_is_the_grey_image():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (5, 7, 3), np.uint8)
    truth = rng.integers(0, 19, (5, 7)) * 1000
    picture = draw_errors(image, truth, truth, CITYSCAPES)
    expected = np.round(image.astype(np.float64) @ [0.299, 0.587, 0.114])
    assert (picture == picture[..., :1]).all()
    np.testing.assert_allclose(picture[..., 0], expected, atol=1)
