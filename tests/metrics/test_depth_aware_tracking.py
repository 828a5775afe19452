import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from keras_deeplab.labels import CITYSCAPES, LabelSpace
from keras_deeplab.metrics import DepthAwareSTQ, SegmentationAndTrackingQuality
from tests.references import SOURCES, load_component

SPACE = LabelSpace("small", classes=("road", "car"), things=(1,), ignore_label=9, label_divisor=10)
NAMES = ("dstq", "dstq@1.25", "dstq@1.1", "dq", "dq@1.25", "dq@1.1", "stq", "aq", "iou")


def measure(frames, label_space=SPACE, thresholds=(1.25, 1.1)):
    """The result for `(sequence, truth, prediction, true_depth, predicted_depth)`."""
    metric = DepthAwareSTQ(label_space, thresholds)
    for sequence, *maps in frames:
        metric.update(*(np.asarray(values) for values in maps), sequence)
    return metric.result()


def deeplab2_name(name):
    quality, _, threshold = name.partition("@")
    return {"iou": "IoU"}.get(quality, quality.upper()), f"@{threshold}" if threshold else ""


@pytest.mark.parametrize("source", SOURCES)
def test_equals_deeplab2(source):
    arrays, meta = load_component("c05_video_depth", source)
    cases = {name: case for name, case in meta["cases"].items() if "dstq_sequence_ids" in case}
    assert cases
    for name, case in cases.items():
        frames = []
        for i, sequence in enumerate(case["dstq_sequence_ids"]):
            truth, prediction = (arrays[f"{name}/in/{kind}{i}"] for kind in ("gt", "pred"))
            depths = (arrays[f"{name}/in/depth_{kind}_x256_{i}"] / 256 for kind in ("gt", "pred"))
            frames.append((sequence, truth, prediction, *depths))
        result, expected = measure(frames, CITYSCAPES), case["dstq"]
        # DeepLab2 computed in float32.
        for ours in NAMES:
            theirs, suffix = deeplab2_name(ours)
            np.testing.assert_allclose(result[ours], expected[theirs + suffix], rtol=1e-6, err_msg=ours)
            per_sequence = expected.get(f"{theirs}_per_seq{suffix}")
            if per_sequence is not None:
                rows = result["per_sequence"]
                values = [rows[int(sequence)][ours] for sequence in expected["ID_per_seq"]]
                np.testing.assert_allclose(values, per_sequence, rtol=1e-6, err_msg=ours)


def test_without_known_depth_equals_deeplab2():
    _, meta = load_component("c05_video_depth")
    expected = meta["cases"]["dstq_no_valid_depth"]
    result = measure([(0, [[11, 0]], [[11, 0]], [[0.0, np.nan]], [[3.0, 3.0]])])
    for ours in NAMES:
        assert result[ours] == expected["".join(deeplab2_name(ours))]


def test_values_of_a_small_example():
    truth = [[11, 11, 0, 0]]
    result = measure([("a", truth, truth, [[10.0, 10.0, 10.0, 10.0]], [[10.5, 8.5, 12.0, 20.0]])])
    assert (result["dq@1.25"], result["dq@1.1"]) == (0.75, 0.25)
    assert result["dq"] == pytest.approx((0.75 * 0.25) ** 0.5)
    assert result["dstq"] == pytest.approx(result["dq"] ** (1 / 3))
    assert result["dstq@1.25"] == pytest.approx(0.75 ** (1 / 3))
    row = dict(result["per_sequence"]["a"])
    assert row.pop("frames") == 1
    assert row == {name: result[name] for name in NAMES}


def test_a_ratio_at_the_threshold_is_an_inlier():
    ratio = [[11.0, 10.0, 5.0, 4.0]], [[10.0, 11.0, 4.0, 5.0]]
    result = measure([("a", [[0] * 4], [[0] * 4], *ratio)])
    assert (result["dq@1.25"], result["dq@1.1"]) == (1, 0.5)


@pytest.mark.parametrize("missing", [0.0, -3.0, np.nan])
def test_missing_predictions_are_outliers(missing):
    result = measure([("a", [[0, 0]], [[0, 0]], [[10.0, 10.0]], [[10.0, missing]])])
    assert result["dq@1.25"] == 0.5


@pytest.mark.parametrize("unknown", [0.0, -1.0, np.nan, np.inf])
def test_unknown_depth_does_not_count(unknown):
    result = measure([("a", [[0, 0]], [[0, 0]], [[10.0, unknown]], [[10.0, 50.0]])])
    assert result["dq"] == 1


def test_pixels_are_pooled_over_images_and_sequences():
    frame = np.zeros((1, 4), int)
    good, bad = np.full((1, 4), 10.0), np.full((1, 4), 30.0)
    partly_known = np.array([[10.0, 0, 0, 0]])
    result = measure([("a", frame, frame, good, good), ("b", frame, frame, partly_known, bad)])
    assert result["dq"] == 0.8
    assert [result["per_sequence"][s]["dq"] for s in "ab"] == [1, 0]


