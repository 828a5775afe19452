import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from PIL import Image

from keras_deeplab.labels import CITYSCAPES, LabelSpace
from keras_deeplab.metrics import PanopticQuality
from tests.references import SOURCES, load_component

SPACE = LabelSpace(
    "small", classes=("road", "sky", "car", "person"), things=(2, 3), ignore_label=9, label_divisor=10
)


def measure(truth, prediction, convention="deeplab2", label_space=SPACE):
    metric = PanopticQuality(label_space, convention)
    metric.update(truth, prediction)
    return metric.result()


def count_rows(metric):
    return np.stack([metric.iou, metric.true_positives, metric.false_negatives, metric.false_positives])


def reference_cases(source):
    arrays, meta = load_component("c05_pq_miou", source)
    for name, case in meta["cases"].items():
        space = LabelSpace(
            "reference",
            classes=[f"class {i}" for i in range(case["num_classes"])],
            things=case["things"],
            ignore_label=case["ignore"],
            label_divisor=case["div"],
        )
        inputs = {key: arrays[key] for key in arrays if key.startswith(f"{name}/in/")}
        number = range(len(inputs) // 2) if "n_images" in case else [""]
        pairs = [(inputs[f"{name}/in/gt{i}"], inputs[f"{name}/in/pred{i}"]) for i in number]
        outputs = {key.rsplit("/", 1)[1]: arrays[key] for key in arrays if key.startswith(f"{name}/out/")}
        yield name, case, space, pairs, outputs


@pytest.mark.parametrize("source", SOURCES)
def test_deeplab2_convention_equals_deeplab2(source):
    for name, _, space, pairs, outputs in reference_cases(source):
        metric = PanopticQuality(space)
        for truth, prediction in pairs:
            metric.update(truth, prediction)
        np.testing.assert_allclose(count_rows(metric), outputs["tf_iou_tp_fn_fp"], rtol=1e-6, err_msg=name)
        result = metric.result()
        expected = outputs.get("tf_result", outputs.get("tf_result_pq_sq_rq_tp_fn_fp"))
        np.testing.assert_allclose(
            [result[k] for k in ("pq", "sq", "rq")], expected[:3], atol=1e-6, err_msg=name
        )


@pytest.mark.parametrize("source", SOURCES)
def test_official_convention_equals_panopticapi(source):
    for name, case, space, pairs, outputs in reference_cases(source):
        metric = PanopticQuality(space, "official")
        for truth, prediction in pairs:
            metric.update(truth, prediction)
        np.testing.assert_allclose(count_rows(metric), outputs["api_iou_tp_fn_fp"], rtol=1e-12, err_msg=name)
        result = metric.result()
        for group, suffix in (("All", ""), ("Things", "_things"), ("Stuff", "_stuff")):
            for quality in ("pq", "sq", "rq"):
                expected = np.nan if case["api"][group] is None else case["api"][group][quality]
                np.testing.assert_allclose(result[quality + suffix], expected, rtol=1e-12, err_msg=name)


def test_per_image_counts_equal_deeplab2():
    for name, _, space, pairs, outputs in reference_cases("compact"):
        if "tf_per_image_iou_tp_fn_fp" not in outputs:
            continue
        for (truth, prediction), expected in zip(pairs, outputs["tf_per_image_iou_tp_fn_fp"], strict=True):
            metric = PanopticQuality(space)
            metric.update(truth, prediction)
            np.testing.assert_allclose(count_rows(metric), expected, rtol=1e-6, err_msg=name)


def write_official(folder, name, maps, label_space):
    """The maps as panopticapi reads them, by other means than the package's own writers."""
    (folder / name).mkdir()
    annotations = []
    for index, panoptic in enumerate(maps):
        ids, segments = np.zeros(panoptic.shape, np.int64), []
        for value in np.unique(panoptic[panoptic // label_space.label_divisor != label_space.ignore_label]):
            class_id, instance = divmod(int(value), label_space.label_divisor)
            ids[panoptic == value] = value + 1
            crowd = int(class_id in label_space.things and instance == 0)
            area = int((panoptic == value).sum())
            segments.append({"id": int(value) + 1, "category_id": class_id, "iscrowd": crowd, "area": area})
        rgb = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1)
        Image.fromarray(rgb.astype(np.uint8)).save(folder / name / f"{index}.png")
        annotations.append({"image_id": index, "file_name": f"{index}.png", "segments_info": segments})
    categories = [
        {"id": i, "name": c, "isthing": int(i in label_space.things)}
        for i, c in enumerate(label_space.classes)
    ]
    (folder / f"{name}.json").write_text(json.dumps({"annotations": annotations, "categories": categories}))


def street_maps(rng, count, size=(48, 64)):
    """Pairs of maps with stuff, instances, crowd and void, where the prediction is a disturbed truth."""
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    for _ in range(count):
        truth = np.where(rows < height // 2, 10_000, 0) + np.zeros(size, int)
        for instance in range(12):
            y, x, radius = rng.integers(height), rng.integers(width), rng.integers(4, 12)
            value = int(rng.choice([11_000, 13_000])) + int(instance if rng.random() < 0.8 else 0)
            truth[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = (
                CITYSCAPES.void if instance % 6 == 5 else value
            )
        prediction = np.roll(truth, (1, 2), axis=(0, 1))
        prediction[prediction % 5 == 3] += 400
        prediction[prediction % 7 == 2] = 0
        yield truth.astype(np.int32), prediction.astype(np.int32)


def test_official_convention_equals_an_evaluation_by_panopticapi(tmp_path):
    evaluation = pytest.importorskip("panopticapi.evaluation")
    truths, predictions = zip(*street_maps(np.random.default_rng(3), 4), strict=True)
    assert any((t == 11_000).any() or (t == 13_000).any() for t in truths), "the maps need crowd regions"
    write_official(tmp_path, "truth", truths, CITYSCAPES)
    write_official(tmp_path, "prediction", predictions, CITYSCAPES)
    annotations = [
        json.loads((tmp_path / f"{n}.json").read_text())["annotations"] for n in ("truth", "prediction")
    ]
    categories = {c["id"]: c for c in json.loads((tmp_path / "truth.json").read_text())["categories"]}
    expected = evaluation.pq_compute_single_core(
        0,
        list(zip(*annotations, strict=True)),
        str(tmp_path / "truth"),
        str(tmp_path / "prediction"),
        categories,
    )
    result = measure(np.stack(truths), np.stack(predictions), "official", CITYSCAPES)
    for suffix, isthing in (("", None), ("_things", True), ("_stuff", False)):
        means, _ = expected.pq_average(categories, isthing)
        for quality in ("pq", "sq", "rq"):
            np.testing.assert_allclose(result[quality + suffix], means[quality], rtol=1e-12)
    counts = np.array([[expected[c].tp, expected[c].fp, expected[c].fn] for c in range(19)]).T
    np.testing.assert_array_equal([result["per_class"][k] for k in ("tp", "fp", "fn")], counts)


maps = st_numpy.arrays(np.int32, (5, 6), elements=st.sampled_from([0, 10, 20, 21, 22, 30, 31, 32, 33, 90]))
conventions = st.sampled_from(["deeplab2", "official"])


@given(maps, conventions)
def test_truth_as_prediction_is_perfect(truth, convention):
    result = measure(truth, truth, convention)
    occurs = ~np.isnan(result["per_class"]["pq"])
    np.testing.assert_array_equal(result["per_class"]["pq"][occurs], 1)
    assert np.isnan(result["pq"]) if not occurs.any() else result["pq"] == 1


@given(maps, maps, conventions, st.permutations(range(1, 10)))
def test_instance_numbers_do_not_matter(truth, prediction, convention, order):
    instance = prediction % 10
    renumbered = prediction - instance + np.array([0, *order])[instance]
    expected = measure(truth, prediction, convention)
    np.testing.assert_equal(measure(truth, renumbered, convention), expected)


@given(st.lists(st.tuples(maps, maps), min_size=1, max_size=5), st.integers(0, 5), conventions)
def test_parts_merge_to_the_whole(pairs, split, convention):
    whole, first, second = (PanopticQuality(SPACE, convention) for _ in range(3))
    for index, pair in enumerate(pairs):
        whole.update(*pair)
        (first if index < split else second).update(*pair)
    first.merge(second)
    np.testing.assert_array_equal(count_rows(first)[1:], count_rows(whole)[1:])
    np.testing.assert_allclose(first.iou, whole.iou, rtol=1e-14)


@settings(max_examples=30)
@given(maps, maps)
def test_a_batch_counts_every_image_by_itself(first, second):
    one_by_one, batch = PanopticQuality(SPACE), PanopticQuality(SPACE)
    one_by_one.update(first, second)
    one_by_one.update(second, first)
    batch.update(np.stack([first, second]), np.stack([second, first]))
    np.testing.assert_array_equal(count_rows(batch)[1:], count_rows(one_by_one)[1:])
    np.testing.assert_allclose(batch.iou, one_by_one.iou, rtol=1e-14)


def test_crowd_is_a_segment_only_for_deeplab2():
    truth, prediction = np.array([[20, 20, 20, 20, 0, 0]]), np.array([[21, 21, 22, 22, 0, 0]])
    deeplab2, official = measure(truth, prediction), measure(truth, prediction, "official")
    assert (deeplab2["per_class"]["fn"][2], deeplab2["per_class"]["fp"][2]) == (1, 2)
    assert (official["per_class"]["fn"][2], official["per_class"]["fp"][2]) == (0, 0)
    assert (deeplab2["pq"], official["pq"]) == (0.5, 1.0)


def test_crowd_excuses_only_predictions_of_its_class():
    result = measure(np.array([[20, 20, 20, 0]]), np.array([[31, 31, 31, 0]]), "official")
    assert result["per_class"]["fp"].tolist() == [0, 0, 0, 1]


def test_void_truth_counts_nothing():
    result = measure(np.full((3, 4), SPACE.void), np.arange(12).reshape(3, 4))
    assert np.isnan([result["pq"], result["pq_things"], result["pq_stuff"]]).all()
    assert result["per_class"]["fp"].sum() == 0


def test_void_prediction_misses_everything():
    result = measure(np.array([[0, 0, 21, 22]]), np.full((1, 4), SPACE.void))
    assert result["pq"] == 0
    assert result["per_class"]["fn"].tolist() == [1, 0, 2, 0]


def test_means_leave_out_absent_classes():
    result = measure(np.array([[0, 0, 0, 21, 21, 21]]), np.array([[0, 0, 0, 21, 21, 0]]))
    np.testing.assert_allclose(result["per_class"]["pq"], [0.75, np.nan, 2 / 3, np.nan])
    np.testing.assert_allclose(
        [result["pq"], result["pq_stuff"], result["pq_things"]], [(0.75 + 2 / 3) / 2, 0.75, 2 / 3]
    )


def test_half_overlap_is_no_match():
    result = measure(np.array([[21, 21, 0, 0]]), np.array([[21, 0, 0, 0]]))
    assert result["per_class"]["tp"].tolist() == [1, 0, 0, 0]


def test_ids_up_to_the_largest_int32():
    space = LabelSpace("wide", classes=("car", "bus"), things=(0, 1), ignore_label=2, label_divisor=2**29)
    largest = 2**30 - 1
    for dtype in (np.int32, np.uint32, np.int64, np.uint64):
        truth = np.array([[largest, largest, space.void, 5]], dtype)
        assert measure(truth, truth, label_space=space)["per_class"]["tp"].tolist() == [1, 1]
    top = LabelSpace(
        "top", classes=[str(i) for i in range(127)], things=(126,), ignore_label=127, label_divisor=2**24
    )
    truth = np.array([[127 * 2**24 - 1, 2**31 - 1]])
    assert measure(truth, truth, "official", top)["per_class"]["tp"][126] == 1
    assert measure(truth, truth, "official", top)["per_class"]["fp"].sum() == 0


def test_more_segments_than_16_bits_count():
    space = LabelSpace("many", classes=("cell",), things=(0,), label_divisor=100_000)
    truth = np.arange(1, 70_001).reshape(250, 280)
    per_class = measure(truth, np.where(truth % 2, truth, space.void), label_space=space)["per_class"]
    assert (per_class["tp"].tolist(), per_class["fn"].tolist()) == ([35_000], [35_000])


def test_reset_forgets():
    metric = PanopticQuality(SPACE)
    metric.update(np.array([[0]]), np.array([[10]]))
    metric.reset()
    assert np.isnan(metric.result()["pq"])


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        (np.zeros((2, 3), int), np.zeros((3, 2), int), r"same shape.*\(2, 3\) and \(3, 2\)"),
        (np.zeros((2, 3), int), np.zeros((2, 3)), "`prediction` must hold integers.*float64"),
        (np.zeros(3, int), np.zeros(3, int), "`truth` must have the shape"),
        (np.full((2, 3), 40), np.zeros((2, 3), int), "`truth` holds the class 4"),
        (np.zeros((2, 3), int), np.full((2, 3), 57), "`prediction` holds the class 5"),
        (np.zeros((2, 3), int), np.full((2, 3), -1), "`prediction` must hold values from 0"),
        (np.full((2, 3), 2**40), np.zeros((2, 3), int), "`truth` must hold values from 0"),
    ],
)
def test_unusable_maps_are_named(truth, prediction, message):
    with pytest.raises(ValueError, match=message):
        measure(truth, prediction)


def test_an_unknown_convention_is_refused():
    with pytest.raises(ValueError, match="convention='coco'"):
        PanopticQuality(SPACE, "coco")


def test_metrics_of_different_conventions_do_not_merge():
    with pytest.raises(ValueError, match="one convention merge"):
        PanopticQuality(SPACE).merge(PanopticQuality(SPACE, "official"))
