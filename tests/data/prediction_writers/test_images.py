"""Predictions for benchmarks of images, as their official scripts read them."""

import contextlib
import io
import json
import os

import numpy as np
import pytest

from keras_deeplab.data import PredictionWriter, StreetScenes, write_layout
from keras_deeplab.data.ade20k import Ade20k
from keras_deeplab.data.images import read_label
from keras_deeplab.labels import CITYSCAPES, LABEL_SPACES, LabelSpace
from keras_deeplab.metrics import MeanIoU, PanopticQuality
from keras_deeplab.results import Segmentation
from tests.references import DATA
from tests.small_datasets import write_ade20k

SIZE = (96, 192)
CAR, PERSON = CITYSCAPES.classes.index("car"), CITYSCAPES.classes.index("person")


def disturb(panoptic):
    """A prediction with faults: shifted, one car lost, cars taken for trucks, some void."""
    prediction = np.roll(panoptic, 2, axis=1)
    prediction[prediction == CAR * 1000 + 1] = CITYSCAPES.void
    others = (prediction > CAR * 1000 + 2) & (prediction < (CAR + 1) * 1000)
    prediction[others] += 1000
    prediction[:5, :40] = CITYSCAPES.void
    return prediction


class Truth(list):
    label_space = CITYSCAPES