def test_other_thresholds_name_their_values():
    result = measure([("a", [[0, 0]], [[0, 0]], [[2.0, 2.0]], [[3.0, 9.0]])], thresholds=[2])
    assert (result["dq"], result["dq@2.0"], result["dstq@2.0"]) == (0.5, 0.5, 0.0)
    assert result["stq"] == 0


maps = st_numpy.arrays(np.int32, (2, 3), elements=st.sampled_from([0, 10, 11, 12, 90]))
depths = st_numpy.arrays(np.float32, (2, 3), elements=st.sampled_from([0, 10, 10.5, 12, 30, np.nan]))
videos = st.lists(st.tuples(st.sampled_from(["a", "b"]), maps, maps, depths, depths), min_size=1, max_size=5)


def tracking_of(row):
    return {name: row[name] for name in ("stq", "aq", "iou")}


@given(videos)
def test_tracking_is_that_of_the_panoptic_maps(frames):
    metric = SegmentationAndTrackingQuality(SPACE)
    for sequence, truth, prediction, *_ in frames:
        metric.update(truth, prediction, sequence)
    result, expected = measure(frames), metric.result()
    np.testing.assert_equal({name: result[name] for name in ("stq", "aq", "iou")}, tracking_of(expected))
    for sequence, row in expected["per_sequence"].items():
        np.testing.assert_equal(tracking_of(result["per_sequence"][sequence]), tracking_of(row))


@given(videos)
def test_depth_quality_equals_the_definition(frames):
    within = {1.25: 0, 1.1: 0}
    known = 0
    for *_, truth, prediction in frames:
        for true_depth, depth in zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True):
            if true_depth > 0:
                known += 1
                for threshold in within:
                    within[threshold] += (
                        depth > 0 and max(depth / true_depth, true_depth / depth) <= threshold
                    )
    result = measure(frames)
    for threshold, count in within.items():
        assert result[f"dq@{threshold}"] == (count / known if known else 0)


@given(videos, st.integers(0, 5))
def test_parts_merge_to_the_whole_in_any_order(frames, split):
    first, second = DepthAwareSTQ(SPACE), DepthAwareSTQ(SPACE)
    for index, (sequence, *maps) in enumerate(frames):
        (first if index < split else second).update(*maps, sequence)
    second.merge(first)
    np.testing.assert_equal(second.result(), measure(frames))


@given(videos)
def test_counting_apart_and_batches_equal_update(frames):
    metric = DepthAwareSTQ(SPACE)
    counts = [metric.count(*maps, sequence) for sequence, *maps in frames]
    assert metric.result()["per_sequence"] == {}
    for count in reversed(counts):
        metric.add(count)
    expected = measure(frames)
    np.testing.assert_equal(metric.result(), expected)
    ids, *columns = zip(*frames, strict=True)
    np.testing.assert_equal(measure([(ids, *(np.stack(column) for column in columns))]), expected)


def test_reset_forgets():
    metric = DepthAwareSTQ(SPACE)
    metric.update(np.zeros((1, 1), int), np.zeros((1, 1), int), np.ones((1, 1)), np.ones((1, 1)), "a")
    metric.reset()
    assert metric.result()["per_sequence"] == {}
    assert metric.result()["dq"] == 0


ONE, DEPTH = np.zeros((1, 2), int), np.ones((1, 2))


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        ((ONE, ONE, DEPTH.T, DEPTH.T), r"same shape. Received: \(1, 1, 2\) and \(1, 2, 1\)"),
        ((ONE, ONE, DEPTH, DEPTH.T), r"`true_depth` and `predicted_depth` must have the same shape"),
        ((ONE, ONE, DEPTH.astype(int), DEPTH), "`true_depth` must hold metres as floats"),
        ((ONE + 70, ONE, DEPTH, DEPTH), "`truth` holds the class 7"),
    ],
)
def test_unusable_maps_are_named(maps, message):
    with pytest.raises(ValueError, match=message):
        DepthAwareSTQ(SPACE).update(*maps, "a")


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ((), "different ratios"),
        ((1.1, 1.1), "different ratios"),
        ((1.1, 1), "above 1"),
        ((np.nan,), "above 1"),
    ],
)
def test_unusable_thresholds_are_refused(thresholds, message):
    with pytest.raises(ValueError, match=message):
        DepthAwareSTQ(SPACE, thresholds)


def test_metrics_of_different_thresholds_do_not_merge():
    with pytest.raises(ValueError, match="one thresholds merge"):
        DepthAwareSTQ(SPACE).merge(DepthAwareSTQ(SPACE, (1.25,)))
