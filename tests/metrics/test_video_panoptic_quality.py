import io
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from keras_deeplab.labels import CITYSCAPES, LabelSpace
from keras_deeplab.metrics import PanopticQuality, VideoPanopticQuality
from tests.references import SOURCES, load_component

SPACE = LabelSpace(
    "small", classes=("road", "sky", "car", "person"), things=(2, 3), ignore_label=9, label_divisor=10
)


def measure(truths, predictions, windows=(1, 2), convention="deeplab2", label_space=SPACE):
    """The result of one sequence."""
    metric = VideoPanopticQuality(label_space, windows, convention)
    metric.update(np.stack(truths), np.stack(predictions), "0001", np.arange(len(truths)))
    return metric.result()


def concatenate_windows(sequences, length, convention):
    """The same by other means: panoptic quality of images that are frames side by side."""
    metric = PanopticQuality(SPACE, convention)
    for frames in sequences:
        for start in range(len(frames) - length + 1):
            truths, predictions = zip(*frames[start : start + length], strict=True)
            metric.update(np.concatenate(truths, axis=1), np.concatenate(predictions, axis=1))
    return metric.result()


@pytest.mark.parametrize("source", SOURCES)
def test_equals_deeplab2(source):
    # DeepLab2 adds up in float32, hence 1e-6.
    arrays, meta = load_component("c05_video_depth", source)
    for case in (name for name in meta["cases"] if name.startswith("seq")):
        metric = VideoPanopticQuality(CITYSCAPES)
        for i in range(6):
            metric.update(arrays[f"{case}/in/gt{i}"], arrays[f"{case}/in/pred{i}"], case, i)
        result = metric.result()
        for k in metric.windows:
            counts = metric.match_windows(k)
            rows = [counts[n] for n in ("iou", "true_positives", "false_negatives", "false_positives")]
            np.testing.assert_allclose(rows, arrays[f"{case}/out/vpq_k{k}_iou_tp_fn_fp"], rtol=1e-6)
            row = [result["per_window"][name][k - 1] for name in ("vpq", "sq", "rq")]
            np.testing.assert_allclose(row, arrays[f"{case}/out/vpq_k{k}_result"][:3], atol=1e-6)
            np.testing.assert_allclose(result[f"vpq_{k}"], meta["cases"][case]["vpq"][str(k)], atol=1e-6)


# Classes with and without instances, crowd (20), void (90) and void with an instance (91).
maps = st_numpy.arrays(np.int32, (3, 4), elements=st.sampled_from([0, 10, 20, 21, 22, 31, 32, 90, 91]))
videos = st.lists(st.lists(st.tuples(maps, maps), max_size=5), min_size=1, max_size=3)
conventions = st.sampled_from(["deeplab2", "official"])


def list_frames(sequences):
    """Arguments of `update` for each frame, whose numbers grow by 5."""
    return [
        (truth, prediction, f"video {i}", 5 * number)
        for i, frames in enumerate(sequences)
        for number, (truth, prediction) in enumerate(frames)
    ]


@settings(max_examples=60)
@given(videos, conventions, st.randoms())
def test_a_window_is_an_image_of_frames_side_by_side(sequences, convention, random):
    metric = VideoPanopticQuality(SPACE, (1, 2, 3, 4), convention)
    frames = list_frames(sequences)
    random.shuffle(frames)
    for frame in frames:
        metric.update(*frame)
    result = metric.result()
    for i, k in enumerate(metric.windows):
        expected = concatenate_windows(sequences, k, convention)
        np.testing.assert_allclose(result["per_class"][f"vpq_{k}"], expected["per_class"]["pq"], rtol=1e-12)
        for group in ("", "_things", "_stuff"):
            np.testing.assert_allclose(result[f"vpq_{k}{group}"], expected["pq" + group], rtol=1e-12)
            for name, key in (("vpq", "pq"), ("sq", "sq"), ("rq", "rq")):
                row = result["per_window"][name + group]
                np.testing.assert_allclose(row[i], expected[key + group], rtol=1e-12)


