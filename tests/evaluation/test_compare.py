import numpy as np
import pytest

from keras_deeplab.data import CocoPanoptic
from keras_deeplab.data.writers import PredictionWriter
from keras_deeplab.evaluation import compare, evaluate
from keras_deeplab.labels import CITYSCAPES, LabelSpace
from keras_deeplab.results import Segmentation
from tests.evaluation.test_evaluate import KnownModel, Reader, reference_pairs, samples


@pytest.fixture(scope="module")
def pairs():
    return reference_pairs()


def write(folder, maps):
    with PredictionWriter(folder, CITYSCAPES) as writer:
        for index, panoptic in enumerate(maps):
            writer.write(Segmentation(panoptic, CITYSCAPES), f"aachen_{index:06}_000019")
    return CocoPanoptic(None, folder / "panoptic.json", label_space=CITYSCAPES)


class Named(Reader):
    """A list of samples that knows their names."""

    @property
    def names(self):
        return [sample["name"] for sample in self]


@pytest.mark.parametrize("processes", [0, 2])
def test_files_measure_as_the_model_that_wrote_them(pairs, tmp_path, processes):
    truths, predictions = zip(*pairs, strict=True)
    reader = write(tmp_path / "truth", truths)
    expected = evaluate(KnownModel(predictions), Named(samples(truths)), convention="official")
    result = compare(
        reader, write(tmp_path / "mine", predictions), convention="official", processes=processes
    )
    assert result == expected


def test_predictions_are_found_by_their_names(pairs):
    truths, predictions = zip(*pairs[:4], strict=True)
    shuffled = Named(reversed([*samples(predictions), {"name": "another", "panoptic": truths[0]}]))
    result = compare(Named(samples(truths)), shuffled)
    assert result == evaluate(KnownModel(predictions), samples(truths))


def test_missing_predictions_are_named(pairs):
    truths, _ = zip(*pairs[:4], strict=True)
    message = "2 of 4 images have no prediction, the first is 'aachen_000002_000019'"
    with pytest.raises(ValueError, match=message):
        compare(Named(samples(truths)), Named(samples(truths[:2])))


def test_another_size_names_the_image():
    truth, prediction = (Named(samples([np.zeros(size, np.int32)])) for size in ((2, 3), (3, 2)))
    with pytest.raises(ValueError, match=r"'aachen_000000_000019': .*same shape"):
        compare(truth, prediction)


def test_damaged_files_are_named(pairs, tmp_path):
    truths, _ = zip(*pairs[:2], strict=True)
    mine = write(tmp_path, truths)
    path = tmp_path / "panoptic" / "aachen_000001_000019_panoptic.png"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=path.name):
        compare(Named(samples(truths)), mine)


def test_label_spaces_that_differ_are_refused(pairs, tmp_path):
    other = Named(samples([pairs[0][0]]))
    other.label_space = LabelSpace("other", ("a", "b"))
    with pytest.raises(ValueError, match="predictions have the label space 'other' with num_classes=2"):
        compare(write(tmp_path, [pairs[0][0]]), other)
