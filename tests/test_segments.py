import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from keras_deeplab.labels import LabelSpace
from keras_deeplab.segments import (
    as_label_map,
    check_classes,
    count_pairs,
    describe_segments,
    number_segments,
)

SPACE = LabelSpace("small", classes=("road", "car"), things=(1,), label_divisor=10, category_ids=(7, 26))
VOID = SPACE.void

maps = st_numpy.arrays(np.int32, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=st.integers(0, 3))


@given(maps, st.integers(0, 2**32 - 1))
def test_count_pairs_counts_pixels(truth, seed):
    prediction = np.random.default_rng(seed).integers(0, 3, truth.shape)
    *pairs, pixels = count_pairs(truth, prediction)
    counted = dict(zip(zip(*pairs, strict=True), pixels, strict=True))
    expected = {}
    for pair in zip(truth.ravel(), prediction.ravel(), strict=True):
        expected[pair] = expected.get(pair, 0) + 1
    assert counted == expected


@given(maps, st.integers(0, 2**32 - 1))
def test_count_pairs_adds_up_weights(truth, seed):
    rng = np.random.default_rng(seed)
    prediction, weights = rng.integers(0, 3, truth.shape), rng.random(truth.shape, np.float32)
    true_values, predicted_values, pixels = count_pairs(truth, prediction, weights)
    for true_value, predicted_value, counted in zip(true_values, predicted_values, pixels, strict=True):
        here = (truth == true_value) & (prediction == predicted_value)
        assert counted == pytest.approx(weights[here].sum(dtype=np.float64), rel=1e-12)


def test_count_pairs_of_empty_maps():
    empty = np.zeros((0, 4), np.int32)
    assert [values.size for values in count_pairs(empty, empty)] == [0, 0, 0]
    assert [values.size for values in count_pairs(empty, empty, weights=empty)] == [0, 0, 0]


@given(st_numpy.arrays(np.int64, (5, 7), elements=st.sampled_from([0, 10, 11, 12, VOID])), st.booleans())
def test_describe_segments_equals_masks(panoptic, scored):
    score = np.linspace(0, 1, panoptic.size, dtype=np.float32).reshape(panoptic.shape)
    segments = describe_segments(panoptic, SPACE, score if scored else None)
    assert [s["id"] for s in segments] == sorted(set(panoptic.ravel().tolist()) - {VOID})
    for segment in segments:
        mask = panoptic == segment["id"]
        rows, columns = np.nonzero(mask)
        width, height = np.ptp(columns) + 1, np.ptp(rows) + 1
        assert segment["area"] == mask.sum()
        assert segment["bbox"] == [columns.min(), rows.min(), width, height]
        assert segment["class_id"] == segment["id"] // 10
        assert segment["score"] == (pytest.approx(score[mask].mean(), rel=1e-5) if scored else None)


def test_describe_segments_names_the_class():
    (segment,) = describe_segments(np.array([[13]]), SPACE)
    assert segment == {
        "id": 13,
        "class_id": 1,
        "category_id": 26,
        "class": "car",
        "isthing": True,
        "area": 1,
        "bbox": [0, 0, 1, 1],
        "score": None,
    }


def test_every_instance_of_the_ignore_label_is_void():
    assert describe_segments(np.array([[VOID, VOID + 3]]), SPACE) == []


def test_a_class_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"`panoptic` holds the class 5, 7.*'small' has the classes 0 to 1"):
        describe_segments(np.array([[50, 71, 0]]), SPACE)


@pytest.mark.parametrize(
    ("classes", "void_classes", "message"),
    [
        ([[0, 1], [255, 1]], (), None),
        ([], (), None),
        ([0, 32, 255], (32,), None),
        (
            [5, 0, -1, 5],
            (),
            r"`truth` holds the class -1, 5, but .* 'small' has the classes 0 to 1 and 255",
        ),
        ([2], (32,), r"holds the class 2, .* 32, 255 for void\. Check .* label_divisor 10\."),
        (list(range(2, 20)), (), "holds the class 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, but"),
    ],
)
def test_classes_outside_of_the_label_space_are_named(classes, void_classes, message):
    expectation = pytest.raises(ValueError, match=message) if message else contextlib.nullcontext()
    with expectation:
        check_classes("truth", np.array(classes, int), SPACE, void_classes)


def test_number_segments():
    np.testing.assert_array_equal(number_segments(np.array([[3, 9, 5, 0]]), [3, 5]), [[1, 0, 2, 0]])
    np.testing.assert_array_equal(number_segments(np.array([[3]]), []), [[0]])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros((2, 3)), "`mask` must hold integers. Received: dtype=float64"),
        (np.zeros((2, 3), bool), "`mask` must hold integers"),
        (np.zeros(3, int), r"`mask` must have the shape \[height, width\]. Received: shape=\(3,\)"),
    ],
)
def test_as_label_map_names_what_is_wrong(value, message):
    with pytest.raises(ValueError, match=message):
        as_label_map("mask", value)