@settings(max_examples=40)
@given(videos, st.lists(st.integers(0, 2), min_size=15, max_size=15), st.permutations(range(3)))
def test_any_split_merges_to_the_whole(sequences, part_of_frame, order):
    whole, *parts = (VideoPanopticQuality(SPACE) for _ in range(4))
    for part, frame in zip(part_of_frame, list_frames(sequences), strict=False):
        whole.update(*frame)
        parts[part].update(*frame)
    merged, *others = (parts[i] for i in order)
    for other in others:
        merged.merge(other)
    np.testing.assert_equal(merged.result(), whole.result())


@settings(max_examples=40)
@given(videos)
def test_counts_add_to_what_update_adds(sequences):
    updated, added = VideoPanopticQuality(SPACE), VideoPanopticQuality(SPACE)
    for frame in reversed(list_frames(sequences)):
        updated.update(*frame)
        file = io.BytesIO()
        np.savez(file, **added.count(*frame))
        file.seek(0)
        with np.load(file, allow_pickle=False) as counts:
            added.add(dict(counts))
    np.testing.assert_equal(added.result(), updated.result())


@given(st.lists(maps, min_size=2, max_size=5), conventions)
def test_truth_as_prediction_is_perfect(truths, convention):
    result = measure(truths, truths, convention=convention)
    for name in ("vpq", "vpq_1", "vpq_2"):
        occurs = ~np.isnan(result["per_class"][name])
        np.testing.assert_array_equal(result["per_class"][name][occurs], 1)
        assert result[name] == 1 if occurs.any() else np.isnan(result[name])


@given(st.lists(st.tuples(maps, maps), min_size=1, max_size=4), conventions, st.permutations(range(1, 10)))
def test_ids_that_are_consistent_in_time_do_not_matter(frames, convention, order):
    truths, predictions = map(np.stack, zip(*frames, strict=True))
    instance = predictions % 10
    renumbered = predictions - instance + np.array([0, *order])[instance]
    expected = measure(truths, predictions, convention=convention)
    np.testing.assert_equal(measure(truths, renumbered, convention=convention), expected)


def test_a_changed_id_counts_in_windows_that_see_both():
    truths = [np.array([[21, 21, 0, 0]])] * 3
    predictions = [np.array([[21, 21, 0, 0]]), np.array([[21, 21, 0, 0]]), np.array([[22, 22, 0, 0]])]
    result = measure(truths, predictions, windows=(1, 2, 3))
    # Car in windows of 2: found once; once half found, which is no match, by two wrong segments.
    car = [1, 1 / (1 + 0.5 * 1 + 0.5 * 2), (4 / 6) / (1 + 0.5 * 1)]
    np.testing.assert_allclose([result[f"vpq_{k}_things"] for k in (1, 2, 3)], car)
    np.testing.assert_allclose(result["per_class"]["vpq"], [1, np.nan, np.mean(car), np.nan])
    assert result["vpq_stuff"] == 1
    assert result["vpq_things"] == pytest.approx(np.mean(car))
    assert result["vpq"] == pytest.approx(np.mean([(1 + value) / 2 for value in car]))
    assert result["per_window"]["length"].tolist() == [1, 2, 3]


def test_frames_are_in_the_order_of_their_numbers():
    maps_of_frame = {9: 21, 10: 22, 200: 22}
    results = []
    for order in itertools.permutations(maps_of_frame):
        metric = VideoPanopticQuality(SPACE, windows=(2,))
        for number in order:
            metric.update(np.array([[21]]), np.array([[maps_of_frame[number]]]), "a", number)
        results.append(metric.match_windows(2))
    # 9 and 10 share a half, 10 and 200 a whole segment; as text, 10 would come first.
    for counts in results:
        assert (counts["true_positives"][2], counts["iou"][2]) == (1, 1)
        assert (counts["false_negatives"][2], counts["false_positives"][2]) == (1, 2)


def test_windows_stay_within_a_sequence():
    metric = VideoPanopticQuality(SPACE, windows=(1, 2))
    for sequence in ("a", "b"):
        metric.update(np.array([[21]]), np.array([[21]]), sequence, 0)
    result = metric.result()
    assert result["vpq_1"] == 1
    assert np.isnan([result["vpq_2"], result["vpq"], result["vpq_2_things"]]).all()


