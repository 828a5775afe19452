"""Regions as instances, against scipy's labelling."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from keras_deeplab.data.components import split_things
from keras_deeplab.labels import LabelSpace

SPACE = LabelSpace("street", ("road", "car", "person", "sky"), things=(1, 2), label_divisor=100)
SIDES = st.integers(1, 12)
CLASSES = arrays.arrays(np.int32, st.tuples(SIDES, SIDES), elements=st.integers(0, 4))


@given(CLASSES, st.integers(1, 4))
def test_regions_are_those_of_scipy(classes, smallest):
    classes[classes == 4] = SPACE.ignore_label
    result = split_things(classes * 100, SPACE, smallest)
    np.testing.assert_array_equal(result // 100, classes)
    for label in np.unique(classes):
        instances = np.where(classes == label, result % 100, 0)
        if label not in SPACE.things:
            assert not instances.any()
            continue
        regions, count = ndimage.label(classes == label, structure=np.ones((3, 3)))
        sizes = np.bincount(regions.ravel())
        kept = [region for region in range(1, count + 1) if sizes[region] >= smallest]
        assert np.unique(instances[instances > 0]).tolist() == list(range(1, len(kept) + 1))
        assert not instances[~np.isin(regions, kept)].any()
        # One to one: as many pairs of region and instance as regions.
        assert len({*zip(regions[instances > 0], instances[instances > 0], strict=True)}) == len(kept)


def test_instances_that_were_there_are_forgotten():
    panoptic = np.array([[107, 108, 0, 200]], np.int32)
    np.testing.assert_array_equal(split_things(panoptic, SPACE, 1), [[101, 101, 0, 201]])
    np.testing.assert_array_equal(split_things(panoptic, SPACE, 2), [[101, 101, 0, 200]])


def test_more_regions_than_the_divisor_are_an_error():
    panoptic = np.zeros((20, 20), np.int32)
    panoptic[::2, ::2] = 100
    with pytest.raises(ValueError, match=r"100 regions of 'car' do not fit into `label_divisor` 100"):
        split_things(panoptic, SPACE, 1)
