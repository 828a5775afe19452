"""Batch normalisation against numpy and against Keras' own layer, over one axis and over several."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from keras_deeplab.layers.batch_norm import BatchNormalization
from tests.gradients import value_and_gradients

NUMPY = ops.convert_to_numpy
RNG = np.random.default_rng(0)
# Per channel of a map, and per term, head and channel of axial attention.
CASES = {"channels": (-1, (4, 5, 6, 3)), "heads": (1, (4, 2, 5)), "terms": ((0, 2, 4), (3, 4, 2, 5, 6))}


def built(axis, shape, **options):
    """A layer whose four weights are random, and those weights with the input's rank."""
    layer = BatchNormalization(axis, **options)
    layer.build(shape)
    axes = {a % len(shape) for a in np.atleast_1d(axis)}
    broadcast = [n if a in axes else 1 for a, n in enumerate(shape)]
    values = {}
    for variable in layer.weights:
        value = RNG.uniform(0.5, 2.0, variable.shape).astype("float32")
        variable.assign(value)
        values[variable.name] = value.reshape(broadcast).astype("float64")
    return layer, values, tuple(a for a in range(len(shape)) if a not in axes)


def normalize(x, mean, variance, weights, epsilon):
    return (x - mean) / np.sqrt(variance + epsilon) * weights["gamma"] + weights["beta"]


def close(actual, expected):
    # Means of at most 120 numbers in float32, then a handful of operations on values of order 1.
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_inference_uses_the_moving_averages(case):
    axis, shape = CASES[case]
    layer, weights, _ = built(axis, shape, epsilon=0.1)
    x = RNG.normal(3.0, 2.0, shape).astype("float32")
    expected = normalize(x, weights["moving_mean"], weights["moving_variance"], weights, 0.1)
    close(NUMPY(layer(x)), expected)
    close(NUMPY(layer(x, training=False)), expected)


@pytest.mark.parametrize("case", CASES)
def test_training_uses_the_moments_of_the_batch(case):
    axis, shape = CASES[case]
    layer, weights, averaged = built(axis, shape, epsilon=0.1)
    x = RNG.normal(3.0, 2.0, shape).astype("float32")
    mean, variance = (f(x.astype("float64"), axis=averaged, keepdims=True) for f in (np.mean, np.var))
    close(NUMPY(layer(x, training=True)), normalize(x, mean, variance, weights, 0.1))


@pytest.mark.parametrize("case", CASES)
def test_every_training_step_moves_the_averages(case):
    axis, shape = CASES[case]
    layer, weights, averaged = built(axis, shape, momentum=0.75)
    expected = [weights["moving_mean"], weights["moving_variance"]]
    for _ in range(3):
        x = RNG.normal(3.0, 2.0, shape).astype("float32")
        layer(x, training=True)
        moments = (f(x.astype("float64"), axis=averaged, keepdims=True) for f in (np.mean, np.var))
        expected = [0.75 * old + 0.25 * new for old, new in zip(expected, moments, strict=True)]
    for variable, value in zip((layer.moving_mean, layer.moving_variance), expected, strict=True):
        close(NUMPY(variable), value.reshape(variable.shape))


def test_inference_leaves_the_averages_alone():
    layer, weights, _ = built(-1, (4, 3))
    layer(RNG.normal(size=(4, 3)).astype("float32"), training=False)
    np.testing.assert_array_equal(NUMPY(layer.moving_mean), weights["moving_mean"][0])
    np.testing.assert_array_equal(NUMPY(layer.moving_variance), weights["moving_variance"][0])


def test_a_frozen_layer_keeps_to_its_moving_averages():
    layer, weights, _ = built(-1, (4, 5, 6, 3))
    layer.trainable = False
    x = RNG.normal(3.0, 2.0, (4, 5, 6, 3)).astype("float32")
    expected = normalize(x, weights["moving_mean"], weights["moving_variance"], weights, 1e-3)
    close(NUMPY(layer(x, training=True)), expected)
    np.testing.assert_array_equal(NUMPY(layer.moving_mean), weights["moving_mean"].ravel())


def test_similarities_have_one_weight_per_term_and_head():
    layer = BatchNormalization(axis=(0, 2))
    layer.build((3, None, 8, 33, 33))
    assert [tuple(variable.shape) for variable in layer.weights] == [(3, 1, 8, 1, 1)] * 4


@given(st.sets(st.integers(-4, 3), min_size=1).filter(lambda s: len({a % 4 for a in s}) == len(s)))
def test_weights_have_the_size_of_the_kept_axes(axes):
    shape = (2, 3, 5, 7)
    layer = BatchNormalization(axis=tuple(axes))
    layer.build(shape)
    kept = {a % 4 for a in axes}
    assert layer.gamma.shape == tuple(n if a in kept else 1 for a, n in enumerate(shape))


