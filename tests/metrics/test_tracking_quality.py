import collections

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from keras_deeplab.labels import CITYSCAPES, LabelSpace
from keras_deeplab.metrics import SegmentationAndTrackingQuality
from keras_deeplab.metrics.pair_totals import PairTotals
from tests.references import SOURCES, load_component

SETTINGS = {"classes": ("road", "sky", "car", "person"), "things": (2, 3), "label_divisor": 10}
SPACE = LabelSpace("small", **SETTINGS, ignore_label=9)
VOID_IS_A_CLASS = LabelSpace("void inside", **SETTINGS, ignore_label=1)


def measure(frames, label_space=SPACE):
    """The result for `(sequence, truth, prediction)` or `(sequence, truth, prediction, weights)`."""
    metric = SegmentationAndTrackingQuality(label_space)
    for sequence, truth, prediction, *weights in frames:
        metric.update(np.asarray(truth), np.asarray(prediction), sequence, *weights)
    return metric.result()


def measure_by_pixels(frames, label_space):
    """STQ, AQ and IoU from the definition, one pixel after the other."""
    true_tubes, predicted_tubes, overlaps, confusion = (collections.Counter() for _ in range(4))
    for sequence, *maps in frames:
        for truth, prediction, weight in zip(*(np.ravel(values).tolist() for values in maps), strict=True):
            (true_class, instance), predicted_class = divmod(truth, 10), prediction // 10
            if true_class != label_space.ignore_label:
                confusion[true_class, predicted_class] += weight
            is_crowd = true_class in label_space.things and instance == 0
            is_tube = true_class in label_space.things and not is_crowd
            is_predicted_tube = predicted_class in label_space.things and not is_crowd
            if is_tube:
                true_tubes[sequence, truth] += weight
            if is_predicted_tube:
                predicted_tubes[sequence, prediction] += weight
            if is_tube and is_predicted_tube:
                overlaps[sequence, truth, prediction] += weight

    quality = dict.fromkeys(true_tubes, 0.0)
    for (sequence, truth, prediction), overlap in overlaps.items():
        size, predicted_size = true_tubes[sequence, truth], predicted_tubes[sequence, prediction]
        quality[sequence, truth] += overlap * overlap / (size + predicted_size - overlap) / size
    aq = sum(quality.values()) / len(quality) if quality else 0.0

    ious = []
    for class_id in {c for pair in confusion for c in pair}:
        union = sum(pixels for pair, pixels in confusion.items() if class_id in pair)
        ious.append(confusion[class_id, class_id] / union)
    iou = sum(ious) / len(ious) if ious else float("nan")
    return (aq * iou) ** 0.5, aq, iou


