"""The stem of three convolutions."""

import numpy as np
from keras import ops

from keras_deeplab.layers.stem import InceptionStem


def test_the_stem_halves_the_size_and_is_not_activated():
    result = ops.convert_to_numpy(InceptionStem(4)(np.random.default_rng(0).normal(size=(1, 17, 12, 3))))
    assert result.shape == (1, 9, 6, 8)
    assert result.min() < 0
