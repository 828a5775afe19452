"""The presets in the package: they measure what they say, and see the same on every backend."""

import json

import keras
import numpy as np
import pytest

import keras_deeplab as kd
from keras_deeplab.data import CamVid, StreetScenes
from keras_deeplab.hub.registry import embedded_presets
from tests.references import DATA

# Parts of a rendered street that the classes cover.
AREAS = {
    "street_synthetic": {"road": 0.3901, "vegetation": 0.2672, "building": 0.1301, "car": 0.0617},
    "street_camvid": {"road": 0.3681, "building": 0.2066, "tree": 0.1867, "pavement": 0.0773},
}
METRICS = {"PQ": "pq", "PQ things": "pq_things", "PQ stuff": "pq_stuff", "mIoU": "miou"}


def stated(name):
    """The metrics in a preset's metadata, in percent."""
    metadata = json.loads((embedded_presets()[name] / "metadata.json").read_text("utf-8"))
    return {metric["metric"]: metric["value"] for metric in metadata["metrics"]}


def measured(name, samples):
    results = kd.evaluate(kd.Segmenter.from_preset(name), samples, progress=False)
    return {metric: 100 * results[key] for metric, key in METRICS.items()}


@pytest.mark.parametrize("name", ["street_synthetic", "street_camvid"])
def test_a_rendered_street_is_segmented_alike_on_every_backend(name):
    model = kd.Segmenter.from_preset(name)
    street = StreetScenes(1, seed=2)[0]
    result = model.segment(street["image"])
    areas = {segment["class"]: 0 for segment in result.segments}
    for segment in result.segments:
        areas[segment["class"]] += segment["area"] / street["panoptic"].size
    for class_name, area in AREAS[name].items():
        assert areas[class_name] == pytest.approx(area, abs=0.002)


def test_rendered_streets_are_mostly_understood():
    street = StreetScenes(1, seed=2)[0]
    result = kd.Segmenter.from_preset("street_synthetic").segment(street["image"])
    classes, expected = result.panoptic // 1000, street["panoptic"] // 1000
    assert np.mean(classes[expected != 255] == expected[expected != 255]) > 0.85


# One backend measures on all images; the others see the same, as tested above.
@pytest.mark.skipif(keras.backend.backend() != "torch", reason="measured on torch")
@pytest.mark.parametrize("name", ["street_synthetic", "street_camvid"])
def test_the_numbers_of_the_metadata_are_measured(name):
    if name == "street_synthetic":
        samples = StreetScenes(200, seed=2)
    elif not (DATA / "camvid").is_dir():
        pytest.skip("CamVid is not there")
    else:
        samples = CamVid(DATA / "camvid", "val")
    # They are rounded to a tenth of a point.
    assert measured(name, samples) == pytest.approx(stated(name), abs=0.1)
