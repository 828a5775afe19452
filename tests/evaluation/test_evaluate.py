import contextlib
import itertools
import json
import math
import sqlite3

import numpy as np
import pytest

from keras_deeplab import metrics
from keras_deeplab.evaluation import evaluate
from keras_deeplab.labels import CITYSCAPES, LabelSpace
from keras_deeplab.metrics import MeanIoU, PanopticQuality
from keras_deeplab.results import Segmentation
from tests.references import load_component


class KnownModel:
    """Answers with given maps, reading images batch by batch as a real model does."""

    def __init__(self, predictions, label_space=CITYSCAPES, semantic_only=False):
        self.label_space = label_space
        self.predictions = predictions
        self.semantic_only = semantic_only

    def segment(self, images, batch_size=1, progress=True):
        self.progress = progress
        images, predictions = iter(images), iter(self.predictions)
        while batch := list(itertools.islice(images, batch_size)):
            for _ in batch:
                panoptic = next(predictions)
                if self.semantic_only:
                    semantic = panoptic // self.label_space.label_divisor
                    yield Segmentation(None, self.label_space, semantic=semantic)
                else:
                    yield Segmentation(panoptic, self.label_space)


class Reader(list):
    label_space = CITYSCAPES


def reference_pairs(count=11):
    arrays, _ = load_component("c05_pq_miou")
    case = "cityscapes_small_11imgs_one_empty"
    return [(arrays[f"{case}/in/gt{i}"], arrays[f"{case}/in/pred{i}"]) for i in range(count)]


def samples(truths):
    return Reader(
        {"image": np.zeros((*t.shape, 3), np.uint8), "panoptic": t, "name": f"aachen_{i:06}_000019"}
        for i, t in enumerate(truths)
    )


@pytest.fixture(scope="module")
def pairs():
    return reference_pairs()


@pytest.mark.parametrize("batch_size", [1, 4, 32])
def test_equals_deeplab2_in_any_batches(pairs, batch_size):
    truths, predictions = zip(*pairs, strict=True)
    result = evaluate(KnownModel(predictions), samples(truths), batch_size=batch_size)
    _, meta = load_component("c05_pq_miou")
    assert result["pq"] == pytest.approx(
        meta["cases"]["cityscapes_small_11imgs_one_empty"]["tf_pq"], abs=1e-6
    )
    assert result["convention"] == "deeplab2"
    assert result["images"] == 11


def test_official_convention_equals_panopticapi(pairs):
    truths, predictions = zip(*pairs, strict=True)
    result = evaluate(KnownModel(predictions), samples(truths), convention="official")
    _, meta = load_component("c05_pq_miou")
    expected = meta["cases"]["cityscapes_small_11imgs_one_empty"]["api"]
    for group, suffix in (("All", ""), ("Things", "_things"), ("Stuff", "_stuff")):
        for quality in ("pq", "sq", "rq"):
            assert result[quality + suffix] == pytest.approx(expected[group][quality], rel=1e-9)


