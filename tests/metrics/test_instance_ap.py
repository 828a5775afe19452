import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from keras_deeplab.data import Cityscapes
from keras_deeplab.labels import CITYSCAPES, LabelSpace
from keras_deeplab.metrics import InstanceAP
from tests.references import DATA, SOURCES, load_component

SPACE = LabelSpace(
    "small", classes=("road", "sky", "car", "person"), things=(2, 3), ignore_label=9, label_divisor=10
)
STATISTICS = [
    *("ap", "ap_50", "ap_75", "ap_small", "ap_medium", "ap_large"),
    *("ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large"),
]


def measure(truth, prediction, score=None, instance_score=None, label_space=SPACE):
    metric = InstanceAP(label_space)
    metric.update(truth, prediction, score, instance_score)
    return metric.result()


def statistics(result):
    """The numbers that pycocotools prints, with its -1 for what has nothing to find."""
    return np.nan_to_num([result[name] for name in STATISTICS], nan=-1)


def reference_images(arrays, name, case):
    for i in range(case["n_images"]):
        image = {key: arrays[f"{name}/in/{key}{i}"] for key in ("gt", "pred", "instance_score_x64_", "crowd")}
        score = arrays.get(
            f"{name}/in/semantic_scores_x64_{i}", arrays.get(f"{name}/in/semantic_probs_x64_{i}")
        )
        if score is None:  # as the note of the reference says
            score = np.broadcast_to(
                np.arange(1, case["num_classes"] + 1) * 2, (*image["gt"].shape, case["num_classes"])
            )
        yield (
            *(image["gt"], image["pred"], score / np.float32(64)),
            *(image["instance_score_x64_"] / np.float32(64), image["crowd"]),
        )


def sort_rows(*columns):
    rows = np.stack(columns, axis=-1)
    return rows[np.lexsort(np.round(rows, 5).T[::-1])]


