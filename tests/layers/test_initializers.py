"""Initial weights: their spread, and the same ones on every backend."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_deeplab.layers.initializers import ScaledNormal

NUMPY = ops.convert_to_numpy


@pytest.mark.parametrize(
    ("initializer", "deviation"),
    [
        (ScaledNormal(2.0, fan="in"), np.sqrt(2 / (3 * 3 * 64))),
        (ScaledNormal(1.0, fan="average"), np.sqrt(1 / (3 * 3 * 96))),
    ],
)
def test_the_spread_follows_the_fan(initializer, deviation):
    numbers = NUMPY(initializer((3, 3, 64, 128)))
    assert numbers.std() == pytest.approx(deviation, rel=0.02)
    assert numbers.mean() == pytest.approx(0, abs=0.02 * deviation)


def test_numbers_are_cut_off_at_two_deviations():
    numbers = NUMPY(ScaledNormal(0.01)((100, 100)))
    assert 0.0199 < np.abs(numbers).max() <= 0.02


def test_a_seed_gives_the_same_numbers_on_every_backend():
    keras.utils.set_random_seed(7)
    np.testing.assert_allclose(NUMPY(ScaledNormal(1.0)((3,))), [1.690526, -0.465937, 0.03282], atol=1e-5)


def test_an_unknown_fan_is_refused():
    with pytest.raises(ValueError, match="fan"):
        ScaledNormal(1.0, fan="out")
