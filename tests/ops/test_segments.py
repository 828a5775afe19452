import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from keras import ops

from keras_deeplab.ops.segments import (
    count_segments,
    look_up,
    majority_vote,
    merge_semantic_and_instance,
    number_within_class,
)


def merge(semantic, instance, **kwargs):
    options = {"num_classes": 4, "num_instances": 5, "things": (1, 3), "label_divisor": 10, "ignore_label": 9}
    maps = (ops.convert_to_tensor(np.asarray(m, "int32")) for m in (semantic, instance))
    return ops.convert_to_numpy(merge_semantic_and_instance(*maps, **{**options, **kwargs}))


def expected_panoptic(semantic, instance, things, label_divisor, ignore_label, stuff_area_limit):
    """One image, instance by instance."""
    panoptic = np.full(semantic.shape, ignore_label * label_divisor)
    thing = np.isin(semantic, things)
    numbers = {}
    for i in np.unique(instance[thing]):
        mask = thing & (instance == i)
        if i > 0:
            c = np.bincount(semantic[mask]).argmax()
            numbers[c] = numbers.get(c, 0) + 1
            if numbers[c] < label_divisor:
                panoptic[mask] = c * label_divisor + numbers[c]
    for c in np.unique(semantic[~thing]):
        if (semantic == c).sum() >= stuff_area_limit:
            panoptic[semantic == c] = c * label_divisor
    if ignore_label not in things:
        panoptic[semantic == ignore_label] = ignore_label * label_divisor
    return panoptic


@settings(deadline=None, max_examples=60)
@given(
    semantic=hnp.arrays(np.int32, (2, 4, 5), elements=st.integers(0, 3)),
    instance=hnp.arrays(np.int32, (2, 4, 5), elements=st.integers(0, 5)),
    divisor=st.sampled_from([2, 3, 1000]),
    ignore=st.sampled_from([0, 2, 255]),
    limit=st.sampled_from([0, 3, 6]),
)
def test_merge_equals_merging_one_by_one(semantic, instance, divisor, ignore, limit):
    options = {"things": (1, 3), "label_divisor": divisor, "ignore_label": ignore, "stuff_area_limit": limit}
    panoptic = merge(semantic, instance, **options)
    expected = [expected_panoptic(s, i, **options) for s, i in zip(semantic, instance, strict=True)]
    np.testing.assert_array_equal(panoptic, expected)


def test_instances_count_from_one_within_their_class_by_ascending_id():
    panoptic = merge([[[1, 3, 1, 3, 1]]], [[[5, 4, 2, 1, 1]]])
    # Instance 1 is a tie between the classes 1 and 3: the smaller one.
    assert panoptic.tolist() == [[[13, 31, 12, 11, 11]]]


def test_void_pixels_do_not_use_up_numbers():
    assert merge([[[0, 1]]], [[[1, 2]]]).tolist() == [[[0, 11]]]


def test_thing_pixels_without_instance_are_void():
    assert merge([[[1, 0]]], [[[0, 0]]]).tolist() == [[[90, 0]]]


def test_stuff_at_the_area_limit_stays():
    assert merge([[[0, 0, 2]]], np.zeros((1, 1, 3)), stuff_area_limit=2).tolist() == [[[0, 0, 90]]]


def test_stuff_areas_count_per_image():
    semantic = [[[0, 0]], [[0, 2]]]
    assert merge(semantic, np.zeros((2, 1, 2)), stuff_area_limit=2).tolist() == [[[0, 0]], [[90, 90]]]


def test_instances_beyond_the_label_divisor_are_void():
    panoptic = merge([[[1, 1, 1, 3]]], [[[1, 2, 3, 4]]], label_divisor=3)
    assert panoptic.tolist() == [[[4, 5, 27, 10]]]


def test_ignore_label_among_the_classes_is_void():
    assert merge([[[0, 2, 1]]], [[[0, 0, 1]]], ignore_label=0).tolist() == [[[0, 20, 11]]]


def test_no_things():
    assert merge([[[0, 1, 3]]], np.zeros((1, 1, 3)), things=()).tolist() == [[[0, 10, 30]]]


def test_count_segments():
    segments = ops.convert_to_tensor(np.array([[[0, 2], [2, 2]], [[1, 1], [3, 0]]], "int32"))
    counts = ops.convert_to_numpy(count_segments(segments, 4))
    assert counts.tolist() == [[1, 0, 3, 0], [1, 2, 0, 1]]
    assert counts.dtype == np.int32


def test_counts_beyond_float32_precision_are_exact():
    segments = ops.zeros((1, 2**24 + 1), "int32")
    assert ops.convert_to_numpy(count_segments(segments, 2)).tolist() == [[2**24 + 1, 0]]


def test_look_up():
    table = ops.convert_to_tensor(np.array([[10, 11], [20, 21]], "int32"))
    segments = ops.convert_to_tensor(np.array([[[0, 1, 1]], [[1, 0, 0]]], "int32"))
    assert ops.convert_to_numpy(look_up(table, segments)).tolist() == [[[10, 11, 11]], [[21, 20, 20]]]


def test_majority_vote_takes_the_smaller_class_on_ties():
    counts = ops.convert_to_tensor(np.array([[[0, 3, 3], [1, 0, 5], [0, 0, 0]]], "int32"))
    assert ops.convert_to_numpy(majority_vote(counts)).tolist() == [[1, 2, 0]]


def test_number_within_class():
    classes = ops.convert_to_tensor(np.array([[2, 2, 1, 2]], "int32"))
    exists = ops.convert_to_tensor(np.array([[True, False, True, True]]))
    assert ops.convert_to_numpy(number_within_class(classes, exists)).tolist() == [[1, 0, 1, 2]]
