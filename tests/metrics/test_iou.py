import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from keras_deeplab.labels import CITYSCAPES, LabelSpace
from keras_deeplab.metrics import MeanIoU
from tests.references import SOURCES, load_component

SPACE = LabelSpace("small", classes=("road", "sky", "car"), things=(2,))


def measure(truth, prediction, label_space=SPACE):
    metric = MeanIoU(label_space)
    metric.update(np.asarray(truth), np.asarray(prediction))
    return metric.result()


@pytest.mark.parametrize("source", SOURCES)
def test_equals_deeplab2(source):
    arrays, meta = load_component("c05_pq_miou", source)
    cases = {name: case for name, case in meta["cases"].items() if "miou" in case}
    assert cases
    for name, case in cases.items():
        classes = [f"class {i}" for i in range(case["num_classes"])]
        metric = MeanIoU(LabelSpace("reference", classes, case["things"], ignore_label=case["ignore"]))
        for i in range(case["n_images"]):
            truth = arrays[f"{name}/in/gt{i}"] // case["div"]
            prediction = arrays[f"{name}/in/pred{i}"] // case["div"]
            # The reference counts predicted void as class 0.
            metric.update(truth, np.where(prediction == case["ignore"], 0, prediction))
        np.testing.assert_array_equal(metric.confusion[:, :-1], arrays[f"{name}/out/miou_confusion_gt_rows"])
        np.testing.assert_allclose(metric.result()["miou"], arrays[f"{name}/out/miou"], rtol=1e-6)


def test_equals_the_cityscapes_scripts(tmp_path, monkeypatch):
    scripts = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    labels = pytest.importorskip("cityscapesscripts.helpers.labels")
    rng = np.random.default_rng(0)
    to_label = np.array([labels.trainId2label[i].id for i in range(19)])
    truth_labels = rng.choice([*to_label[:15], 0, 3, 9], size=(40, 60))
    prediction_labels = np.where(rng.random((40, 60)) < 0.7, truth_labels, rng.choice([*to_label[:17], 0, 4]))

    confusion = np.zeros((35, 35), np.int64)
    np.add.at(confusion, (truth_labels, prediction_labels), 1)
    scripts.args.evalLabels = [label.id for label in labels.labels if label.id >= 0]
    expected = [scripts.getIouScoreForLabel(i, confusion, scripts.args) for i in to_label]

    result = measure(
        CITYSCAPES.classes_from_categories(truth_labels),
        CITYSCAPES.classes_from_categories(prediction_labels),
        CITYSCAPES,
    )
    np.testing.assert_allclose(result["per_class"]["iou"], expected, rtol=1e-12)
    np.testing.assert_allclose(result["miou"], np.nanmean(expected), rtol=1e-12)


maps = st_numpy.arrays(np.uint8, (4, 5), elements=st.sampled_from([0, 1, 2, 255]))


@given(maps)
def test_truth_as_prediction_is_perfect(truth):
    result = measure(truth, truth)
    assert np.isnan(result["miou"]) if (truth == 255).all() else result["miou"] == 1


@given(st.lists(st.tuples(maps, maps), min_size=1, max_size=5), st.integers(0, 5))
def test_parts_merge_to_the_whole(pairs, split):
    whole, first, second = MeanIoU(SPACE), MeanIoU(SPACE), MeanIoU(SPACE)
    for index, pair in enumerate(pairs):
        whole.update(*pair)
        (first if index < split else second).update(*pair)
    first.merge(second)
    np.testing.assert_array_equal(first.confusion, whole.confusion)


@given(maps, maps)
def test_every_valid_pixel_is_counted_once(truth, prediction):
    metric = MeanIoU(SPACE)
    metric.update(truth, prediction)
    assert metric.confusion.sum() == (truth != 255).sum()
    for true_class in range(3):
        for predicted_class in range(3):
            both = (truth == true_class) & (prediction == predicted_class)
            assert metric.confusion[true_class, predicted_class] == both.sum()


def test_void_truth_is_left_out():
    assert measure([[0, 0, 255, 255]], [[0, 0, 1, 2]])["miou"] == 1


def test_predicted_void_misses_the_true_class_only():
    np.testing.assert_array_equal(
        measure([[0, 0, 1, 1]], [[0, 255, 1, 1]])["per_class"]["iou"], [0.5, 1, np.nan]
    )


def test_a_predicted_ignore_label_inside_the_classes_is_a_class():
    space = LabelSpace("coco-like", classes=("void", "cat"), ignore_label=0)
    result = measure([[1, 1, 1, 0]], [[1, 1, 0, 1]], space)
    np.testing.assert_allclose(result["per_class"]["iou"], [0, 2 / 3])


def test_void_truth_alone_gives_nan():
    assert np.isnan(measure([[255, 255]], [[0, 1]])["miou"])


def test_counts_beyond_float32():
    metric = MeanIoU(SPACE)
    metric.confusion[0, 0] = 2**40
    metric.update(np.array([[0]]), np.array([[0]]))
    assert metric.confusion[0, 0] == 2**40 + 1


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint32, np.int64, np.uint64])
def test_any_integer_dtype(dtype):
    assert measure(np.array([[0, 1, 1]], dtype), np.array([[0, 1, 0]], np.int32))["miou"] == 0.5


def test_a_batch_is_the_sum_of_its_images():
    truth, prediction = np.random.default_rng(0).integers(0, 3, (2, 4, 5, 6))
    batch, one_by_one = MeanIoU(SPACE), MeanIoU(SPACE)
    batch.update(truth, prediction)
    for pair in zip(truth, prediction, strict=True):
        one_by_one.update(*pair)
    np.testing.assert_array_equal(batch.confusion, one_by_one.confusion)


def test_reset_forgets():
    metric = MeanIoU(SPACE)
    metric.update(np.array([[0]]), np.array([[1]]))
    metric.reset()
    assert metric.confusion.sum() == 0


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        ([[0, 1]], [[0], [1]], "same shape"),
        ([[0.0, 1.0]], [[0, 1]], "`truth` must hold integers"),
        ([[0, 33]], [[0, 1]], "`truth` holds the class 33"),
        ([[0, 1]], [[0, 3]], "`prediction` holds the class 3"),
        ([[0, 1]], [[0, -1]], "`prediction` must hold values from 0"),
    ],
)
def test_unusable_maps_are_named(truth, prediction, message):
    with pytest.raises(ValueError, match=message):
        measure(truth, prediction)


def test_metrics_of_different_label_spaces_do_not_merge():
    with pytest.raises(ValueError, match=r"one label_space merge.*'small' and 'cityscapes'"):
        MeanIoU(SPACE).merge(MeanIoU(CITYSCAPES))
