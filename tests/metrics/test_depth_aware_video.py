import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from keras_deeplab.labels import CITYSCAPES, LABEL_SPACES, LabelSpace
from keras_deeplab.metrics import DepthAwareVPQ, PanopticQuality, VideoPanopticQuality
from tests.references import SOURCES, load_component

SPACE = LabelSpace(
    "small", classes=("road", "sky", "car", "person"), things=(2, 3), ignore_label=9, label_divisor=10
)
ROWS = ("iou", "true_positives", "false_negatives", "false_positives")


def measure(truth, prediction, true_depth, predicted_depth, **settings):
    """The result of one frame."""
    metric = DepthAwareVPQ(SPACE, **{"windows": (1,)} | settings)
    metric.update(truth, prediction, true_depth, predicted_depth, "0001", 0)
    return metric.result()


def reference_metrics(source):
    """Each case of the references, counted with its own thresholds, which include 0."""
    arrays, meta = load_component("c05_video_depth", source)
    for case in (name for name in meta["cases"] if name.startswith("seq")):
        outputs = {key.rsplit("/", 1)[1]: arrays[key] for key in arrays if key.startswith(f"{case}/out/")}
        thresholds = sorted({key.split("_")[1] for key in outputs if key.startswith("dvpq_lam")})
        metric = DepthAwareVPQ(CITYSCAPES, thresholds=[float(t.removeprefix("lam")) for t in thresholds])
        for i in range(6):
            depths = (arrays[f"{case}/in/depth_{kind}_x256_{i}"] for kind in ("gt", "pred"))
            depths = (depth.astype(np.float32) / 256 for depth in depths)
            metric.update(arrays[f"{case}/in/gt{i}"], arrays[f"{case}/in/pred{i}"], *depths, case, i)
        yield metric, outputs


def script_counts(outputs, threshold, length):
    """What ViP-DeepLab's script counts, without its class for void predictions."""
    return outputs[f"dvpq_lam{threshold:g}_k{length}_iou_tp_fn_fp_20cls"][:, :-1]


@pytest.mark.parametrize("source", SOURCES)
def test_counts_equal_the_script_of_vip_deeplab(source):
    for metric, outputs in reference_metrics(source):
        assert metric.thresholds == (0, 0.1, 0.25, 0.5)
        for threshold in metric.thresholds:
            for k in metric.windows:
                counts = metric.match_windows(threshold, k)
                expected = script_counts(outputs, threshold, k)
                np.testing.assert_allclose([counts[name] for name in ROWS], expected, rtol=1e-12)


@pytest.mark.parametrize("source", SOURCES)
def test_the_mean_is_over_classes_that_occur_and_the_script_s_over_all(source):
    for metric, outputs in reference_metrics(source):
        result = metric.result()
        values = []
        for threshold in metric.thresholds:
            for k in metric.windows:
                iou, tp, fn, fp = script_counts(outputs, threshold, k)
                with np.errstate(invalid="ignore"):
                    cityscapes = iou / (tp + fn / 2 + fp / 2)
                semkitti = iou / (tp + fn / 2 + fp / 2 + 1e-10)
                values.append(np.nanmean(cityscapes))
                ours = result[f"dvpq_{k}_at_{threshold}"]
                np.testing.assert_allclose(ours, values[-1], rtol=1e-12)
                # There are absent classes: NaN for one of the scripts, 0 for the other.
                occurring = np.count_nonzero(tp + fn + fp)
                assert occurring < 19
                assert np.isnan(cityscapes.mean())
                np.testing.assert_allclose(semkitti.mean(), ours * occurring / 19, rtol=1e-9)
                np.testing.assert_allclose(
                    result["per_class"][f"dvpq_{k}_at_{threshold}"], cityscapes, rtol=1e-12
                )
        np.testing.assert_allclose(result["dvpq"], np.mean(values), rtol=1e-12)


