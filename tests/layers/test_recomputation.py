"""Recomputed layers: the same numbers as without, in and out of compiled training steps."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_deeplab.layers.axial_attention import GlobalAttention2D
from keras_deeplab.layers.convolution import Convolution
from keras_deeplab.layers.recomputation import call_recomputed
from keras_deeplab.layers.residual import ResidualBlock, attention_branch, bottleneck_branch
from tests.gradients import value_and_gradients

NUMPY = ops.convert_to_numpy
IMAGES = np.random.default_rng(0).normal(size=(3, 5, 6, 4)).astype("float32")
TARGETS = np.random.default_rng(1).normal(size=(3, 5, 6, 8)).astype("float32")
BRANCHES = {
    "bottleneck": lambda: bottleneck_branch((2, 2, 8)),
    "switchable": lambda: bottleneck_branch((2, 2, 8), switchable=True),
    "attention": lambda: attention_branch((4, 4, 8), heads=2, attention=GlobalAttention2D),
}


class Recomputed(keras.layers.Layer):
    """One convolution, computed again for its gradient."""

    def __init__(self, recompute, **kwargs):
        super().__init__(**kwargs)
        self.recompute = recompute
        self.convolution = Convolution(8, 3, activation="relu", name="conv", dtype=self.dtype_policy)

    def build(self, input_shape):
        self.convolution.build(input_shape)

    def call(self, inputs, training=None):
        if not self.recompute:
            return self.convolution(inputs, training=training)
        return call_recomputed(self, lambda x: self.convolution(x, training=training), inputs)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 8)


def seeded(make, *arguments, **options):
    """A layer built for the images, with the same weights in every call and no scale of 0."""
    keras.utils.set_random_seed(1)
    layer = make(*arguments, name="layer", **options)
    layer.build(IMAGES.shape)
    for variable in layer.trainable_variables:
        if variable.path.endswith("gamma"):
            variable.assign(np.full(variable.shape, 0.7))
    return layer


def close(actual, expected):
    # The same operations, in another program: sums of at most 90 products in float32.
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5 * max(1, np.abs(expected).max()))


def same(expected, actual):
    """Compares two results of `value_and_gradients`."""
    close(actual[0], expected[0])
    close(actual[1][0], expected[1][0])
    assert actual[2].keys() == expected[2].keys()
    for path, gradient in expected[2].items():
        close(actual[2][path], gradient)


@pytest.mark.parametrize("training", [True, False])
def test_values_and_gradients_stay(training):
    layers = [seeded(Recomputed, recompute) for recompute in (False, True)]
    same(*(value_and_gradients(layer, IMAGES, training=training) for layer in layers))


def test_averages_are_updated_once_by_a_call():
    layer = seeded(Recomputed, True)
    layer(IMAGES, training=True)
    outputs = NUMPY(layer.convolution.convolution(ops.convert_to_tensor(IMAGES)))
    norm = layer.convolution.batch_norm
    close(NUMPY(norm.moving_mean), 0.01 * outputs.mean((0, 1, 2)))
    close(NUMPY(norm.moving_variance), 0.99 + 0.01 * outputs.var((0, 1, 2)))


def test_inference_leaves_the_averages_alone():
    layer = seeded(ResidualBlock, BRANCHES["bottleneck"](), recompute=True)
    before = [NUMPY(v).copy() for v in layer.non_trainable_variables]
    layer(IMAGES, training=False)
    for old, variable in zip(before, layer.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(NUMPY(variable), old)


def trained(recompute, branch="bottleneck", steps=2, learning_rate=0.1, **options):
    """A small functional model of residual blocks after some compiled training steps."""
    keras.utils.set_random_seed(2)
    x = inputs = keras.Input(IMAGES.shape[1:])
    for name in ("block1", "block2") if branch != "attention" else ("block1",):
        x = ResidualBlock(BRANCHES[branch](), recompute=recompute, name=name, **options)(x)
    model = keras.Model(inputs, x)
    for variable in model.trainable_variables:
        if variable.path.endswith("gamma"):
            variable.assign(np.full(variable.shape, 0.7))
    model.compile(keras.optimizers.SGD(learning_rate), loss="mse")
    model.fit(IMAGES, TARGETS, batch_size=3, epochs=steps, shuffle=False, verbose=0)
    return model


def weights(model):
    return {variable.path: NUMPY(variable) for variable in model.weights}


@pytest.mark.parametrize("branch", BRANCHES)
def test_two_compiled_steps_give_the_same_weights(branch):
    options = {"squeeze_excite": branch == "switchable"}
    expected, actual = (weights(trained(recompute, branch, **options)) for recompute in (False, True))
    assert actual.keys() == expected.keys()
    for path, value in expected.items():
        np.testing.assert_allclose(actual[path], value, rtol=1e-4, atol=1e-5, err_msg=path)


def test_a_compiled_step_updates_the_averages_once():
    model = trained(True, steps=1, learning_rate=0.0)
    block = model.get_layer("block1")
    outputs = NUMPY(block.branch[0].convolution(ops.convert_to_tensor(np.maximum(IMAGES, 0))))
    norm = block.branch[0].batch_norm
    close(NUMPY(norm.moving_mean), 0.01 * outputs.mean((0, 1, 2)))
    close(NUMPY(norm.moving_variance), 0.99 + 0.01 * outputs.var((0, 1, 2)))


def test_dropped_images_are_the_same_ones_in_the_gradient():
    expected, actual = (weights(trained(recompute, drop_path_rate=0.5)) for recompute in (False, True))
    for path, value in expected.items():
        np.testing.assert_allclose(actual[path], value, rtol=1e-4, atol=1e-5, err_msg=path)


def test_frozen_blocks_let_the_gradient_through():
    results = []
    for recompute in (False, True):
        block = seeded(ResidualBlock, BRANCHES["bottleneck"](), recompute=recompute)
        block.trainable = False
        results.append(value_and_gradients(block, IMAGES, training=True))
    assert results[1][2] == {}
    same(*results)


def test_half_precision_is_recomputed_in_half_precision():
    layers = [seeded(Recomputed, recompute, dtype="mixed_bfloat16") for recompute in (False, True)]
    results = [layer(IMAGES, training=True) for layer in layers]
    assert [keras.backend.standardize_dtype(result.dtype) for result in results] == ["bfloat16"] * 2
    expected, actual = (NUMPY(ops.cast(result, "float32")) for result in results)
    # Two units in the last of bfloat16's 8 digits.
    np.testing.assert_allclose(actual, expected, rtol=2**-7, atol=1e-3)