@given(st.integers(-4, 3))
def test_a_single_axis_has_a_vector_of_weights(axis):
    layer = BatchNormalization(axis)
    layer.build((2, 3, 5, 7))
    assert layer.gamma.shape == ((2, 3, 5, 7)[axis],)


def test_fresh_weights_only_divide_by_epsilon():
    x = RNG.normal(size=(2, 3)).astype("float32")
    close(NUMPY(BatchNormalization(epsilon=3.0)(x)), x / 2)
    close(NUMPY(BatchNormalization(gamma_initializer="zeros")(x)), np.zeros((2, 3)))


class Weighed(keras.layers.Layer):
    """Multiplies a normalisation's outputs by fixed numbers: their own sum of squares is constant."""

    def __init__(self, norm, factors):
        super().__init__()
        self.norm = norm
        self.factors = ops.convert_to_tensor(factors)
        self.built = True

    def call(self, inputs, training=None):
        return self.norm(inputs, training=training) * self.factors


@pytest.mark.parametrize("training", [False, True])
def test_outputs_and_gradients_equal_keras_layer_over_one_axis(training):
    x, factors = RNG.normal(1.0, 2.0, (2, 4, 5, 6, 3)).astype("float32")
    results = []
    for layer in (BatchNormalization(-1, 0.9, 0.01), keras.layers.BatchNormalization(-1, 0.9, 0.01)):
        layer.build(x.shape)
        for i, variable in enumerate(layer.weights):
            variable.assign(np.linspace(0.5, 2.0, 3) + i)
        output, (of_input,), of_weights = value_and_gradients(Weighed(layer, factors), x, training=training)
        results.append([output, of_input, *of_weights.values()])
    for ours, theirs in zip(*results, strict=True):
        # Sums of 120 numbers in float32.
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())


def test_a_training_step_equals_that_of_keras_layer():
    x = RNG.normal(1.0, 2.0, (4, 5, 6, 3)).astype("float32")
    layers = (BatchNormalization(-1, 0.9), keras.layers.BatchNormalization(-1, 0.9))
    outputs = [NUMPY(layer(x, training=True)) for layer in layers]
    close(*outputs)
    for ours, theirs in zip(*(layer.non_trainable_variables for layer in layers), strict=True):
        close(NUMPY(ours), NUMPY(theirs))


def test_channels_far_from_zero_keep_their_variance():
    # 300 ** 2 has no digits left in float32 for a variance of 0.01 that is subtracted from it.
    x = RNG.normal(300.0, 0.1, (4, 33, 33, 2)).astype("float32")
    layer = BatchNormalization(momentum=0.0)
    layer(x, training=True)
    np.testing.assert_allclose(NUMPY(layer.moving_variance), x.astype("float64").var((0, 1, 2)), rtol=1e-2)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_half_precision_is_computed_in_float32(half, training):
    layer, weights, _ = built(-1, (64, 3), dtype=f"mixed_{half}", momentum=0.0)
    # Squares overflow float16, and the digits of bfloat16 end at 2.
    x = ops.convert_to_tensor(RNG.normal(300.0, 10.0, (64, 3)), half)
    result = layer(x, training=training)
    assert keras.backend.standardize_dtype(result.dtype) == half
    exact = NUMPY(ops.cast(x, "float32")).astype("float64")
    mean, variance = weights["moving_mean"], weights["moving_variance"]
    if training:
        mean, variance = exact.mean(0), exact.var(0)
        np.testing.assert_allclose(NUMPY(layer.moving_mean), mean, rtol=1e-5)
        np.testing.assert_allclose(NUMPY(layer.moving_variance), variance, rtol=1e-3)
    expected = normalize(exact, mean, variance, weights, 1e-3)
    result = NUMPY(ops.cast(result, "float32"))
    # What is left is the rounding of the result.
    digits = {"bfloat16": 2**-8, "float16": 2**-11}[half]
    np.testing.assert_allclose(result, expected, rtol=digits, atol=1e-3)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_weights_stay_float32_in_mixed_precision(policy):
    layer = BatchNormalization(dtype=policy)
    layer.build((2, 3))
    assert {keras.backend.standardize_dtype(variable.dtype) for variable in layer.weights} == {"float32"}


@pytest.mark.parametrize("axis", [-1, 2, (0, 2)])
def test_the_configuration_round_trips(axis):
    layer = BatchNormalization(axis, momentum=0.9, epsilon=1e-5, gamma_initializer="zeros", name="norm")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert copy.get_config() == layer.get_config()
    assert (copy.axis, copy.momentum, copy.epsilon) == (axis, 0.9, 1e-5)
    copy.build((3, 4, 5))
    assert not NUMPY(copy.gamma).any()