@pytest.mark.parametrize("source", SOURCES)
def test_abs_rel_equals_deeplab2(source):
    # Frame 1 lacks predictions and has its own row. DeepLab2 computes in float32, hence 1e-6.
    for metric, outputs in reference_metrics(source):
        per_frame = outputs["depth_metrics_per_frame"][2]
        assert per_frame.size == 5
        errors = [*per_frame, outputs["depth_metrics_frame1_zero_pred"][2]]
        np.testing.assert_allclose(metric.result()["abs_rel"], np.mean(errors), rtol=1e-6)


maps = st_numpy.arrays(np.int32, (3, 4), elements=st.sampled_from([0, 10, 20, 21, 22, 31, 32, 90, 91]))
true_depths = st_numpy.arrays(
    np.float32, (3, 4), elements=st.sampled_from([0, 0.5, 1, 4, np.inf, np.nan, -1])
)
predicted_depths = st_numpy.arrays(np.float32, (3, 4), elements=st.sampled_from([0, 0.5, 0.75, 1, 1.25, 4]))
videos = st.lists(
    st.lists(st.tuples(maps, maps, true_depths, predicted_depths), max_size=4), min_size=1, max_size=3
)


def list_frames(sequences):
    """Arguments of `update` for each frame, whose numbers grow by 5."""
    return [
        (*frame, f"video {i}", 5 * number)
        for i, frames in enumerate(sequences)
        for number, frame in enumerate(frames)
    ]


def measure_side_by_side(sequences, threshold, length):
    """The same by other means: wrong pixels painted void, frames side by side, panoptic quality."""
    metric = PanopticQuality(SPACE)
    for frames in sequences:
        for start in range(len(frames) - length + 1):
            truth, prediction, true, predicted = (
                np.concatenate(arrays, axis=1) for arrays in zip(*frames[start : start + length], strict=True)
            )
            known = np.isfinite(true) & (true > 0)
            wrong = np.abs(predicted - np.where(known, true, 1)) > threshold * np.where(known, true, 1)
            metric.update(truth, np.where(known & wrong, SPACE.void, prediction))
    return metric.result()


@settings(max_examples=50)
@given(videos, st.randoms())
def test_pixels_of_wrong_depth_are_void(sequences, random):
    metric = DepthAwareVPQ(SPACE, windows=(1, 2, 3), thresholds=(0.5, 0.25, 1.0))
    frames = list_frames(sequences)
    random.shuffle(frames)
    for frame in frames:
        metric.update(*frame)
    result = metric.result()
    for threshold in metric.thresholds:
        for k in metric.windows:
            expected = measure_side_by_side(sequences, threshold, k)
            name = f"dvpq_{k}_at_{threshold}"
            np.testing.assert_allclose(result["per_class"][name], expected["per_class"]["pq"], rtol=1e-12)
            for group in ("", "_things", "_stuff"):
                np.testing.assert_allclose(result[name + group], expected["pq" + group], rtol=1e-12)


@settings(max_examples=30)
@given(videos, st.lists(st.booleans(), min_size=12, max_size=12))
def test_any_split_merges_to_the_whole(sequences, is_first):
    whole, first, second = (DepthAwareVPQ(SPACE, (1, 2)) for _ in range(3))
    for goes_first, frame in zip(is_first, list_frames(sequences), strict=False):
        whole.update(*frame)
        (first if goes_first else second).update(*frame)
    second.merge(first)
    np.testing.assert_equal(second.result(), whole.result())


@settings(max_examples=30)
@given(videos)
def test_counts_add_to_what_update_adds(sequences):
    updated, added = DepthAwareVPQ(SPACE, (1, 2)), DepthAwareVPQ(SPACE, (1, 2))
    for frame in reversed(list_frames(sequences)):
        updated.update(*frame)
        file = io.BytesIO()
        np.savez(file, **added.count(*frame))
        file.seek(0)
        with np.load(file, allow_pickle=False) as counts:
            added.add(dict(counts))
    np.testing.assert_equal(added.result(), updated.result())


