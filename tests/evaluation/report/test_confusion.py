import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_deeplab.evaluation.report.confusion import (
    Confusion,
    class_shares,
    classes_to_show,
    largest_confusions,
    read_confusion,
)
from keras_deeplab.labels import LabelSpace

SPACE = LabelSpace("pets", classes=("floor", "cat", "dog"), things=(1, 2))
MATRICES = hnp.arrays(np.int64, st.integers(1, 6).map(lambda n: (n, n + 1)), elements=st.integers(0, 9))


def test_rows_sum_to_one_and_are_nan_without_pixels():
    shares = class_shares(np.array([[3, 1, 0, 0], [0, 0, 0, 0], [1, 0, 2, 1]]))
    np.testing.assert_array_equal(shares, [[0.75, 0.25, 0, 0], [np.nan] * 4, [0.25, 0, 0.5, 0.25]])


def test_the_largest_confusions_are_shares_of_the_true_class():
    confusion = np.array([[90, 10, 0, 0], [0, 1, 3, 0], [0, 1, 1, 2]])
    assert largest_confusions(confusion, count=3) == [
        Confusion(truth=1, prediction=2, share=0.75, pixels=3),
        Confusion(truth=2, prediction=3, share=0.5, pixels=2),
        Confusion(truth=2, prediction=1, share=0.25, pixels=1),
    ]


@given(MATRICES, st.integers(0, 8))
def test_confusions_are_wrong_positive_sorted_and_the_largest(confusion, count):
    pairs = largest_confusions(confusion, count)
    shares = np.nan_to_num(class_shares(confusion))
    wrong = shares[~np.eye(*confusion.shape, dtype=bool)]
    assert all(pair.truth != pair.prediction and pair.pixels > 0 for pair in pairs)
    np.testing.assert_array_equal([pair.share for pair in pairs], np.sort(wrong[wrong > 0])[::-1][:count])


def test_classes_that_occur_are_shown_while_there_is_room():
    confusion = np.array([[5, 0, 0, 0, 1], [0, 0, 0, 0, 0], [0, 0, 1, 3, 0], [0, 0, 0, 0, 0]])
    assert classes_to_show(confusion, most=3) == [0, 2, 3]
    assert classes_to_show(confusion, most=1) == [2]
    assert classes_to_show(confusion, most=2) == [0, 2]


def test_void_among_the_classes_is_the_last_column():
    space = LabelSpace("pets", classes=("void", "cat", "dog"), things=(1, 2), ignore_label=0)
    confusion = read_confusion([[0, 0, 0, 0], [2, 5, 1, 1], [3, 0, 4, 0]], space)
    np.testing.assert_array_equal(confusion, [[0, 0, 0, 0], [0, 5, 1, 3], [0, 0, 4, 3]])


def test_reading_leaves_the_argument():
    space = LabelSpace("pets", classes=("void", "cat"), things=(1,), ignore_label=0)
    given_matrix = np.array([[0, 0, 0], [2, 5, 1]])
    read_confusion(given_matrix, space)
    np.testing.assert_array_equal(given_matrix, [[0, 0, 0], [2, 5, 1]])


@pytest.mark.parametrize(
    "confusion", [np.zeros((3, 3), int), np.zeros((3, 4)), np.full((3, 4), -1), np.zeros(12, int)]
)
def test_another_matrix_is_an_error(confusion):
    with pytest.raises(ValueError, match=r"pixel counts of shape \(3, 4\) for the label space 'pets'"):
        read_confusion(confusion, SPACE)