# DeepLab2 averages scores in float32, this metric in float64.
@pytest.mark.parametrize("source", SOURCES)
def test_equals_deeplab2(source):
    arrays, meta = load_component("c05_instance_ap", source)
    for name, case in meta["cases"].items():
        if "n_images" not in case:
            continue
        classes = [f"class {i}" for i in range(case["num_classes"])]
        space = LabelSpace(
            "reference", classes, case["things"], ignore_label=case["ignore"], label_divisor=case["div"]
        )
        metric, found = InstanceAP(space), []
        for number, (truth, prediction, score, instance_score, crowd) in enumerate(
            reference_images(arrays, name, case), start=1
        ):
            is_thing = np.isin(truth // case["div"], case["things"])
            np.testing.assert_array_equal(crowd, is_thing & (truth % case["div"] == 0), err_msg=name)
            counts = metric.count(truth, prediction, score, instance_score)
            metric.add(counts)
            found.append(counts | {"number": number})

        true_rows, predicted_rows = [
            sort_rows(
                np.concatenate([c[f"{side}_image"] + c["number"] for c in found]),
                *(np.concatenate([c[f"{side}_{key}"] for c in found]) for key in keys),
            )
            for side, *keys in (("truth", "class", "crowd", "area"), ("prediction", "class", "score"))
        ]
        outputs = {key: arrays[f"{name}/out/{key}"] for key in ("stats12", "det_image_cat_score")}
        expected = arrays[f"{name}/out/gt_image_cat_crowd_area"]
        np.testing.assert_array_equal(true_rows, sort_rows(*expected.T), err_msg=name)
        expected = sort_rows(*outputs["det_image_cat_score"].T)
        np.testing.assert_allclose(predicted_rows, expected, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(statistics(metric.result()), outputs["stats12"], atol=1e-6, err_msg=name)


def write_coco(folder, pairs, label_space):
    """Maps and scores as COCO's files, by other means than the package's own."""
    annotations, detections, categories = [], [], []
    for class_id in label_space.things:
        categories.append({"id": class_id, "name": label_space.classes[class_id]})
    for image, (truth, prediction, score) in enumerate(pairs):
        for panoptic, found in ((truth, annotations), (prediction, detections)):
            for value in np.unique(panoptic):
                class_id, instance = divmod(int(value), label_space.label_divisor)
                if class_id not in label_space.things:
                    continue
                code = mask.encode(np.asfortranarray(panoptic == value).view(np.uint8))
                entry = {"image_id": image, "category_id": class_id, "segmentation": code}
                code["counts"] = code["counts"].decode()
                if found is annotations:
                    area = int((panoptic == value).sum())
                    entry |= {"id": len(found) + 1, "iscrowd": int(instance == 0), "area": area}
                else:
                    entry["score"] = float(score[panoptic == value].mean(dtype=np.float64))
                found.append(entry)
    images = [{"id": i, "height": t.shape[0], "width": t.shape[1]} for i, (t, _, _) in enumerate(pairs)]
    truth = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "prediction.json").write_text(json.dumps(detections))


def evaluate_files(folder):
    truth = COCO(folder / "truth.json")
    evaluation = COCOeval(truth, truth.loadRes(str(folder / "prediction.json")), "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats


def street_maps(rng, count, size=(240, 320)):
    """Truth, disturbed prediction and score, with stuff, instances of all area ranges, crowd and void."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    for _ in range(count):
        truth = np.where(rows < size[0] // 2, 10_000, 0)
        for instance in range(25):
            y, x = rng.integers(size[0]), rng.integers(size[1])
            radius = max(75 - 6 * instance, 5) + rng.integers(5)
            value = int(rng.choice([11_000, 13_000])) + int(instance if rng.random() < 0.8 else 0)
            region = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
            truth[region] = CITYSCAPES.void if instance % 9 == 5 else value
        prediction = np.roll(truth, (2, 1), axis=(0, 1))
        prediction[prediction % 5 == 3] += 400
        prediction[prediction % 7 == 2] = 0
        prediction[(prediction > 13_000) & (columns > 300)] = 18_001
        yield truth.astype(np.int32), prediction.astype(np.int32), rng.random(size)


def test_equals_pycocotools_on_files(tmp_path):
    pairs = list(street_maps(np.random.default_rng(3), 5))
    write_coco(tmp_path, pairs, CITYSCAPES)
    expected = evaluate_files(tmp_path)
    assert (expected > 0).all(), "every statistic must say something"
    result = measure(*(np.stack(maps) for maps in zip(*pairs, strict=True)), label_space=CITYSCAPES)
    np.testing.assert_allclose(statistics(result), expected, rtol=1e-12)


@pytest.mark.skipif(not (DATA / "cityscapes").is_dir(), reason="needs Cityscapes")
def test_equals_pycocotools_on_files_of_real_maps(tmp_path):
    rng, pairs = np.random.default_rng(0), []
    reader = Cityscapes(DATA / "cityscapes", split="val", images=False)
    for index in range(3):
        truth = reader.load_panoptic(index)[::2, ::2]
        prediction = np.roll(truth, (2, 1), axis=(0, 1))
        prediction[prediction % 4 == 3] = 0
        pairs.append((truth, prediction, rng.random(truth.shape)))
    write_coco(tmp_path, pairs, CITYSCAPES)
    result = measure(*(np.stack(maps) for maps in zip(*pairs, strict=True)), label_space=CITYSCAPES)
    np.testing.assert_allclose(statistics(result), evaluate_files(tmp_path), rtol=1e-12)


maps = st_numpy.arrays(np.int32, (5, 6), elements=st.sampled_from([0, 10, 20, 21, 22, 30, 31, 32, 33, 90]))


@settings(max_examples=40, deadline=None)
@given(maps)
def test_truth_as_prediction_is_perfect(truth):
    result = measure(truth, truth)
    for class_id in range(4):
        has_instances = class_id in SPACE.things and np.isin(truth, class_id * 10 + np.arange(1, 10)).any()
        for name in ("ap", "ap_50", "ap_75", "ap_small", "ar_10", "ar_100", "ar_small"):
            expected = 1 if has_instances else np.nan
            np.testing.assert_allclose(result["per_class"][name][class_id], expected, rtol=1e-12)
    np.testing.assert_allclose(result["ap"], 1 if (truth % 10 > 0).any() else np.nan)


@settings(max_examples=40, deadline=None)
@given(maps, st.integers(0, 6), st.permutations(range(1, 10)), st.permutations(range(1, 10)))
def test_instance_numbers_do_not_matter(truth, wrong_columns, true_order, order):
    def renumber(panoptic, numbers):
        return panoptic - panoptic % 10 + np.array([0, *numbers])[panoptic % 10]

    prediction = np.where(np.arange(6) < wrong_columns, np.roll(truth, 1, axis=0), truth)
    expected = measure(truth, prediction)
    result = measure(renumber(truth, true_order), renumber(prediction, order))
    np.testing.assert_equal(result, expected)


@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 1)])
def test_among_equal_scores_the_place_decides(first, second):
    truth, prediction = np.array([[21, 21, 0, 0]]), np.array([[first, first, 0, second]]) + 20
    prediction[0, 2] = 0
    np.testing.assert_allclose(measure(truth, prediction)["ap"], 1)
    np.testing.assert_allclose(measure(truth[:, ::-1], prediction[:, ::-1])["ap"], 0.5)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(maps, maps), min_size=1, max_size=5), st.integers(0, 5), st.randoms())
def test_parts_in_any_order_merge_to_the_whole(pairs, split, random):
    whole, first, second = (InstanceAP(SPACE) for _ in range(3))
    for pair in pairs:
        whole.update(*pair)
    shuffled = random.sample(pairs, len(pairs))
    for index, pair in enumerate(shuffled):
        counting = InstanceAP(SPACE)
        (first if index < split else second).add(counting.count(*pair))
        assert counting.parts == []
    first.merge(second)
    np.testing.assert_equal(first.result(), whole.result())


@settings(max_examples=20, deadline=None)
@given(maps, maps)
def test_a_batch_counts_every_image_by_itself(first, second):
    scores = np.random.default_rng(0).random((2, 5, 6))
    one_by_one, batch = InstanceAP(SPACE), InstanceAP(SPACE)
    one_by_one.update(first, second, scores[0], scores[1])
    one_by_one.update(second, first, scores[1], scores[0])
    batch.update(np.stack([first, second]), np.stack([second, first]), scores, scores[::-1])
    np.testing.assert_equal(batch.result(), one_by_one.result())


def test_counts_are_flat_arrays_of_instances():
    truth = np.array([[[20, 21, 21], [0, 31, 90]], [[0, 0, 0], [0, 0, 31]]])
    prediction = np.where(truth == 21, 90, truth)
    counts = InstanceAP(SPACE).count(truth, prediction, score=np.full(truth.shape, 0.5))
    assert {name: values.tolist() for name, values in counts.items() if not name.endswith("codes")} == {
        "sizes": [[2, 3], [2, 3]],
        "truth_image": [0, 0, 0, 1],
        "truth_class": [2, 2, 3, 3],
        "truth_area": [1, 2, 1, 1],
        "truth_crowd": [True, False, False, False],
        "truth_code_length": [3, 5, 3, 2],
        "prediction_image": [0, 0, 1],
        "prediction_class": [2, 3, 3],
        "prediction_area": [1, 1, 1],
        "prediction_score": [0.5, 0.5, 0.5],
        "prediction_code_length": [3, 3, 2],
    }
    assert counts["truth_codes"].tobytes() == b"015" + b"21100" + b"312" + b"51"
    assert counts["prediction_codes"].tobytes() == b"015" + b"312" + b"51"
    assert all(array.dtype != object for array in counts.values())


def test_scores_are_products_of_means():
    prediction = np.array([[20, 21, 21, 21, 90, 90]])
    score, instance_score = np.array([[[0.5, 0.25, 0.5, 0.75, 1, 1]], [[0.5, 0.1, 0.1, 0.4, 1, 1]]])
    metric = InstanceAP(SPACE)

    def scores(*arguments):
        return metric.count(prediction, prediction, *arguments)["prediction_score"]

    np.testing.assert_allclose(scores(), [1, 1])
    np.testing.assert_allclose(scores(score), [0.5, 0.5])
    np.testing.assert_allclose(scores(None, instance_score), [0.5, 0.2])
    np.testing.assert_allclose(scores(score, instance_score), [0.25, 0.1])


def test_scores_of_all_classes_are_read_at_the_class_of_each_pixel():
    prediction = np.array([[21, 31, 31, 90], [0, 21, 90, 32]])
    probabilities = np.random.default_rng(0).random((2, 4, 4))
    metric = InstanceAP(SPACE)
    score = np.take_along_axis(probabilities, np.minimum(prediction // 10, 3)[..., None], axis=-1)[..., 0]
    for wide, flat in ((probabilities, score), (probabilities.astype(np.float16), score.astype(np.float16))):
        np.testing.assert_array_equal(
            metric.count(prediction, prediction, wide)["prediction_score"],
            metric.count(prediction, prediction, flat)["prediction_score"],
        )


def test_a_confident_mistake_costs_more():
    truth, prediction = np.array([[21, 21, 0, 0]]), np.array([[21, 21, 22, 22]])
    score = np.array([[0.6, 0.6, 0.3, 0.3]])
    np.testing.assert_allclose(measure(truth, prediction, score)["ap"], 1)
    np.testing.assert_allclose(measure(truth, prediction, 1 - score)["ap"], 0.5)


def test_half_overlap_is_a_match_at_the_first_threshold_only():
    result = measure(np.array([[21, 21, 0, 0]]), np.array([[21, 0, 0, 0]]))
    np.testing.assert_allclose([result["ap"], result["ap_50"], result["ap_75"]], [0.1, 1, 0])


def test_predictions_on_crowd_are_not_counted():
    result = measure(np.array([[20, 20, 20, 21]]), np.array([[22, 23, 23, 21]]))
    np.testing.assert_allclose(result["ap"], 1)
    assert np.isnan(measure(np.array([[20, 20]]), np.array([[0, 0]]))["ap"])


def test_instance_0_of_a_prediction_is_a_segment():
    np.testing.assert_allclose(measure(np.array([[21, 21]]), np.array([[20, 20]]))["ap"], 1)


def test_nothing_found_is_zero_and_nothing_to_find_nan():
    # For truth without any detection, DeepLab2 gives 0 in all area ranges, also in those without truth.
    result = measure(np.array([[0, 21, 31]]), np.array([[0, 90, 90]]))
    found = {"ap", "ap_50", "ap_75", "ap_small", "ar_1", "ar_10", "ar_100", "ar_small"}
    assert {name for name in STATISTICS if result[name] == 0} == found
    assert {name for name in STATISTICS if np.isnan(result[name])} == set(STATISTICS) - found
    np.testing.assert_array_equal(result["per_class"]["ap"], [np.nan, np.nan, 0, 0])


@pytest.mark.parametrize("truth", [SPACE.void, 0])
def test_no_true_instances_give_nan(truth):
    result = measure(np.full((2, 3), truth), np.array([[21, 21, 31], [0, 10, 90]]))
    assert np.isnan([result[name] for name in STATISTICS]).all()
    assert all(np.isnan(values).all() for values in result["per_class"].values())


def test_no_images_give_nan():
    # DeepLab2 gives 0 here.
    metric = InstanceAP(SPACE)
    assert np.isnan([metric.result()[name] for name in STATISTICS]).all()
    metric.update(np.zeros((0, 4, 5), int), np.zeros((0, 4, 5), int))
    metric.update(np.zeros((0, 5), int), np.zeros((0, 5), int), np.zeros((0, 5)))
    assert np.isnan(metric.result()["ap"])


def test_means_leave_out_classes_without_truth():
    result = measure(np.array([[0, 21, 0, 0]]), np.array([[0, 21, 0, 31]]))
    assert list(result["per_class"]) == STATISTICS
    np.testing.assert_allclose(result["per_class"]["ap"], [np.nan, np.nan, 1, np.nan])
    np.testing.assert_allclose(result["ap"], 1)


def test_images_of_different_sizes():
    metric = InstanceAP(SPACE)
    metric.update(np.array([[21, 21, 0]]), np.array([[21, 21, 0]]))
    metric.update(np.array([[0], [21], [22]]), np.array([[0], [21], [0]]))
    np.testing.assert_allclose(metric.result()["ar_100"], 2 / 3)


def test_results_repeat_and_go_on():
    metric = InstanceAP(SPACE)
    metric.update(np.array([[21, 0]]), np.array([[21, 0]]))
    np.testing.assert_equal(metric.result(), metric.result())
    metric.update(np.array([[21, 0]]), np.array([[0, 0]]))
    np.testing.assert_allclose(metric.result()["ar_100"], 0.5)
    metric.reset()
    assert np.isnan(metric.result()["ap"])


def test_nothing_is_printed(capsys):
    measure(np.array([[21, 0]]), np.array([[21, 0]]))
    assert capsys.readouterr() == ("", "")


def test_ids_up_to_the_largest_int32():
    space = LabelSpace("wide", classes=("car", "bus"), things=(0, 1), ignore_label=2, label_divisor=2**29)
    for dtype in (np.int32, np.uint32, np.int64, np.uint64):
        truth = np.array([[2**30 - 1, 2**30 - 1, space.void, 5]], dtype)
        np.testing.assert_allclose(measure(truth, truth, label_space=space)["per_class"]["ap"], [1, 1])


def test_more_segments_than_16_bits_count():
    space = LabelSpace("many", classes=("cell",), things=(0,), label_divisor=100_000)
    truth = np.arange(1, 70_001).reshape(250, 280)
    counts = InstanceAP(space).count(truth, np.where(truth % 2, truth, space.void))
    assert (len(counts["truth_class"]), len(counts["prediction_class"])) == (70_000, 35_000)
    codes = [mask.encode(np.asfortranarray(truth == n).view(np.uint8))["counts"] for n in (1, 281)]
    assert counts["truth_codes"].tobytes().startswith(b"".join(codes))


ONE = np.array([[21, 0]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((ONE, ONE[:, :1]), "same shape"),
        ((ONE * 1.0, ONE), "`truth` must hold integers"),
        ((ONE + 20, ONE), "`truth` holds the class 4"),
        ((ONE, ONE + 36), "`prediction` holds the class 5"),
        ((ONE, ONE - 22), "`prediction` must hold values from 0 to 2147483647. Received: -22 to -1"),
        ((ONE + 2**40, ONE), "`truth` must hold values from 0"),
        ((ONE, ONE, ONE), "`score` must hold floats. Received: dtype=int64"),
        ((ONE, ONE, np.ones((1, 3))), r"`score` must have the shape \(1, 2\) or \(1, 2, 4\). .*\(1, 3\)"),
        ((ONE, ONE, np.ones((1, 2, 3))), r"`score` must have the shape .*\(1, 2, 3\)"),
        ((ONE, ONE, None, np.ones((1, 2, 4))), r"`instance_score` must have the shape \(1, 2\). Rec"),
        ((ONE, ONE, np.array([[np.nan, 1]])), "scores of instances must be finite"),
    ],
)
def test_unusable_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        measure(*arguments)


def test_scores_off_the_instances_may_be_nan():
    np.testing.assert_allclose(measure(ONE, ONE, np.array([[0.5, np.nan]]))["ap"], 1)


def test_metrics_of_different_label_spaces_do_not_merge():
    with pytest.raises(ValueError, match=r"one label_space merge.*'small' and 'cityscapes'"):
        InstanceAP(SPACE).merge(InstanceAP(CITYSCAPES))


def test_without_pycocotools_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(ImportError, match=r'pip install "keras-deeplab\[ap\]"'):
        InstanceAP(SPACE)


def test_the_metrics_load_without_pycocotools():
    statement = "import sys, keras_deeplab.metrics; print('pycocotools' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", statement], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "False"