@settings(max_examples=30)
@given(st.lists(st.tuples(maps, maps, predicted_depths), min_size=2, max_size=4))
def test_right_depth_and_threshold_0_give_video_panoptic_quality(frames):
    truth, prediction, depth = map(np.stack, zip(*frames, strict=True))
    plain = VideoPanopticQuality(SPACE, (1, 2))
    right, blind = DepthAwareVPQ(SPACE, (1, 2), (0.1,)), DepthAwareVPQ(SPACE, (1, 2), (0,))
    plain.update(truth, prediction, "a", range(len(frames)))
    right.update(truth, prediction, depth, depth, "a", range(len(frames)))
    blind.update(truth, prediction, depth, np.zeros_like(depth), "a", range(len(frames)))
    expected = plain.result()
    for result, threshold in ((right.result(), "0.1"), (blind.result(), "0.0")):
        for group in ("", "_things", "_stuff"):
            np.testing.assert_equal(result["dvpq" + group], expected["vpq" + group])
            np.testing.assert_equal(result[f"dvpq_2_at_{threshold}{group}"], expected["vpq_2" + group])
        np.testing.assert_equal(result["per_class"]["dvpq"], expected["per_class"]["vpq"])


@given(maps, true_depths)
def test_truth_as_prediction_is_perfect(truth, depth):
    result = measure(truth, truth, depth, np.nan_to_num(depth))
    occurs = ~np.isnan(result["per_class"]["dvpq"])
    np.testing.assert_array_equal(result["per_class"]["dvpq"][occurs], 1)
    assert result["dvpq"] == 1 if occurs.any() else np.isnan(result["dvpq"])
    is_known = ((depth > 0) & np.isfinite(depth)).any()
    assert result["abs_rel"] == 0 if is_known else np.isnan(result["abs_rel"])


def test_means_over_thresholds_and_windows():
    metric = DepthAwareVPQ(SPACE, windows=(1, 2), thresholds=(0.5, 0.25))
    car = np.array([[21, 21, 21, 21]])
    metric.update(car, car, np.full((1, 4), 10.0), np.array([[10.0, 13, 10, 10]]), "a", 0)
    metric.update(car, car, np.full((1, 4), 10.0), np.array([[10.0, 13, 16, 10]]), "a", 1)
    result = metric.result()
    expected = {
        "dvpq_1_at_0.5": (1 + 3 / 4) / 2,
        "dvpq_2_at_0.5": 7 / 8,
        "dvpq_1_at_0.25": 3 / 4 / (1 + 0.5 * 1 + 0.5 * 1),  # half of the second frame is no match
        "dvpq_2_at_0.25": 5 / 8,
    }
    expected |= {
        "dvpq_at_0.5": (expected["dvpq_1_at_0.5"] + expected["dvpq_2_at_0.5"]) / 2,
        "dvpq_at_0.25": (expected["dvpq_1_at_0.25"] + expected["dvpq_2_at_0.25"]) / 2,
        "dvpq_1": (expected["dvpq_1_at_0.5"] + expected["dvpq_1_at_0.25"]) / 2,
        "dvpq_2": (expected["dvpq_2_at_0.5"] + expected["dvpq_2_at_0.25"]) / 2,
    }
    expected["dvpq"] = (expected["dvpq_1"] + expected["dvpq_2"]) / 2
    for name, value in expected.items():
        assert result[name] == pytest.approx(value), name
        assert result[f"{name}_things"] == pytest.approx(value), name
        assert result["per_class"][name][2] == pytest.approx(value), name
        assert np.isnan(result[f"{name}_stuff"])
    assert result["abs_rel"] == pytest.approx((0.3 / 4 + 0.9 / 4) / 2)
    assert metric.match_windows(0.25, 1)["false_positives"].tolist() == [0, 0, 1, 0]


