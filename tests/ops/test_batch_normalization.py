"""Normalising by a batch's moments, alone and with replicas that have a part of the batch each."""

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from keras_deeplab.ops.batch_normalization import batch_moments, normalize_batch, normalize_by_moments
from tests.gradients import value_and_gradients
from tests.ops.replicas import AXIS, MOMENTUM, batch

NUMPY = ops.convert_to_numpy
ROOT = pathlib.Path(__file__).parents[2]


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


class Normalize(keras.layers.Layer):
    """One of the functions as a layer, for its gradients."""

    def __init__(self, function, axes):
        super().__init__()
        self.function, self.axes, self.built = function, axes, True

    def call(self, x, gamma, beta, training=None):
        return self.function(x, gamma, beta, 0.1, self.axes)[0]


@pytest.mark.parametrize("shape", [(6, 5), (2, 7, 5), (2, 4, 3, 5)])
def test_the_fast_way_equals_the_plain_one(shape):
    axes = tuple(range(len(shape) - 1))
    arguments = (random(*shape), *(random(*(1,) * len(axes), 5, seed=s) for s in (1, 2)))
    tensors = [ops.convert_to_tensor(a) for a in arguments]
    for ours, plain in zip(
        normalize_batch(*tensors, 0.1, axes), normalize_by_moments(*tensors, 0.1, axes), strict=True
    ):
        np.testing.assert_allclose(NUMPY(ours), NUMPY(plain), rtol=1e-5, atol=1e-5)
    (_, ours, _), (_, plain, _) = (
        value_and_gradients(Normalize(f, axes), *arguments) for f in (normalize_batch, normalize_by_moments)
    )
    for gradient, expected in zip(ours, plain, strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-4)


def test_moments_of_values_far_from_zero_keep_their_digits():
    x = (random(1000, 3) + 1000).astype("float32")
    mean, variance = (NUMPY(m) for m in batch_moments(ops.convert_to_tensor(x), (0,)))
    np.testing.assert_allclose(mean, x.astype("float64").mean(0, keepdims=True), rtol=1e-6)
    # The mean of squares minus the square of the mean would be off by about 6 % here.
    np.testing.assert_allclose(variance, x.astype("float64").var(0, keepdims=True), rtol=1e-3)


def test_replicas_normalise_by_the_moments_of_the_whole_batch(tmp_path):
    environment = {**os.environ, "KERAS_BACKEND": keras.backend.backend(), "CUDA_VISIBLE_DEVICES": ""}
    environment["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
    environment["JAX_PLATFORMS"] = "cpu"
    path = tmp_path / "result.npz"
    command = [sys.executable, "-m", "tests.ops.replicas", str(path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    x = batch().astype("float64")
    averaged = tuple(a for a in range(x.ndim) if a not in AXIS)
    mean, variance = x.mean(averaged, keepdims=True), x.var(averaged, keepdims=True)
    deviation = np.sqrt(variance + 1e-3)
    y = (x - mean) / deviation
    # Of the sum of cubes, through the moments (Ioffe and Szegedy 2015, section 3).
    of_y = 3 * y**2
    gradient = of_y - of_y.mean(averaged, keepdims=True) - y * (of_y * y).mean(averaged, keepdims=True)
    result = np.load(path)
    np.testing.assert_allclose(result["y"], y, atol=1e-5)
    np.testing.assert_allclose(result["gradient"], gradient / deviation, atol=1e-3)
    np.testing.assert_allclose(result["mean"], (1 - MOMENTUM) * mean, atol=1e-6)
    np.testing.assert_allclose(result["variance"], MOMENTUM + (1 - MOMENTUM) * variance, rtol=1e-5)