def test_per_class_numbers_are_those_of_the_metrics(pairs):
    truths, predictions = zip(*pairs[:3], strict=True)
    result = evaluate(KnownModel(predictions), samples(truths))
    panoptic_quality, iou = PanopticQuality(CITYSCAPES), MeanIoU(CITYSCAPES)
    panoptic_quality.update(np.stack(truths), np.stack(predictions))
    iou.update(np.stack(truths) // 1000, np.stack(predictions) // 1000)
    assert list(result["per_class"]) == list(CITYSCAPES.classes)
    assert result["miou"] == iou.result()["miou"]
    for key, array in (panoptic_quality.result()["per_class"] | iou.result()["per_class"]).items():
        np.testing.assert_allclose([row[key] for row in result["per_class"].values()], array)


def test_results_are_plain_numbers(pairs):
    result = evaluate(KnownModel([pairs[0][1]]), samples([pairs[0][0]]))
    assert json.loads(json.dumps(result))["images"] == 1


def test_a_plain_list_of_samples_will_do(pairs):
    truth = pairs[0][0]
    assert evaluate(KnownModel([truth]), list(samples([truth])))["pq"] == 1


def test_only_one_batch_is_held(pairs):
    class Counting(Reader):
        alive = most = 0

        def __getitem__(self, index):
            Counting.alive += 1
            Counting.most = max(Counting.most, Counting.alive)
            return super().__getitem__(index)

    class Forgetting(KnownModel):
        def segment(self, images, batch_size=1, progress=True):
            for result in super().segment(images, batch_size, progress):
                Counting.alive -= 1
                yield result

    truths, predictions = zip(*pairs, strict=True)
    evaluate(Forgetting(predictions), Counting(samples(truths)), batch_size=2)
    assert Counting.most == 2


def test_the_model_draws_no_progress_bar_of_its_own(pairs):
    model = KnownModel([pairs[0][1]])
    evaluate(model, samples([pairs[0][0]]), progress=True)
    assert model.progress is False


def test_semantic_models_get_miou_only(pairs):
    truths, predictions = zip(*pairs[:2], strict=True)
    result = evaluate(KnownModel(predictions, semantic_only=True), samples(truths))
    assert "pq" not in result
    assert set(result["per_class"]["road"]) == {"iou"}
    with pytest.raises(ValueError, match="no panoptic maps"):
        evaluate(KnownModel(predictions, semantic_only=True), samples(truths), metrics=["pq"])


def test_metrics_can_be_chosen(pairs):
    truths, predictions = zip(*pairs[:1], strict=True)
    result = evaluate(KnownModel(predictions), samples(truths), metrics=["pq"])
    assert "miou" not in result
    assert not math.isnan(result["pq"])


def official_truth(folder, truths):
    """Official Cityscapes ground truth for the maps, by other means than the package's own writers."""
    from PIL import Image

    (folder / "panoptic").mkdir(parents=True)
    annotations = []
    for i, panoptic in enumerate(truths):
        ids, segments = np.zeros(panoptic.shape, np.int64), []
        labels = np.zeros(panoptic.shape, np.uint8)
        for value in np.unique(panoptic[panoptic != CITYSCAPES.void]).tolist():
            class_id, instance = divmod(value, 1000)
            category = CITYSCAPES.category_ids[class_id]
            is_thing = class_id in CITYSCAPES.things
            number = category * 1000 + instance if is_thing and instance else category
            mask = panoptic == value
            ids[mask], labels[mask] = number, category
            segments.append(
                {
                    "id": number,
                    "category_id": category,
                    "iscrowd": int(is_thing and instance == 0),
                    "area": int(mask.sum()),
                }
            )
        name = f"aachen_{i:06}_000019"
        rgb = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
        Image.fromarray(rgb).save(folder / "panoptic" / f"{name}_gtFine_panoptic.png")
        Image.fromarray(labels).save(folder / f"{name}_gtFine_labelIds.png")
        annotations.append(
            {"image_id": name, "file_name": f"{name}_gtFine_panoptic.png", "segments_info": segments}
        )
    categories = [
        {"id": category, "name": name, "isthing": int(class_id in CITYSCAPES.things)}
        for class_id, (name, category) in enumerate(
            zip(CITYSCAPES.classes, CITYSCAPES.category_ids, strict=True)
        )
    ]
    (folder / "panoptic.json").write_text(json.dumps({"annotations": annotations, "categories": categories}))


@pytest.fixture(scope="module")
def saved(pairs, tmp_path_factory):
    """An evaluation whose predictions were written, and the official ground truth."""
    folder = tmp_path_factory.mktemp("saved")
    truths, predictions = zip(*pairs, strict=True)
    official_truth(folder / "truth", truths)
    reader = samples(truths)
    result = evaluate(KnownModel(predictions), reader, convention="official", save_to=folder / "predictions")
    return folder, result


@pytest.mark.parametrize(
    "module", ["panopticapi.evaluation", "cityscapesscripts.evaluation.evalPanopticSemanticLabeling"]
)
def test_official_scripts_measure_the_same_pq_in_the_saved_predictions(saved, module):
    scripts = pytest.importorskip(module)
    folder, result = saved
    truth, predictions = (
        json.loads((folder / name / "panoptic.json").read_text()) for name in ("truth", "predictions")
    )
    assert any(s["iscrowd"] for a in truth["annotations"] for s in a["segments_info"])
    predicted = {annotation["image_id"]: annotation for annotation in predictions["annotations"]}
    matched = [(annotation, predicted[annotation["image_id"]]) for annotation in truth["annotations"]]
    categories = {category["id"]: category for category in truth["categories"]}
    folders = (str(folder / "truth" / "panoptic"), str(folder / "predictions" / "panoptic"))
    statistics = scripts.pq_compute_single_core(0, matched, *folders, categories)
    for suffix, isthing in (("", None), ("_things", True), ("_stuff", False)):
        means, _ = statistics.pq_average(categories, isthing)
        for quality in ("pq", "sq", "rq"):
            assert result[quality + suffix] == pytest.approx(means[quality], rel=1e-9)


def test_cityscapesscripts_measures_the_same_miou_in_the_saved_predictions(saved, monkeypatch):
    scripts = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    folder, result = saved
    monkeypatch.setenv("CITYSCAPES_RESULTS", str(folder / "predictions" / "semantic"))
    settings = {"predictionPath": None, "predictionWalk": None, "evalInstLevelScore": False}
    for name, value in (settings | {"quiet": True, "JSONOutput": False}).items():
        monkeypatch.setattr(scripts.args, name, value)
    truths = sorted(str(path) for path in (folder / "truth").glob("*_gtFine_labelIds.png"))
    predictions = [scripts.getPrediction(scripts.args, path) for path in truths]
    scores = scripts.evaluateImgLists(predictions, truths, scripts.args)
    assert result["miou"] == pytest.approx(scores["averageScoreClasses"], rel=1e-9)


def test_every_image_has_its_own_numbers(pairs):
    truths, predictions = zip(*pairs[:3], strict=True)
    rows = evaluate(KnownModel(predictions), samples(truths))["per_image"]
    assert [row["index"] for row in rows] == [0, 1, 2]
    assert rows[2]["name"] == "aachen_000002_000019"
    for row, truth, prediction in zip(rows, truths, predictions, strict=True):
        alone = evaluate(KnownModel([prediction]), samples([truth]))
        assert (row["pq"], row["miou"]) == (alone["pq"], alone["miou"])


def test_confusion_is_that_of_the_mean_iou(pairs):
    truth, prediction = pairs[0]
    iou = MeanIoU(CITYSCAPES)
    iou.update(truth // 1000, prediction // 1000)
    confusion = evaluate(KnownModel([prediction]), samples([truth]))["confusion"]
    np.testing.assert_array_equal(confusion, iou.confusion)


def test_processes_change_nothing(pairs):
    truths, predictions = zip(*pairs, strict=True)
    expected = evaluate(KnownModel(predictions), samples(truths), batch_size=3)
    assert evaluate(KnownModel(predictions), samples(truths), batch_size=3, processes=2) == expected


def test_a_process_names_the_image_that_it_cannot_count():
    truths = [np.zeros((2, 2), np.int32), np.full((2, 2), 30_000, np.int32)]
    with pytest.raises(ValueError, match="Image 'aachen_000001_000019': `truth` holds the class 30"):
        evaluate(KnownModel(truths), samples(truths), processes=1)


class Interrupted(KnownModel):
    """Stops before the image of a number."""

    def __init__(self, predictions, stop):
        super().__init__(predictions)
        self.stop = stop

    def segment(self, images, batch_size=1, progress=True):
        for number, result in enumerate(super().segment(images, batch_size)):
            if number == self.stop:
                raise KeyboardInterrupt
            yield result


@pytest.mark.parametrize("processes", [0, 1])
def test_an_interrupted_evaluation_goes_on(pairs, tmp_path, processes):
    truths, predictions = zip(*pairs, strict=True)
    expected = evaluate(KnownModel(predictions), samples(truths))
    store = tmp_path / "new" / "store.sqlite"
    with pytest.raises(KeyboardInterrupt):
        evaluate(Interrupted(predictions, stop=5), samples(truths), resume=store, processes=processes)
    with contextlib.closing(sqlite3.connect(store)) as database:
        (finished,) = database.execute("SELECT count(*) FROM counts").fetchone()
    # What other processes were still counting is lost.
    assert finished == 5 if processes == 0 else 2 <= finished <= 5
    again = Interrupted(predictions[finished:], stop=99)
    result = evaluate(again, samples(truths), resume=store, processes=processes)
    assert result == expected


def test_finished_images_are_not_read_again(pairs, tmp_path):
    truths, predictions = zip(*pairs[:4], strict=True)
    store = tmp_path / "store.sqlite"
    first = evaluate(KnownModel(predictions), samples(truths), resume=store)
    unreadable = Reader([None] * 4)
    assert evaluate(KnownModel([]), unreadable, resume=store) == first


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"convention": "official"}, "convention"),
        ({"metrics": ["miou"]}, "metrics"),
        ({"save_to": "predictions"}, "save_to"),
    ],
)
def test_another_evaluation_does_not_go_on_in_the_same_file(pairs, tmp_path, monkeypatch, change, difference):
    monkeypatch.chdir(tmp_path)
    truth, prediction = pairs[0]
    evaluate(KnownModel([prediction]), samples([truth]), resume="store.sqlite")
    with pytest.raises(ValueError, match=f"store.sqlite remembers another .* is: {difference}"):
        evaluate(KnownModel([prediction]), samples([truth]), resume="store.sqlite", **change)