def test_an_error_of_exactly_the_threshold_is_right():
    car, depth = np.array([[21]]), np.array([[8.0]])
    assert measure(car, car, depth, 1.25 * depth, thresholds=(0.25,))["dvpq"] == 1
    assert measure(car, car, depth, 0.75 * depth, thresholds=(0.25,))["dvpq"] == 1
    assert measure(car, car, depth, np.nextafter(10.0, 11) + 0 * depth, thresholds=(0.25,))["dvpq"] == 0


def test_void_predictions_are_no_false_positives():
    metric = DepthAwareVPQ(SPACE, (1,), (0.5,))
    metric.update(np.array([[0, 21]]), np.array([[0, 21]]), np.ones((1, 2)), np.full((1, 2), 9.0), "a", 0)
    counts = metric.match_windows(0.5, 1)
    assert counts["false_positives"].sum() == 0
    assert counts["false_negatives"].tolist() == [1, 0, 1, 0]


def test_wrong_depth_counts_on_void_truth():
    # Most of the segment lies on void, which excuses it, unless its depth is wrong there.
    truth, prediction = np.array([[90, 90, 90, 0, 0, 0]]), np.array([[21, 21, 21, 21, 0, 0]])
    right, wrong = np.ones((1, 6)), np.array([[9.0, 9, 1, 1, 1, 1]])
    counts = []
    for predicted_depth in (right, wrong):
        metric = DepthAwareVPQ(SPACE, (1,), (0.5,))
        metric.update(truth, prediction, right, predicted_depth, "a", 0)
        counts.append(metric.match_windows(0.5, 1)["false_positives"].tolist())
    assert counts == [[0, 0, 0, 0], [0, 0, 1, 0]]


def test_infinite_predicted_depth_is_wrong():
    car = np.array([[21]])
    assert measure(car, car, np.ones((1, 1)), np.full((1, 1), np.inf))["dvpq"] == 0


def test_frames_without_known_depth_have_no_abs_rel():
    metric = DepthAwareVPQ(SPACE, (1,))
    car = np.array([[21]])
    metric.update(car, car, np.zeros((1, 1)), np.full((1, 1), np.nan), "a", 0)
    assert np.isnan(metric.result()["abs_rel"])
    metric.update(car, car, np.full((1, 1), 2.0), np.full((1, 1), 3.0), "a", 1)
    result = metric.result()
    assert result["abs_rel"] == 0.5
    assert result["dvpq_at_0.5"] == 1
    assert result["dvpq_at_0.25"] == 1 / (1 + 0.5)


def test_a_predicted_nan_counts_only_where_depth_is_known():
    truth = np.zeros((2, 3), int)
    true, predicted = np.array([[1, 0, 2], [np.nan, 3, 4]]), np.full((2, 3), np.nan)
    predicted[0, 0] = 1
    with pytest.raises(ValueError, match="NaN at 3 of the 4 pixels whose true depth is known"):
        measure(truth, truth, true, predicted)
    predicted[true > 0] = 1
    assert measure(truth, truth, true, predicted, thresholds=(1,))["dvpq"] == 1


def test_semkitti_has_other_windows():
    metric = DepthAwareVPQ("semkitti_dvps", windows=(1, 5, 10, 20))
    truth = np.full((1, 2), 10 * LABEL_SPACES["semkitti_dvps"].label_divisor + 65_535)
    for frame in range(20):
        metric.update(truth, truth, np.ones((1, 2)), np.ones((1, 2)), 8, frame)
    result = metric.result()
    assert (result["dvpq"], result["dvpq_20"], result["dvpq_20_at_0.1"]) == (1, 1, 1)


def test_void_truth_counts_nothing():
    void = np.full((2, 3), SPACE.void)
    result = measure(void, np.arange(6).reshape(2, 3), np.ones((2, 3)), np.ones((2, 3)))
    assert np.isnan([result["dvpq"], result["dvpq_1"], result["dvpq_at_0.5_stuff"]]).all()


