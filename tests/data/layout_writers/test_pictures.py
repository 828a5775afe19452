import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_deeplab.data.layout_writers.pictures import encode_depth, encode_step
from keras_deeplab.data.step import panoptic_from_step
from keras_deeplab.labels import LABEL_SPACES


@given(st.integers(0, 7), st.integers(0, 65_535))
def test_step_pictures_are_read_back(class_id, instance):
    picture = encode_step(np.array([[class_id]]), np.array([[instance]]))
    assert picture.dtype == np.uint8
    assert panoptic_from_step(picture, LABEL_SPACES["semkitti_dvps"]) == class_id * 65_536 + instance


def test_depth_is_rounded_to_256ths_and_beyond_is_unknown_or_clipped():
    depth = np.array([[0, 0.5, 1.999, 255.99], [256, 300, 80, np.inf]], np.float32)
    np.testing.assert_array_equal(encode_depth(depth), [[0, 128, 512, 65533], [0, 0, 20480, 0]])
    clipped = encode_depth(depth, clip=True)
    np.testing.assert_array_equal(clipped, [[0, 128, 512, 65533], [65535, 65535, 20480, 65535]])
    assert clipped.dtype == np.uint16


@pytest.mark.parametrize("value", [-0.1, np.nan])
@pytest.mark.parametrize("clip", [False, True])
def test_what_is_no_depth_is_refused(value, clip):
    with pytest.raises(ValueError, match="`depth` must be at least 0"):
        encode_depth(np.array([[value]]), clip)
