import json

import numpy as np
import pytest

from keras_deeplab.data.arrays import ArrayReader
from keras_deeplab.data.inspection import inspect_dataset
from keras_deeplab.labels import CITYSCAPES

ROAD, PERSON, CAR = 0, 11, 13


class Frames:
    """Samples as they are; an error in place of a sample is raised."""

    label_space = CITYSCAPES

    def __init__(self, *samples):
        self.samples = samples

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        if isinstance(self.samples[index], Exception):
            raise self.samples[index]
        return self.samples[index]


def frame(panoptic, name="frame", **fields):
    panoptic = np.array(panoptic, np.int32)
    return {"image": np.zeros((*panoptic.shape, 3), np.uint8), "panoptic": panoptic, "name": name, **fields}


def counted(values):
    """The classes that a count is not 0 for."""
    return {int(c): int(values[c]) for c in np.flatnonzero(values)}


def test_pixels_images_and_instances_are_counted_per_class():
    inspection = inspect_dataset(
        Frames(
            frame([[ROAD, ROAD, CAR * 1000 + 1], [CAR * 1000 + 2, CAR * 1000, CITYSCAPES.void]]),
            frame([[ROAD, PERSON * 1000 + 7, PERSON * 1000 + 7]]),
        )
    )
    assert (inspection.samples, inspection.labelled) == (2, 2)
    assert inspection.sizes == {(2, 3): 1, (1, 3): 1}
    assert {c: inspection.pixels[c] for c in np.flatnonzero(inspection.pixels)} == {
        ROAD: 3,
        PERSON: 2,
        CAR: 3,
    }
    assert {c: inspection.images[c] for c in np.flatnonzero(inspection.images)} == {
        ROAD: 2,
        PERSON: 1,
        CAR: 1,
    }
    assert counted(inspection.instances) == {PERSON: 1, CAR: 2}
    assert (inspection.void_pixels, inspection.crowd_pixels) == (1, 1)
    assert inspection.problems == []


def test_sequences_are_counted():
    frames = [frame([[ROAD]], sequence=sequence) for sequence in ("0001", "0001", "0002")]
    assert inspect_dataset(Frames(*frames)).sequences == 2
    assert inspect_dataset(Frames(frame([[ROAD]]))).sequences == 0


def test_unusable_samples_are_listed_in_order_and_not_counted():
    inspection = inspect_dataset(
        Frames(
            ValueError("a.png is truncated"),
            frame([[ROAD]]),
            frame([[42_000]], name="b"),
            OSError("c.png cannot be read"),
        )
    )
    assert inspection.problems[0] == "a.png is truncated"
    assert inspection.problems[1].startswith("Sample 'b': `panoptic` holds the class 42")
    assert inspection.problems[2] == "c.png cannot be read"
    assert (inspection.samples, inspection.labelled, inspection.pixels.sum()) == (4, 1, 1)


def test_images_without_labels_have_no_statistics():
    inspection = inspect_dataset(ArrayReader(np.zeros((3, 4, 5, 3), np.uint8), None, CITYSCAPES))
    assert (inspection.samples, inspection.labelled, inspection.pixels.sum()) == (3, 0, 0)
    assert inspection.sizes == {(4, 5): 3}


def test_the_counts_are_ready_for_json():
    inspection = inspect_dataset(Frames(frame([[ROAD, CAR * 1000 + 1]])))
    counts = json.loads(json.dumps(inspection.to_dict(CITYSCAPES)))
    assert counts["sizes"] == {"1x2": 1}
    assert counts["classes"]["car"] == {"pixels": 1, "images": 1, "instances": 1}
    assert counts["label_space"] == "cityscapes"


def test_empty_datasets_are_refused():
    with pytest.raises(ValueError, match="has no samples"):
        inspect_dataset(Frames())
