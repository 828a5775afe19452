"""Gates over channels: DeepLab2's numbers, the rounded sixth, and that a gate is one factor per channel."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from keras_deeplab.layers.squeeze_excite import SimplifiedSqueezeExcite, SqueezeExcite, rounded_hard_sigmoid
from tests.gradients import value_and_gradients
from tests.references import load_component

NUMPY = ops.convert_to_numpy
ARRAYS, _ = load_component("c07_misc_layers")
# The layer of a case, and DeepLab2's names of our sub-layers.
CASES = {
    "simplified_se": (SimplifiedSqueezeExcite, {}, {"gate": "squeeze_and_excite"}),
    "se_div1": (SqueezeExcite, {"filters": 3}, {"reduce": "se_reduce", "expand": "se_expand"}),
    "se_div8": (
        SqueezeExcite,
        {"filters": 8, "activation": "silu", "gate": rounded_hard_sigmoid},
        {"reduce": "se_reduce", "expand": "se_expand"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_outputs_and_gradients_equal_deeplab2(case):
    layer_class, options, theirs = CASES[case]
    images = ARRAYS[f"{case}/in/x"]
    layer = layer_class(**options)
    model = keras.Sequential([keras.Input(images.shape[1:]), layer])
    names = {}
    for variable in layer.weights:
        part, _, kind = variable.path.split("/")[-3:]
        names[variable.path] = f"se/{theirs[part]}/{kind}"
        variable.assign(ARRAYS[f"{case}/w/{names[variable.path]}"])
    assert len(names) == sum(key.startswith(f"{case}/w/") for key in ARRAYS)
    output, (of_input,), of_weights = value_and_gradients(model, images)
    # Means of 30 and sums of at most 8 numbers in float32; gradients add up 60 pixels.
    np.testing.assert_allclose(output, ARRAYS[f"{case}/out_infer/y"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(of_input, ARRAYS[f"{case}/grad_in/x"], rtol=1e-4, atol=1e-5)
    for path, gradient in of_weights.items():
        np.testing.assert_allclose(gradient, ARRAYS[f"{case}/grad_w/{names[path]}"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layer", [SqueezeExcite(4), SimplifiedSqueezeExcite()], ids=["full", "simplified"])
def test_a_gate_is_one_factor_per_image_and_channel(layer):
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).uniform(1, 2, (2, 3, 4, 8)).astype("float32")
    gate = NUMPY(layer(images)) / images
    np.testing.assert_allclose(gate, np.broadcast_to(gate[:, :1, :1], gate.shape), rtol=1e-5)
    assert gate.min() >= 0
    assert gate.max() < 1.0001
    # Images and channels do differ.
    assert gate[:, 0, 0].std(0).max() > 0
    assert gate[:, 0, 0].std(1).max() > 0


def test_only_the_means_decide():
    layer = SqueezeExcite(4)
    images = np.random.default_rng(0).normal(size=(1, 3, 4, 8)).astype("float32")
    turned = images[:, ::-1, ::-1]
    np.testing.assert_allclose(NUMPY(layer(turned.copy())), NUMPY(layer(images))[:, ::-1, ::-1], rtol=1e-5)


@pytest.mark.parametrize(
    ("x", "expected"), [(-4, 0.0), (-3, 0.0), (0, 0.50001), (3, 1.00002), (9, 1.00002), (-1.5, 0.250005)]
)
def test_the_sixth_is_rounded(x, expected):
    np.testing.assert_allclose(
        NUMPY(rounded_hard_sigmoid(ops.convert_to_tensor(x, "float32"))), expected, rtol=1e-6
    )


@given(st.lists(st.floats(-20, 20, width=32), min_size=8, max_size=8))
def test_the_rounded_hard_sigmoid_is_close_to_keras(values):
    x = np.float32(values)
    ours, theirs = NUMPY(rounded_hard_sigmoid(x)), NUMPY(keras.activations.hard_sigmoid(x))
    assert np.abs(ours - theirs).max() < 2.1e-5
    assert ((ours >= 0) & (ours <= np.float32(1.00002))).all()


@pytest.mark.parametrize("layer_class", [SqueezeExcite, SimplifiedSqueezeExcite])
def test_half_precision_stays_half(layer_class):
    options = {"filters": 4} if layer_class is SqueezeExcite else {}
    result = layer_class(dtype="mixed_bfloat16", **options)(np.ones((1, 3, 4, 8), "float32"))
    assert keras.backend.standardize_dtype(result.dtype) == "bfloat16"


@pytest.mark.parametrize(
    "layer",
    [SqueezeExcite(4), SqueezeExcite(8, activation="silu", gate="hard_sigmoid"), SimplifiedSqueezeExcite()],
    ids=["default", "mobile", "simplified"],
)
def test_the_configuration_round_trips(layer):
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert copy.get_config() == layer.get_config()
    for each in (layer, copy):
        each.build((None, 3, 4, 8))
    copy.set_weights(layer.get_weights())
    images = np.random.default_rng(0).normal(size=(1, 3, 4, 8)).astype("float32")
    np.testing.assert_array_equal(NUMPY(copy(images)), NUMPY(layer(images)))