@pytest.fixture(scope="module")
def truths():
    scenes = Truth(StreetScenes(4, SIZE, seed=3))
    for number, sample in enumerate(scenes):
        sample["name"] = f"aachen_000000_{number:06d}"
        sample.pop("image")
    crowd = scenes[1]["panoptic"]
    crowd[crowd // 1000 == PERSON] = PERSON * 1000
    crowd[20:35, 100:150] = PERSON * 1000
    return scenes


@pytest.fixture(scope="module", params=["truth", "disturbed"])
def written(request, truths, tmp_path_factory):
    """The official ground truth, the folder of predictions, and the maps."""
    folder = tmp_path_factory.mktemp(request.param)
    write_layout(truths, folder, "cityscapes", split="val", progress=False)
    predictions = [s["panoptic"] if request.param == "truth" else disturb(s["panoptic"]) for s in truths]
    with PredictionWriter(folder / "predictions", CITYSCAPES) as writer:
        for sample, prediction in zip(truths, predictions, strict=True):
            writer.write(Segmentation(prediction, CITYSCAPES), f"{sample['name']}_leftImg8bit.png")
    return request.param, folder, predictions


@pytest.mark.parametrize(
    "module", ["panopticapi.evaluation", "cityscapesscripts.evaluation.evalPanopticSemanticLabeling"]
)
def test_official_panoptic_scores(written, truths, module):
    scripts = pytest.importorskip(module)
    kind, folder, predictions = written
    truth = json.loads((folder / "gtFine/cityscapes_panoptic_val.json").read_text())
    predicted = json.loads((folder / "predictions/panoptic.json").read_text())
    predicted = {annotation["image_id"]: annotation for annotation in predicted["annotations"]}
    pairs = [(annotation, predicted[annotation["image_id"]]) for annotation in truth["annotations"]]
    categories = {category["id"]: category for category in truth["categories"]}
    folders = str(folder / "gtFine/cityscapes_panoptic_val"), str(folder / "predictions/panoptic")
    with contextlib.redirect_stdout(io.StringIO()):
        scores = scripts.pq_compute_single_core(0, pairs, *folders, categories)
    scores, _ = scores.pq_average(categories, isthing=None)
    ours = PanopticQuality(CITYSCAPES, "official")
    for sample, prediction in zip(truths, predictions, strict=True):
        ours.update(sample["panoptic"], prediction)
    ours = ours.result()
    for quality in ("pq", "sq", "rq"):
        assert scores[quality] == pytest.approx(ours[quality], rel=1e-12)
    if kind == "truth":
        assert scores["pq"] == 1
    else:
        assert 0.2 < scores["pq"] < 0.9


def official_scores(module, folder, results, monkeypatch):
    """What a cityscapesscripts module prints of `folder/predictions/<results>`."""
    scripts = pytest.importorskip(f"cityscapesscripts.evaluation.{module}")
    # The scripts need what NumPy 2.4 no longer has, and write files that cannot hold NumPy's numbers.
    monkeypatch.setattr(np, "in1d", np.isin, raising=False)
    monkeypatch.setattr(scripts, "writeDict2JSON", lambda *_: None)
    monkeypatch.setenv("CITYSCAPES_RESULTS", str(folder / "predictions" / results))
    settings = {"quiet": True, "JSONOutput": False, "predictionPath": None, "predictionWalk": None}
    settings |= {"evalInstLevelScore": False, "gtInstancesFile": str(folder / "gtInstances.json")}
    for name, value in settings.items():
        monkeypatch.setattr(scripts.args, name, value, raising=False)
    kind = "labelIds" if results == "semantic" else "instanceIds"
    truths = sorted(map(str, (folder / "gtFine" / "val").glob(f"*/*_gtFine_{kind}.png")))
    order = (lambda t: (scripts.args, t)) if results == "semantic" else (lambda t: (t, scripts.args))
    predictions = [scripts.getPrediction(*order(truth)) for truth in truths]
    return scripts.evaluateImgLists(predictions, truths, scripts.args)


def test_official_semantic_scores(written, truths, monkeypatch):
    kind, folder, predictions = written
    scores = official_scores("evalPixelLevelSemanticLabeling", folder, "semantic", monkeypatch)
    ours = MeanIoU(CITYSCAPES)
    for sample, prediction in zip(truths, predictions, strict=True):
        ours.update(sample["panoptic"] // 1000, prediction // 1000)
    assert scores["averageScoreClasses"] == pytest.approx(ours.result()["miou"], rel=1e-12)
    assert (scores["averageScoreClasses"] == 1) == (kind == "truth")


def average_precisions(truths, predictions, overlap):
    """AP of each thing class as Cityscapes has it, all scores being 1.

    The curve then has two points, that of all predictions and (recall 0, precision 1); each has half of the
    width between them.
    """
    found = {}
    for class_id in CITYSCAPES.things:
        hits = alarms = misses = 0
        for sample, prediction in zip(truths, predictions, strict=True):
            truth = sample["panoptic"]
            masks, wanted = (
                [m == i for i in np.unique(m) if i // 1000 == class_id and i % 1000]
                for m in (prediction, truth)
            )
            wanted, small = (
                [w for w in wanted if w.sum() >= 100],
                [w for w in wanted if w.sum() < 100],
            )
            ignored = (truth == CITYSCAPES.void) | (truth == class_id * 1000)
            # Small objects are ignored, once as objects of the class.
            for mask in small:
                ignored = ignored | mask
            ious = np.array([[(m & w).sum() / (m | w).sum() for w in wanted] for m in masks])
            ious = ious.reshape(len(masks), len(wanted))
            hits += (ious.max(axis=0, initial=0) > overlap).sum()
            misses += (ious.max(axis=0, initial=0) <= overlap).sum()
            on_small = [any((m & s).sum() / (m | s).sum() > overlap for s in small) for m in masks]
            alarms += sum(
                not on and not iou > overlap and (m & ignored).sum() / m.sum() <= overlap
                for m, iou, on in zip(masks, ious.max(axis=1, initial=0), on_small, strict=True)
            )
        if hits + misses:
            found[CITYSCAPES.classes[class_id]] = (
                hits / (hits + misses) * (1 + hits / max(1, hits + alarms)) / 2
            )
    return found


def test_official_instance_scores(written, truths, monkeypatch):
    kind, folder, predictions = written
    scores = official_scores("evalInstanceLevelSemanticLabeling", folder, "instance", monkeypatch)
    expected = average_precisions(truths, predictions, 0.5)
    found = {name: scores["averages"]["classes"][name]["ap50%"] for name in expected}
    assert found == pytest.approx(expected, rel=1e-12)
    assert len(expected) >= 3
    if kind == "truth":
        assert scores["averages"]["allAp"] == 1
    else:
        assert 0 < scores["averages"]["allAp"] < 0.8


def test_scores_of_instances_rank_them(tmp_path, monkeypatch):
    truth = np.zeros((40, 60), int)
    truth[:20, :20], truth[:20, 30:50] = CAR * 1000 + 1, CAR * 1000 + 2
    prediction = np.zeros((40, 60), int)
    prediction[:20, :20], prediction[25:40, :20] = CAR * 1000 + 1, CAR * 1000 + 300
    name = "aachen_000000_000000"
    samples = Truth([{"name": name, "panoptic": truth}])
    write_layout(samples, tmp_path, "cityscapes", split="val", progress=False)
    # One of two cars is found. A less sure false alarm costs nothing. A surer one leaves a precision of
    # 0.5 at half of the recall, and its own of 0 at the other half.
    for alarm, ap in ((0.1, 0.5), (0.9, 0.125)):
        score = np.where(prediction == CAR * 1000 + 1, 0.5, alarm)
        with PredictionWriter(tmp_path / "predictions", CITYSCAPES) as writer:
            writer.write(Segmentation(prediction, CITYSCAPES, score=score), name)
        lines = (tmp_path / "predictions/instance" / f"{name}.txt").read_text().splitlines()
        assert [float(line.split()[2]) for line in lines] == pytest.approx([0.5, alarm])
        scores = official_scores("evalInstanceLevelSemanticLabeling", tmp_path, "instance", monkeypatch)
        assert scores["averages"]["allAp"] == pytest.approx(ap)


def test_other_orders_of_cityscapes_classes(tmp_path):
    space = LabelSpace("street", ("void", "car", "road"), (1,), ignore_label=0, label_divisor=100_000)
    with PredictionWriter(tmp_path, space, "cityscapes") as writer:
        writer.write(Segmentation(np.array([[0, 170_000, 200_000]]), space), "a")
    np.testing.assert_array_equal(read_label(tmp_path / "semantic/a_labelIds.png"), [[0, 26, 7]])
    content = json.loads((tmp_path / "panoptic.json").read_text())
    assert [s["category_id"] for s in content["annotations"][0]["segments_info"]] == [7, 26]
    assert (tmp_path / "instance/a.txt").read_text() == "masks/a/0000.png 26 1.0\n"


# COCO


def test_coco_results_have_the_images_numbers(tmp_path):
    space = LABEL_SPACES["coco_panoptic"]
    panoptic = np.array([[0, 257, 258, 256], [100 * 256, 0, 0, 80 * 256 + 255]])
    with PredictionWriter(tmp_path, space) as writer:
        writer.write(Segmentation(panoptic, space), "000000142238.jpg")
    assert sorted(os.listdir(tmp_path)) == ["panoptic", "panoptic.json", "semantic"]
    content = json.loads((tmp_path / "panoptic.json").read_text())
    assert content["images"] == [{"id": 142238, "file_name": "000000142238.jpg", "height": 2, "width": 4}]
    (annotation,) = content["annotations"]
    assert (annotation["image_id"], annotation["file_name"]) == (142238, "000000142238.png")
    ids = read_label(tmp_path / "panoptic/000000142238.png") @ [1, 256, 65536]
    np.testing.assert_array_equal(ids, [[0, 2, 3, 1], [5, 0, 0, 4]])
    assert [(s["id"], s["category_id"]) for s in annotation["segments_info"]] == [
        *((1, 1), (2, 1), (3, 1), (4, 90), (5, space.category_id(100))),
    ]


@pytest.mark.parametrize("space", [CITYSCAPES, LabelSpace("pets", ("cat", "sofa"), (0,))])
def test_coco_takes_any_classes(tmp_path, space):
    panoptic = np.array([[3, 1000, 255_000]])
    with PredictionWriter(tmp_path, space, "coco") as writer:
        writer.write(Segmentation(panoptic, space), "a")
    segments = json.loads((tmp_path / "panoptic.json").read_text())["annotations"][0]["segments_info"]
    assert [s["category_id"] for s in segments] == [space.category_id(0), space.category_id(1)]


@pytest.mark.skipif(not (DATA / "coco").is_dir(), reason="needs the COCO samples")
def test_panopticapi_scores_disturbed_coco_labels_as_our_metric_does(tmp_path):
    evaluation = pytest.importorskip("panopticapi.evaluation")
    from keras_deeplab.data.coco import Coco

    reader = Coco(DATA / "coco", "val", images=False)
    ours = PanopticQuality(reader.label_space, "official")
    with PredictionWriter(tmp_path, reader.label_space) as writer:
        for sample in reader:
            prediction = np.roll(sample["panoptic"], 20, axis=0)
            ours.update(sample["panoptic"], prediction)
            writer.write(Segmentation(prediction, reader.label_space), sample["name"])
    annotations = str(DATA / "coco/annotations/panoptic_val2017")
    with contextlib.redirect_stdout(io.StringIO()):
        scores = evaluation.pq_compute(
            f"{annotations}.json", str(tmp_path / "panoptic.json"), annotations, str(tmp_path / "panoptic")
        )
    assert scores["All"]["pq"] == pytest.approx(ours.result()["pq"], rel=1e-12)
    assert scores["All"]["pq"] < 0.95


# ADE20K


@pytest.mark.parametrize("form", ["panoptic", "semantic"])
def test_ade20k_labels_are_perfect_predictions(tmp_path, form):
    write_ade20k(tmp_path, "val")
    reader = Ade20k(tmp_path, "val", labels=form)
    with PredictionWriter(tmp_path / "predictions", reader.label_space) as writer:
        for sample in reader:
            writer.write(Segmentation(sample["panoptic"], reader.label_space), sample["name"])
    assert writer.layout == "ade20k"
    for name in reader.names:  # what the benchmark compares with
        np.testing.assert_array_equal(
            read_label(tmp_path / "predictions/semantic" / f"{name}.png"),
            read_label(tmp_path / "annotations/validation" / f"{name}.png"),
        )
    if form == "panoptic":
        content = json.loads((tmp_path / "predictions/panoptic.json").read_text())
        truth = json.loads((tmp_path / "ade20k_panoptic_val.json").read_text())
        for ours, theirs in zip(content["annotations"], truth["annotations"], strict=True):
            assert (ours["image_id"], ours["file_name"]) == (theirs["image_id"], theirs["file_name"])
            assert sorted(s["category_id"] for s in ours["segments_info"]) == [0, 7, 7]


def test_all_classes_of_ade20k(tmp_path):
    space = LABEL_SPACES["ade20k_panoptic"]
    with PredictionWriter(tmp_path, space) as writer:
        writer.write(Segmentation(None, space, semantic=np.arange(151).reshape(1, -1)), "ADE_val_00000001")
    labels = read_label(tmp_path / "semantic/ADE_val_00000001.png")
    np.testing.assert_array_equal(labels, [[0, *(np.array(space.category_ids[1:]) + 1)]])
    assert sorted(labels[0]) == list(range(151))
    assert sorted(os.listdir(tmp_path)) == ["semantic"]