def test_options_reach_the_model(pairs):
    class Flipping(KnownModel):
        def segment(self, images, batch_size=1, progress=True, flip=False):
            self.flip = flip
            return super().segment(images, batch_size, progress)

    model = Flipping([pairs[0][1]])
    evaluate(model, samples([pairs[0][0]]), flip=True)
    assert model.flip is True


class Video(list):
    label_space = CITYSCAPES


@pytest.fixture(scope="module")
def video(pairs):
    """Two sequences of labels with depth, and disturbed predictions."""
    rng = np.random.default_rng(0)
    samples, predictions = Video(), []
    for index, (truth, prediction) in enumerate(pairs[:6]):
        depth = rng.uniform(5, 50, truth.shape).astype(np.float32)
        image = np.zeros((*truth.shape, 3), np.uint8)
        sample = {"image": image, "panoptic": truth, "depth": depth, "name": f"frame {index}"}
        samples.append(sample | {"sequence": "ab"[index // 3], "frame": index % 3})
        noisy = (depth * rng.uniform(0.8, 1.2, truth.shape)).astype(np.float32)
        predictions.append((prediction, noisy, rng.random(truth.shape, np.float32)))
    return samples, predictions


class VideoModel(KnownModel):
    """Predicts maps with depth and scores."""

    def segment(self, images, batch_size=1, progress=True):
        for _, (panoptic, depth, score) in zip(images, self.predictions, strict=True):
            yield Segmentation(panoptic, self.label_space, depth=depth, score=score)


def test_video_depth_and_instance_metrics_are_those_of_the_metrics(video):
    samples, predictions = video
    names = ["stq", "vpq", "depth", "dstq", "dvpq", "ap", "miou"]
    result = evaluate(VideoModel(predictions), samples, metrics=names)
    tracking, windows = (
        metrics.SegmentationAndTrackingQuality(CITYSCAPES),
        metrics.VideoPanopticQuality(CITYSCAPES),
    )
    tracking_depth, windows_depth = metrics.DepthAwareSTQ(CITYSCAPES), metrics.DepthAwareVPQ(CITYSCAPES)
    errors, instances = metrics.DepthMetrics(), metrics.InstanceAP(CITYSCAPES)
    for sample, (panoptic, depth, score) in zip(samples, predictions, strict=True):
        maps, depths = (sample["panoptic"], panoptic), (sample["depth"], depth)
        sequence, frame = sample["sequence"], sample["frame"]
        tracking.update(*maps, sequence)
        windows.update(*maps, sequence, frame)
        errors.update(*depths)
        tracking_depth.update(*maps, *depths, sequence)
        windows_depth.update(*maps, *depths, sequence, frame)
        instances.update(*maps, score)
    for metric in (tracking, windows, tracking_depth, windows_depth, errors, instances):
        expected = metric.result()
        for name, value in expected.items():
            if isinstance(value, float) and name != "abs_rel":
                assert result[name] == pytest.approx(value, nan_ok=True, rel=1e-12), name
    assert result["per_sequence"]["a"]["stq"] == tracking.result()["per_sequence"]["a"]["stq"]
    assert result["per_class"]["car"]["ap"] == instances.result()["per_class"]["ap"][13]
    iou = MeanIoU(CITYSCAPES)
    for sample, (panoptic, _, _) in zip(samples, predictions, strict=True):
        iou.update(sample["panoptic"] // 1000, panoptic // 1000)
    assert result["per_class"]["road"]["iou"] == iou.result()["per_class"]["iou"][0]
    json.dumps(result)


def test_depth_is_measured_on_its_own_where_there_is_some(video):
    samples, predictions = video
    assert "silog" in evaluate(VideoModel(predictions), samples)
    without = Video({k: v for k, v in sample.items() if k != "depth"} for sample in samples)
    assert "silog" not in evaluate(VideoModel(predictions), without)


def test_video_metrics_resume(video, tmp_path):
    samples, predictions = video
    names = ["vpq", "dstq", "ap"]
    expected = evaluate(VideoModel(predictions), samples, metrics=names)
    store = tmp_path / "store"
    for answers, options in ((predictions, {"processes": 1}), ([], {})):
        result = evaluate(VideoModel(answers), samples, metrics=names, resume=store, **options)
        np.testing.assert_equal(result, expected)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("stq", '"stq" cannot be measured: the dataset does not say which video'),
        ("vpq", '"vpq" cannot be measured: the dataset does not say which video'),
        ("depth", '"depth" cannot be measured: the image has no true depth'),
        ("dvpq", '"dvpq" cannot be measured: the image has no true depth'),
    ],
)
def test_what_a_metric_lacks_is_said(pairs, metric, message):
    truth, prediction = pairs[0]
    with pytest.raises(ValueError, match=f"Image 'aachen_000000_000019': the metric {message}"):
        evaluate(KnownModel([prediction]), samples([truth]), metrics=[metric])


def test_predictions_are_written_in_the_layout_of_videos(video, tmp_path):
    samples, predictions = video
    evaluate(VideoModel(predictions), samples, save_to=tmp_path, layout="kitti_step")
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))[:2] == [
        "a/000000.png",
        "a/000001.png",
    ]


