import itertools
import json

import numpy as np

from keras_deeplab.training.batches import RunBatches
from tests.training.tiny_runs import balls, make_pipeline


class PartlyBroken:
    """A reader whose sample 1 cannot be read."""

    def __init__(self):
        self.reader = balls()
        self.label_space = self.reader.label_space

    def __len__(self):
        return len(self.reader)

    def __getitem__(self, index):
        if index == 1:
            raise ValueError("truncated")
        return self.reader[index]


def images_of(batches):
    return [images for images, _ in batches]


def test_batches_are_those_of_the_pipeline():
    pipeline = make_pipeline()
    expected = images_of(itertools.islice(pipeline.dataset, 5))
    for found, images in zip(images_of(RunBatches(pipeline, 2, 5)), expected[2:], strict=True):
        np.testing.assert_array_equal(found, images)


def test_they_can_be_read_again():
    batches = RunBatches(make_pipeline(), 1, 3)
    np.testing.assert_array_equal(images_of(batches), images_of(batches))


def test_the_step_says_the_place():
    batches = RunBatches(make_pipeline(), 0, 2)
    list(batches)
    assert batches.find_position(2) is None


def test_left_out_samples_do_not_change_what_comes_next():
    from keras_deeplab.data import Pipeline, semantic_targets

    options = {"image_size": (33, 65), "batch_size": 2, "targets": semantic_targets, "on_error": "skip"}
    whole = RunBatches(Pipeline(PartlyBroken(), **options), 0, 8, interval=3)
    expected = images_of(whole)
    for step in (3, 6):
        position = json.loads(json.dumps(whole.find_position(step)))
        rest = RunBatches(Pipeline(PartlyBroken(), **options), step, 8, 3, position)
        np.testing.assert_array_equal(images_of(rest), expected[step:])
    assert whole.find_position(8) is not None


def test_an_iterator_goes_on_from_its_state():
    batches = RunBatches(make_pipeline(), 1, 4)
    first = iter(batches)
    next(first)
    state = first.get_state()
    second = iter(batches)
    second.set_state(state)
    np.testing.assert_array_equal(images_of(second), images_of(first))