def test_void_prediction_misses_everything():
    result = measure(
        np.array([[0, 21]]), np.full((1, 2), SPACE.void), np.ones((1, 2)), np.array([[1.0, 9.0]])
    )
    np.testing.assert_array_equal(result["per_class"]["dvpq"], [0, np.nan, 0, np.nan])


def test_more_segments_than_16_bits_count():
    space = LabelSpace("many", classes=("cell",), things=(0,), label_divisor=100_000)
    truth = np.arange(1, 70_001).reshape(250, 280)
    metric = DepthAwareVPQ(space, (1,), (0.5,))
    metric.update(truth, truth, np.ones(truth.shape), np.where(truth % 2, 1.0, 2.0), "a", 0)
    assert metric.result()["dvpq"] == pytest.approx(35_000 / (35_000 + 0.5 * 35_000))


def test_a_frame_counts_once():
    metric = DepthAwareVPQ(SPACE, (1,))
    frame = (np.array([[21]]), np.array([[21]]), np.ones((1, 1)), np.full((1, 1), 1.2))
    metric.update(*frame, "a", 3)
    expected = metric.result()
    for add_again in (lambda: metric.update(*frame, "a", 3), lambda: metric.merge(metric)):
        with pytest.raises(ValueError, match="Frame 3 of the sequence 'a' was added before"):
            add_again()
        np.testing.assert_equal(metric.result(), expected)
    metric.reset()
    assert np.isnan([metric.result()["dvpq"], metric.result()["abs_rel"]]).all()
    metric.update(*frame, "a", 3)
    np.testing.assert_equal(metric.result(), expected)


@pytest.mark.parametrize(
    ("true_depth", "predicted_depth", "message"),
    [
        (
            np.ones((3, 2)),
            np.ones((3, 2)),
            r"depth maps must have the same shape.*\(1, 2, 3\) and \(1, 3, 2\), with",
        ),
        (np.ones((2, 3)), np.ones((2, 3, 1)), r"must have the same shape.*\(2, 3\) and \(2, 3, 1\)"),
        (np.ones((2, 3)), np.ones((2, 3), bool), "`predicted_depth` must hold metres.*dtype=bool"),
        (None, np.ones((2, 3)), "`true_depth` must hold metres.*dtype=object"),
    ],
)
def test_unusable_depth_is_named(true_depth, predicted_depth, message):
    truth = np.zeros((2, 3), int)
    with pytest.raises(ValueError, match=message):
        measure(truth, truth, true_depth, predicted_depth)


def test_unusable_maps_are_named():
    depth = np.ones((2, 3))
    with pytest.raises(ValueError, match="`prediction` holds the class 5"):
        measure(np.zeros((2, 3), int), np.full((2, 3), 57), depth, depth)
    with pytest.raises(ValueError, match="same shape"):
        measure(np.zeros((2, 3), int), np.zeros((3, 2), int), depth, depth)


@pytest.mark.parametrize("thresholds", [(), (-0.1,), (0.5, 0.5), (np.nan,)])
def test_unusable_thresholds_are_refused(thresholds):
    with pytest.raises(ValueError, match="`thresholds` must be different relative errors"):
        DepthAwareVPQ(SPACE, thresholds=thresholds)


def test_unusable_windows_are_refused():
    with pytest.raises(ValueError, match="`windows` must be different numbers"):
        DepthAwareVPQ(SPACE, windows=(0,))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (DepthAwareVPQ(SPACE, thresholds=(0.5,)), r"one thresholds merge.*\(0.5, 0.25, 0.1\) and \(0.5,\)"),
        (DepthAwareVPQ(SPACE, windows=(1, 2)), "one windows merge"),
        (DepthAwareVPQ("cityscapes"), "one label_space merge"),
        (VideoPanopticQuality(SPACE), "merges with its own kind"),
    ],
)
def test_metrics_of_other_settings_do_not_merge(other, message):
    with pytest.raises(ValueError, match=message):
        DepthAwareVPQ(SPACE).merge(other)