def test_a_short_sequence_has_no_long_window():
    metric = VideoPanopticQuality(SPACE, windows=(1, 3))
    right, wrong = np.array([[21]]), np.array([[31]])
    for frame in range(2):
        metric.update(right, wrong, "short", frame)
    for frame in range(3):
        metric.update(right, right, "long", frame)
    result = metric.result()
    assert result["per_class"]["vpq_1"][2] == 3 / (3 + 0.5 * 2)
    assert result["vpq_3"] == 1


def test_numbers_name_sequences_like_text():
    metric, rest = VideoPanopticQuality(SPACE), VideoPanopticQuality(SPACE)
    metric.update(np.array([[21]]), np.array([[21]]), 1, 0)
    rest.update(np.array([[21]]), np.array([[21]]), np.str_("1"), np.uint8(1))
    metric.merge(rest)
    assert metric.result()["vpq_2"] == 1


def test_a_batch_may_hold_several_sequences():
    batch, one_by_one = VideoPanopticQuality(SPACE), VideoPanopticQuality(SPACE)
    rng = np.random.default_rng(0)
    truth, prediction = rng.choice([0, 10, 21, 22, 90], (2, 6, 4, 5))
    names = ["a", "a", "bb", "bb", "bb", "a"], [0, 1, 0, 1, 2, 2]
    batch.update(truth, prediction, *names)
    for frame in zip(truth, prediction, *names, strict=True):
        one_by_one.update(*frame)
    np.testing.assert_equal(batch.result(), one_by_one.result())


def test_void_truth_counts_nothing():
    result = measure([np.full((3, 4), SPACE.void)] * 2, [np.arange(12).reshape(3, 4)] * 2)
    assert np.isnan([result["vpq"], result["vpq_1"], result["vpq_2_stuff"]]).all()


def test_void_prediction_misses_everything():
    result = measure([np.array([[0, 0, 21, 22]])] * 2, [np.full((1, 4), SPACE.void)] * 2)
    np.testing.assert_array_equal(result["per_class"]["vpq"], [0, np.nan, 0, np.nan])
    assert (result["vpq"], result["vpq_things"], result["vpq_stuff"]) == (0, 0, 0)


def test_crowd_follows_the_convention():
    truths, predictions = [np.array([[20, 20, 0, 0]])] * 2, [np.array([[21, 21, 0, 0]])] * 2
    assert measure(truths, predictions)["vpq"] == 1
    assert measure(truths, predictions, convention="official")["vpq"] == 1
    crowds = [np.array([[20, 20, 0, 0]]), np.array([[22, 21, 0, 0]])]
    assert measure(truths, crowds, windows=(2,))["vpq_2_things"] == 0  # two halves are no match
    assert np.isnan(measure(truths, crowds, windows=(2,), convention="official")["vpq_2_things"])


def test_more_segments_than_16_bits_count():
    space = LabelSpace("many", classes=("cell",), things=(0,), label_divisor=100_000)
    truth = np.arange(1, 70_001).reshape(250, 280)
    prediction = np.where(truth % 2, truth, space.void)
    result = measure([truth] * 2, [prediction] * 2, label_space=space)
    assert result["vpq_2"] == pytest.approx(35_000 / (35_000 + 0.5 * 35_000))


def test_ids_up_to_the_largest_int32():
    names = [str(i) for i in range(127)]
    space = LabelSpace("top", classes=names, things=(126,), ignore_label=127, label_divisor=2**24)
    for dtype in (np.int32, np.uint32, np.int64, np.uint64):
        truth = np.array([[127 * 2**24 - 1, 127 * 2**24 - 1, space.void, 5]], dtype)
        assert measure([truth] * 2, [truth] * 2, label_space=space)["vpq"] == 1


def test_nothing_counted_is_nan():
    metric = VideoPanopticQuality(SPACE)
    assert np.isnan(metric.result()["vpq"])
    metric.update(np.zeros((0, 2, 2), int), np.zeros((0, 2, 2), int), "a", np.zeros(0, int))
    metric.update(np.zeros((0, 2), int), np.zeros((0, 2), int), "a", 0)
    assert np.isnan(metric.result()["vpq_1"])