def reference_case(arrays, name, case):
    """The label space and the frames of a case: what was done to the stored maps is told in the metadata."""
    space = LabelSpace(
        "reference",
        classes=[f"class {i}" for i in range(case["num_classes"])],
        things=case["things"],
        ignore_label=case["ignore"],
        label_divisor=case["div"],
    )

    def translate(panoptic):
        void = panoptic == 255_000
        return np.where(void, space.void, panoptic + (1000 if name == "ignore_inside_range_0" else 0))

    frames = []
    for sequence, stored in zip(case["ID_per_seq"], (1, 8, 15), strict=False):
        only_two = name in ("empty_pred", "no_things_in_gt")
        for i in range(2 if only_two else sum(key.startswith(f"in/seq{stored}/gt") for key in arrays)):
            truth, prediction = (translate(arrays[f"in/seq{stored}/{kind}{i}"]) for kind in ("gt", "pred"))
            if name == "empty_pred":
                prediction = np.full_like(prediction, space.void)
            if name == "no_things_in_gt":
                truth = np.where(np.isin(truth // 1000, space.things), 0, truth)
            weights = np.where(np.arange(truth.shape[1]) < truth.shape[1] // 4, 0.5, 1.0)
            weights = np.broadcast_to(weights, truth.shape) if case["weighted"] else None
            frames.append((sequence, truth, prediction, weights))
    return space, frames


@pytest.mark.parametrize("source", SOURCES)
def test_equals_deeplab2(source):
    arrays, meta = load_component("c05_stq", source)
    assert len(meta["cases"]) == 7
    for name, case in meta["cases"].items():
        space, frames = reference_case(arrays, name, case)
        result = measure(frames, space)
        rows = result["per_sequence"]
        assert list(rows) == sorted(case["ID_per_seq"])
        # DeepLab2's TensorFlow version computes in float32, its numpy version in float64 like ours.
        for version, rtol in (("tf", 1e-6), ("np", 1e-12)):
            for ours, theirs in (("stq", "STQ"), ("aq", "AQ"), ("iou", "IoU")):
                expected = arrays[f"out/{name}/{version}/{theirs}"]
                np.testing.assert_allclose(result[ours], expected, rtol=rtol, err_msg=name)
                expected = arrays[f"out/{name}/{version}/{theirs}_per_seq"]
                values = [rows[sequence][ours] for sequence in case["ID_per_seq"]]
                np.testing.assert_allclose(values, expected, rtol=rtol, err_msg=name)
            lengths = [rows[sequence]["frames"] for sequence in case["ID_per_seq"]]
            np.testing.assert_array_equal(lengths, arrays[f"out/{name}/{version}/Length_per_seq"])


def test_class_iou_equals_deeplab2s_confusion():
    arrays, meta = load_component("c05_stq")
    for name, case in meta["cases"].items():
        space, frames = reference_case(arrays, name, case)
        confusion = sum(arrays[f"out/{name}/tf/confusion_seq{sequence}"] for sequence in case["ID_per_seq"])
        confusion[min(space.ignore_label, space.num_classes)] = 0
        with np.errstate(invalid="ignore"):
            expected = np.diag(confusion) / (
                confusion.sum(axis=0) + confusion.sum(axis=1) - np.diag(confusion)
            )
        np.testing.assert_allclose(
            measure(frames, space)["per_class"]["iou"], expected[: space.num_classes], rtol=1e-6, err_msg=name
        )


values = st.sampled_from([0, 10, 20, 21, 22, 30, 31, 32, 33])
maps = st_numpy.arrays(np.int32, (3, 4), elements=values | st.just(90))
inside_maps = st_numpy.arrays(np.int32, (3, 4), elements=values)
weight_maps = st_numpy.arrays(np.float64, (3, 4), elements=st.sampled_from([0.25, 0.5, 1.0, 2.0]))
sequences = st.sampled_from(["0002", "0010", 7])


def videos(maps, *more):
    return st.lists(st.tuples(sequences, maps, maps, *more), min_size=1, max_size=5)


@given(
    videos(maps, weight_maps) | videos(inside_maps, weight_maps), st.sampled_from([SPACE, VOID_IS_A_CLASS])
)
def test_equals_the_definition(frames, space):
    if space is VOID_IS_A_CLASS:
        frames = [(s, t % 90, p % 90, w) for s, t, p, w in frames]
    result = measure(frames, space)
    expected = measure_by_pixels(frames, space)
    np.testing.assert_allclose([result[k] for k in ("stq", "aq", "iou")], expected, rtol=1e-12, atol=1e-15)
    assert result["per_sequence"].keys() == {frame[0] for frame in frames}
    for sequence, row in result["per_sequence"].items():
        own = [frame for frame in frames if frame[0] == sequence]
        np.testing.assert_allclose(
            [row[k] for k in ("stq", "aq", "iou")], measure_by_pixels(own, space), rtol=1e-12, atol=1e-15
        )
        assert row["frames"] == len(own)


@given(videos(maps))
def test_truth_as_prediction_is_perfect_without_void_and_crowd(frames):
    frames = [(sequence, truth, truth) for sequence, truth, _ in frames]
    result = measure(frames)
    truths = np.stack([truth for _, truth, _ in frames])
    assert result["iou"] == 1 or (truths == 90).all()
    # A crowd region is no tube, so that no true tube loses by it.
    assert result["aq"] == (1 if (np.isin(truths // 10, (2, 3)) & (truths % 10 > 0)).any() else 0)


@given(videos(maps), st.permutations(range(1, 10)))
def test_instance_numbers_do_not_matter(frames, order):
    renumber = np.array([0, *order])
    renumbered = [(s, t, p - p % 10 + renumber[p % 10]) for s, t, p in frames]
    ours, expected = measure(renumbered), measure(frames)
    for name in ("stq", "aq", "iou"):
        np.testing.assert_allclose(ours[name], expected[name], rtol=1e-12)


@given(videos(maps), st.integers(0, 5), st.randoms(use_true_random=False))
def test_parts_merge_to_the_whole(frames, split, random):
    shuffled = list(frames)
    random.shuffle(shuffled)
    first, second = SegmentationAndTrackingQuality(SPACE), SegmentationAndTrackingQuality(SPACE)
    for index, (sequence, truth, prediction) in enumerate(shuffled):
        (first if index < split else second).update(truth, prediction, sequence)
    expected_of_second = second.result()
    first.merge(second)
    np.testing.assert_equal(first.result(), measure(frames))
    np.testing.assert_equal(second.result(), expected_of_second)


@given(videos(maps, weight_maps))
def test_counting_apart_equals_update(frames):
    metric = SegmentationAndTrackingQuality(SPACE)
    counts = [metric.count(truth, prediction, s, weights) for s, truth, prediction, weights in frames]
    assert metric.result()["per_sequence"] == {}
    for count in reversed(counts):
        assert all(array.dtype.kind in "ifU" and array.ndim == 1 for array in count.values())
        metric.add(count)
    np.testing.assert_equal(metric.result(), measure(frames))


@given(videos(maps).filter(lambda frames: len({type(s) for s, *_ in frames}) == 1))
def test_a_batch_is_its_images(frames):
    ids, truths, predictions = zip(*frames, strict=True)
    batch = measure([(ids, np.stack(truths), np.stack(predictions))])
    np.testing.assert_equal(batch, measure(frames))


def test_one_sequence_for_a_whole_batch():
    maps = np.array([[[21, 0]], [[21, 0]]])
    assert measure([("a", maps, maps)])["per_sequence"]["a"]["frames"] == 2


def test_changing_the_instance_halves_association():
    result = measure([("a", [[21, 21, 0]], [[21, 21, 0]]), ("a", [[21, 21, 0]], [[22, 22, 0]])])
    assert (result["aq"], result["iou"]) == (0.5, 1)
    assert result["stq"] == pytest.approx(0.5**0.5)


def test_the_same_ids_in_two_sequences_are_two_tubes():
    frames = [("a", [[21, 21]], [[21, 21]]), ("b", [[21, 21]], [[22, 22]])]
    assert measure(frames)["aq"] == 1


def test_association_does_not_ask_for_the_class():
    result = measure([("a", [[21, 21]], [[31, 31]])])
    assert (result["aq"], result["iou"]) == (1, 0)


def test_crowd_is_no_tube_but_counts_as_a_class():
    result = measure([("a", [[21, 21, 20, 20]], [[21, 21, 21, 0]])])
    assert result["aq"] == 1
    np.testing.assert_array_equal(result["per_class"]["iou"], [0, np.nan, 0.75, np.nan])


def test_void_truth_counts_against_predicted_tubes_only():
    result = measure([("a", [[21, 21, 90, 90]], [[21, 21, 21, 21]])])
    assert (result["aq"], result["iou"]) == (0.5, 1)


def test_a_predicted_crowd_region_is_a_tube():
    assert measure([("a", [[21, 21]], [[20, 20]])])["aq"] == 1


@pytest.mark.parametrize("space", [SPACE, VOID_IS_A_CLASS])
def test_predicted_void_is_one_more_class(space):
    result = measure([("a", [[0, 0, 21, 21]], [[0, 0, 21, space.void]])], space)
    assert result["iou"] == pytest.approx((1 + 0.5 + 0) / 3)


def test_pixels_without_weight_are_left_out():
    maps = np.array([[21, 21, 22, 0]]), np.array([[21, 21, 23, 0]])
    weights = np.array([[1.0, 1.0, 0.0, 1.0]])
    counts = SegmentationAndTrackingQuality(SPACE).count(*maps, "a", weights)
    assert (counts["truth"].tolist(), counts["pixels"].tolist()) == ([0, 21], [1, 2])
    result = measure([("a", *maps, weights)])
    assert (result["aq"], result["iou"]) == (1, 1)


def test_void_truth_alone_has_no_quality():
    result = measure([("a", [[90, 90]], [[21, 0]])])
    assert result["aq"] == 0
    assert np.isnan([result["stq"], result["iou"], *result["per_class"]["iou"]]).all()


def test_nothing_counted():
    metric = SegmentationAndTrackingQuality(SPACE)
    metric.update(np.zeros((0, 3, 4), int), np.zeros((0, 3, 4), int), [])
    result = metric.result()
    assert np.isnan(result["stq"])
    assert result["per_sequence"] == {}


def test_ids_up_to_the_largest_int32():
    top = LabelSpace("top", [str(i) for i in range(128)], things=(127,), ignore_label=0, label_divisor=2**24)
    for dtype in (np.int32, np.uint32, np.int64, np.uint64):
        truth = np.array([[2**31 - 1, 2**31 - 2, 2**31 - 1]], dtype)
        assert measure([("a", truth, truth)], top)["aq"] == 1


def test_more_tubes_than_16_bits_count():
    space = LabelSpace("many", classes=("cell",), things=(0,), label_divisor=100_000)
    truth = np.arange(1, 70_001).reshape(250, 280)
    result = measure([("a", truth, np.where(truth % 2, truth, space.void))], space)
    assert (result["aq"], result["iou"]) == (0.5, 0.25)


def test_result_may_be_asked_again_and_reset_forgets():
    metric = SegmentationAndTrackingQuality(SPACE)
    metric.update(np.array([[21, 0]]), np.array([[21, 10]]), "a")
    np.testing.assert_equal(metric.result(), metric.result())
    metric.reset()
    assert metric.result()["per_sequence"] == {}


ONE = np.zeros((1, 4), int)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((ONE, np.zeros((4, 1), int), "a"), r"same shape.*\(1, 4\) and \(4, 1\)"),
        ((ONE, ONE.astype(float), "a"), "`prediction` must hold integers"),
        ((ONE + 40, ONE, "a"), "`truth` holds the class 4"),
        ((ONE, ONE + 57, "a"), "`prediction` holds the class 5"),
        ((ONE, ONE, 1.5), "`sequence` must hold strings or integers only.*1.5"),
        ((ONE, ONE, None), "`sequence` must hold strings or integers only.*None"),
        ((ONE[None], ONE[None], ["a", "b"]), "one for each image.*1 images"),
        ((np.stack([ONE] * 2), np.stack([ONE] * 2), ["a", 1]), "strings or integers only"),
        ((ONE, ONE, "a", np.ones((4, 1))), r"`weights` must have the shape of one map, \(1, 4\)"),
        ((ONE, ONE, "a", ONE), "`weights` must hold floats.*int64"),
        ((ONE, ONE, "a", ONE - 1.0), "`weights` must be finite and not negative"),
        ((ONE, ONE, "a", ONE + np.nan), "`weights` must be finite and not negative"),
        ((ONE, ONE, "a", ONE + np.inf), "`weights` must be finite and not negative"),
    ],
)
def test_unusable_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        SegmentationAndTrackingQuality(SPACE).update(*arguments)


def test_metrics_of_different_label_spaces_do_not_merge():
    with pytest.raises(ValueError, match=r"one label_space merge.*'small' and 'cityscapes'"):
        SegmentationAndTrackingQuality(SPACE).merge(SegmentationAndTrackingQuality(CITYSCAPES))


def test_pair_totals_keep_little_more_than_the_distinct_pairs():
    totals = PairTotals()
    pairs = np.arange(10), np.arange(10) + 5, np.ones(10)
    for _ in range(100):
        totals.add(*pairs)
        assert sum(len(part[0]) for part in totals._parts) <= 20
    truth, prediction, pixels = totals.sum()
    np.testing.assert_array_equal(truth, pairs[0])
    np.testing.assert_array_equal(prediction, pairs[1])
    np.testing.assert_array_equal(pixels, np.full(10, 100.0))
