import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from keras_deeplab.metrics import DepthMetrics, MeanIoU
from keras_deeplab.metrics.depth import ERRORS
from tests.references import SOURCES, load_component

# DeepLab2's names for what it computes, in the order of the reference.
DEEPLAB2 = ("silog", "sq_rel", "abs_rel", "inlier_1.25")


def measure(*pairs):
    metric = DepthMetrics()
    for truth, prediction in pairs:
        metric.update(np.asarray(truth), np.asarray(prediction))
    return metric.result()


def reference_depths(arrays, case):
    count = sum(key.startswith(f"{case}/in/depth_gt_x256_") for key in arrays)
    for i in range(count):
        truth, prediction = (arrays[f"{case}/in/depth_{kind}_x256_{i}"] for kind in ("gt", "pred"))
        yield truth.astype(np.float32) / 256, prediction.astype(np.float32) / 256


@pytest.mark.parametrize("source", SOURCES)
def test_equals_deeplab2(source):
    arrays, meta = load_component("c05_video_depth", source)
    cases = [case for case in meta["cases"] if case.startswith("seq")]
    assert cases
    for case in cases:
        frames = list(reference_depths(arrays, case))
        with_zeros = frames.pop(1)
        assert (with_zeros[1][with_zeros[0] > 0] == 0).any()
        # DeepLab2 computed in float32.
        result = measure(*frames)
        expected = arrays[f"{case}/out/depth_metrics_frames_except_1"]
        np.testing.assert_allclose([result[name] for name in DEEPLAB2], expected, rtol=1e-6, err_msg=case)
        assert result["images"] == len(frames)
        for frame, expected in zip(frames, arrays[f"{case}/out/depth_metrics_per_frame"].T, strict=True):
            result = measure(frame)
            np.testing.assert_allclose([result[n] for n in DEEPLAB2], expected, rtol=1e-6, err_msg=case)
        result = measure(with_zeros)
        expected = arrays[f"{case}/out/depth_metrics_frame1_zero_pred"]
        np.testing.assert_allclose([result[n] for n in DEEPLAB2], expected, rtol=1e-6, err_msg=case)


def test_values_of_a_small_example():
    result = measure(([[10.0, 20.0, 0.0]], [[11.0, 32.0, 7.0]]))
    logs = np.log([1.1, 1.6])
    assert result == {
        "silog": pytest.approx(100 * abs(logs[1] - logs[0]) / 2),
        "abs_rel": pytest.approx((0.1 + 0.6) / 2),
        "sq_rel": pytest.approx((0.01 + 0.36) / 2),
        "rmse": pytest.approx(((1 + 144) / 2) ** 0.5),
        "inlier_1.25": 0.5,
        "inlier_1.25^2": 0.5,
        "inlier_1.25^3": 1.0,
        "images": 1,
    }


def test_a_ratio_at_the_threshold_is_no_inlier():
    assert measure(([[4.0, 5.0]], [[5.0, 4.0]]))["inlier_1.25"] == 0


@pytest.mark.parametrize("unknown", [0.0, -1.0, np.nan, np.inf])
def test_unknown_depth_does_not_count(unknown):
    result = measure(([[10.0, unknown]], [[11.0, np.nan]]))
    assert result["abs_rel"] == pytest.approx(0.1)


def test_images_without_known_depth_do_not_count():
    with_none = measure(([[10.0]], [[11.0]]), ([[0.0]], [[3.0]]), ([[10.0]], [[13.0]]))
    assert with_none["abs_rel"] == pytest.approx(0.2)
    assert with_none["images"] == 2
    alone = measure(([[0.0]], [[3.0]]))
    assert np.isnan([alone[name] for name in ERRORS]).all()
    assert alone["images"] == 0


def test_every_image_weighs_the_same():
    large, small = (np.full((1, 9), 10.0), np.full((1, 9), 11.0)), ([[10.0]], [[13.0]])
    assert measure(large, small)["abs_rel"] == pytest.approx((0.1 + 0.3) / 2)


def test_a_predicted_depth_of_zero_is_no_inlier_and_ruins_silog():
    result = measure(([[10.0, 10.0]], [[0.0, 10.0]]))
    assert np.isnan(result["silog"])
    assert (result["abs_rel"], result["inlier_1.25^3"]) == (0.5, 0.5)


depths = st_numpy.arrays(np.float32, (3, 4), elements=st.sampled_from([0, 0.5, 1, 2, 7, 80]))
predictions = st_numpy.arrays(np.float32, (3, 4), elements=st.floats(0.125, 128, width=32))


@given(depths)
def test_truth_as_prediction_is_perfect(depth):
    result = measure((depth, depth))
    if depth.any():
        assert [result[name] for name in ERRORS] == [0, 0, 0, 0, 1, 1, 1]


@given(depths, predictions, st.sampled_from([0.25, 0.5, 4.0]))
def test_silog_does_not_see_a_common_scale(depth, prediction, scale):
    ours, scaled = measure((depth, prediction)), measure((depth, prediction * np.float32(scale)))
    np.testing.assert_allclose(scaled["silog"], ours["silog"], rtol=1e-9, atol=1e-9)


@given(st.lists(st.tuples(depths, predictions), min_size=1, max_size=5), st.integers(0, 5))
def test_parts_merge_to_the_whole_in_any_order(pairs, split):
    whole, first, second = DepthMetrics(), DepthMetrics(), DepthMetrics()
    for index, pair in enumerate(pairs):
        whole.update(*pair)
        (first if index < split else second).update(*pair)
    second.merge(first)
    np.testing.assert_equal(second.result(), whole.result())


@given(st.lists(st.tuples(depths, predictions), min_size=1, max_size=5))
def test_counting_apart_and_batches_equal_update(pairs):
    metric = DepthMetrics()
    counts = [metric.count(*pair) for pair in pairs]
    assert metric.result()["images"] == 0
    for count in counts:
        metric.add(count)
    expected = measure(*pairs)
    np.testing.assert_equal(metric.result(), expected)
    np.testing.assert_equal(measure([np.stack(maps) for maps in zip(*pairs, strict=True)]), expected)


def test_reset_forgets():
    metric = DepthMetrics()
    metric.update(np.ones((1, 1)), np.ones((1, 1)))
    metric.reset()
    assert metric.result()["images"] == 0


KNOWN = np.ones((2, 3))


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        (KNOWN, np.ones((3, 2)), r"same shape.*resize.*\(2, 3\) and \(3, 2\)"),
        (KNOWN, KNOWN.astype(np.uint16), "`predicted_depth` must hold metres as floats.*uint16"),
        (KNOWN[0], KNOWN[0], r"`true_depth` must have the shape"),
        (KNOWN, np.where(np.eye(2, 3), np.nan, 1), "NaN at 2 of the 6 pixels.*set the true depth to 0"),
    ],
)
def test_unusable_maps_are_named(truth, prediction, message):
    with pytest.raises(ValueError, match=message):
        measure((truth, prediction))


def test_only_depth_metrics_merge():
    with pytest.raises(ValueError, match="DepthMetrics merges with its own kind"):
        DepthMetrics().merge(MeanIoU("cityscapes"))