def test_result_and_count_change_nothing():
    metric = VideoPanopticQuality(SPACE, windows=(1,))
    metric.update(np.array([[21, 0]]), np.array([[21, 0]]), "a", 0)
    first = metric.result()
    metric.count(np.array([[21, 0]]), np.array([[31, 10]]), "a", 1)
    np.testing.assert_equal(metric.result(), first)


def test_reset_forgets():
    metric = VideoPanopticQuality(SPACE, windows=(1,))
    metric.update(np.array([[0]]), np.array([[10]]), "a", 0)
    metric.reset()
    metric.update(np.array([[0]]), np.array([[0]]), "a", 0)
    assert metric.result()["vpq"] == 1


def test_a_frame_counts_once():
    metric, other = VideoPanopticQuality(SPACE), VideoPanopticQuality(SPACE)
    image = np.array([[21]])
    metric.update(image, image, "a", 3)
    other.update(np.stack([image] * 2), np.stack([image] * 2), "a", [2, 3])
    expected = metric.result()
    for add_again in (
        lambda: metric.update(image, image, "a", 3),
        lambda: metric.merge(other),
        lambda: metric.merge(metric),
        lambda: metric.update(np.stack([image] * 2), np.stack([image] * 2), ["a", "a"], [2, 3]),
    ):
        with pytest.raises(ValueError, match="Frame 3 of the sequence 'a' was added before"):
            add_again()
        np.testing.assert_equal(metric.result(), expected)
    with pytest.raises(ValueError, match="Frame 7 of the sequence 'b' was added before"):
        metric.update(np.stack([image] * 2), np.stack([image] * 2), "b", 7)


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        (np.zeros((2, 3), int), np.zeros((3, 2), int), r"same shape.*\(2, 3\) and \(3, 2\)"),
        (np.zeros((2, 3), int), np.zeros((2, 3)), "`prediction` must hold integers.*float64"),
        (np.full((2, 3), 40), np.zeros((2, 3), int), "`truth` holds the class 4"),
        (np.zeros((2, 3), int), np.full((2, 3), 57), "`prediction` holds the class 5"),
        (np.zeros((2, 3), int), np.full((2, 3), -1), "`prediction` must hold values from 0"),
    ],
)
def test_unusable_maps_are_named(truth, prediction, message):
    with pytest.raises(ValueError, match=message):
        VideoPanopticQuality(SPACE).update(truth, prediction, "a", 0)


@pytest.mark.parametrize(
    ("sequence", "frame", "message"),
    [
        ("a", 0.5, "`frame` must be an integer. Received: dtype=float64"),
        ("a", "0", "`frame` must be an integer"),
        (None, 0, "`sequence` must be the name or the number of a video. Received: dtype=object"),
        (["a", "b"], 0, r"`sequence` must be one value per map, of which there are 3.*\(2,\)"),
        ("a", [[0], [1], [2]], r"`frame` must be one value per map.*\(3, 1\)"),
    ],
)
def test_unusable_frame_names_are_refused(sequence, frame, message):
    with pytest.raises(ValueError, match=message):
        VideoPanopticQuality(SPACE).update(
            np.zeros((3, 1, 1), int), np.zeros((3, 1, 1), int), sequence, frame
        )


@pytest.mark.parametrize("windows", [(), (0, 1), (1, 1), (1.5,), (True,), 4, "12"])
def test_unusable_windows_are_refused(windows):
    with pytest.raises(ValueError, match="`windows` must be different numbers of frames"):
        VideoPanopticQuality(SPACE, windows)


def test_an_unknown_convention_is_refused():
    with pytest.raises(ValueError, match="convention='coco'"):
        VideoPanopticQuality(SPACE, convention="coco")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (VideoPanopticQuality(SPACE, convention="official"), "one convention merge"),
        (VideoPanopticQuality(SPACE, windows=(1, 2)), r"one windows merge.*\(1, 2\)"),
        (VideoPanopticQuality("cityscapes"), "one label_space merge"),
        (PanopticQuality(SPACE), "merges with its own kind"),
    ],
)
def test_metrics_of_other_settings_do_not_merge(other, message):
    with pytest.raises(ValueError, match=message):
        VideoPanopticQuality(SPACE).merge(other)