def test_an_empty_dataset_is_refused():
    with pytest.raises(ValueError, match="no images"):
        evaluate(KnownModel([]), Reader())


def test_samples_without_labels_are_named():
    reader = Reader([{"image": np.zeros((2, 2, 3), np.uint8), "name": "test_image"}])
    with pytest.raises(ValueError, match="'test_image' has no label"):
        evaluate(KnownModel([np.zeros((2, 2), int)]), reader)


def test_a_wrong_size_names_the_image():
    reader = samples([np.zeros((2, 2), np.int32)])
    with pytest.raises(ValueError, match=r"'aachen_000000_000019'.*same shape"):
        evaluate(KnownModel([np.zeros((3, 2), np.int32)]), reader)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": CITYSCAPES.classes[:17], "things": (11,)}, "num_classes=17.*num_classes=19"),
        ({"things": (11, 13)}, "things="),
        ({"label_divisor": 256}, "label_divisor=256.*label_divisor=1000"),
        ({"ignore_label": 100}, "ignore_label=100"),
    ],
)
def test_label_spaces_that_differ_are_refused(change, message):
    fields = CITYSCAPES.to_dict() | {"colors": None, "category_ids": None, "name": "other"} | change
    model = KnownModel([np.zeros((2, 2), np.int32)], LabelSpace(**fields))
    with pytest.raises(ValueError, match=message):
        evaluate(model, samples([np.zeros((2, 2), np.int32)]))


@pytest.mark.parametrize("metrics", ["pq", ["bleu"], []])
def test_unknown_metrics_are_refused(metrics):
    with pytest.raises(ValueError, match="`metrics` must be"):
        evaluate(KnownModel([]), samples([np.zeros((2, 2), np.int32)]), metrics=metrics)


def test_a_model_that_stops_early_is_noticed():
    class Lazy(KnownModel):
        def segment(self, images, batch_size=1, progress=True):
            yield next(super().segment(images))

    with pytest.raises(ValueError, match="1 of 2 images"):
        evaluate(Lazy([np.zeros((2, 2), np.int32)]), samples([np.zeros((2, 2), np.int32)] * 2))
