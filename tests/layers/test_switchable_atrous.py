"""Switchable atrous convolution: DeepLab2's numbers, what the switch blends, and the global context."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_deeplab.layers.convolution import Convolution
from keras_deeplab.layers.switchable_atrous import (
    GlobalContext,
    SwitchableAtrousConvolution,
    average_of_neighbours,
)
from tests.gradients import value_and_gradients
from tests.references import load_component

NUMPY = ops.convert_to_numpy
ARRAYS, _ = load_component("c07_misc_layers")
CASES = {
    "sac": {"global_context": False},
    "sac_gc": {},
    "sac_gc_atrous2": {"atrous_rate": 2},
    "sac_stride2_gc_only": {"strides": 2},
}


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def deeplab2_name(variable):
    """DeepLab2's name of a variable: the switch lies in the convolution, the context repeats its place."""
    name = variable.path.split("/", 1)[1]
    for place in ("pre_global_context", "post_global_context"):
        name = name.replace(f"{place}/context/conv", f"{place}/{place}_conv")
    if name.startswith("switch/"):
        name = f"conv/{name}"
    return f"c/conv/{name}" if name == "kernel" else f"c/{name}"


def reference_layer(case):
    """The layer of a case with the case's weights, and DeepLab2's names of its variables."""
    prefix = f"conv2dsame/{case}"
    layer = SwitchableAtrousConvolution(4, 3, activation="relu", **CASES[case])
    layer.build(ARRAYS[f"{prefix}/in/x"].shape)
    names = {variable.path: deeplab2_name(variable) for variable in layer.weights}
    for variable in layer.weights:
        variable.assign(ARRAYS[f"{prefix}/w/{names[variable.path]}"])
    assert len(names) == sum(key.startswith(f"{prefix}/w/") for key in ARRAYS)
    return layer, names, prefix


def close(actual, expected):
    # Sums of at most 27 products in float32, in another order; gradients add up 198 pixels.
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("case", CASES)
def test_outputs_and_gradients_equal_deeplab2(case):
    layer, names, prefix = reference_layer(case)
    output, (of_input,), of_weights = value_and_gradients(layer, ARRAYS[f"{prefix}/in/x"])
    close(output, ARRAYS[f"{prefix}/out_infer/y"])
    close(of_input, ARRAYS[f"{prefix}/grad_in/x"])
    for path, gradient in of_weights.items():
        close(gradient, ARRAYS[f"{prefix}/grad_w/{names[path]}"])


def without_bessel(old, new, count):
    """A step of a moving variance with the variance of a batch itself instead of the population's estimate.

    TensorFlow's fused normalisation multiplies by n / (n - 1); the synchronised one, which DeepLab2 trains
    with, does not.
    """
    return 0.99 * old + (new - 0.99 * old) * (count - 1) / count


@pytest.mark.parametrize("case", CASES)
def test_training_outputs_and_moving_averages_equal_deeplab2(case):
    layer, _, prefix = reference_layer(case)
    close(
        NUMPY(layer(ARRAYS[f"{prefix}/in/x"].astype("float32"), training=True)),
        ARRAYS[f"{prefix}/out_train/y"],
    )
    mean, variance = ("batch_norm/moving_mean", "batch_norm/moving_variance")
    new = {name: ARRAYS[f"{prefix}/w_after_train_step/c/{name}"] for name in (mean, variance)}
    close(NUMPY(layer.batch_norm.moving_mean), new[mean])
    b, h, w, _ = ARRAYS[f"{prefix}/out_train/y"].shape
    expected = without_bessel(ARRAYS[f"{prefix}/w/c/{variance}"], new[variance], b * h * w)
    close(NUMPY(layer.batch_norm.moving_variance), expected)


def test_the_global_context_equals_deeplab2():
    images = ARRAYS["global_context/in/x"]
    layer = GlobalContext()
    model = keras.Sequential([keras.Input(images.shape[1:]), layer])
    for variable in layer.weights:
        variable.assign(ARRAYS[f"global_context/w/gc/gc_conv/{variable.name}"])
    output, (of_input,), of_weights = value_and_gradients(model, images)
    close(output, ARRAYS["global_context/out_infer/y"])
    close(of_input, ARRAYS["global_context/grad_in/x"])
    for path, gradient in of_weights.items():
        close(gradient, ARRAYS[f"global_context/grad_w/gc/gc_conv/{path.rsplit('/', 1)[1]}"])


@pytest.mark.parametrize(("switch", "rate"), [(0.0, 2), (1.0, 6)])
def test_the_switch_chooses_between_a_rate_and_three_times_it(switch, rate):
    images = random(1, 9, 11, 3)
    layer = SwitchableAtrousConvolution(4, atrous_rate=2)
    layer.build(images.shape)
    layer.switch.bias.assign([switch])
    plain = Convolution(4, 3, atrous_rate=rate)
    plain.build(images.shape)
    plain.convolution.kernel.assign(layer.kernel)
    close(NUMPY(layer(images)), NUMPY(plain(images)))


def test_the_switch_is_linear_and_has_no_bounds():
    images = random(1, 9, 11, 3)
    layer = SwitchableAtrousConvolution(4)
    layer.build(images.shape)
    results = []
    for bias in (0.0, 1.0, 0.25, -2.0):
        layer.switch.bias.assign([bias])
        results.append(NUMPY(layer(images)))
    near, far, blend, beyond = results
    close(blend, 0.75 * near + 0.25 * far)
    close(beyond, 3 * near - 2 * far)


def test_every_pixel_has_a_switch_of_its_own_surroundings():
    images = np.zeros((1, 9, 17, 1), "float32")
    images[:, :, 9:] = random(9, 8, 1)
    layer = SwitchableAtrousConvolution(1, global_context=False)
    layer.build(images.shape)
    near = NUMPY(layer(images))
    layer.switch.kernel.assign(np.ones((1, 1, 1, 1)))
    changed = np.abs(NUMPY(layer(images)) - near)[0, ..., 0].max(0) > 1e-6
    # Two columns further left the 5x5 window sees nothing, and the switch stays 0.
    assert not changed[:7].any()
    assert changed[7:].any()


@pytest.mark.parametrize(("strides", "has_switch"), [(1, True), (2, False)])
def test_only_without_a_stride_there_is_a_switch(strides, has_switch):
    layer = SwitchableAtrousConvolution(4, strides=strides)
    layer.build((None, 9, 11, 3))
    assert any("/switch/" in variable.path for variable in layer.weights) == has_switch
    assert sum("global_context" in variable.path for variable in layer.weights) == 4


def test_a_strided_layer_is_centred_whatever_the_parity():
    images = random(1, 8, 11, 3)
    layer = SwitchableAtrousConvolution(4, strides=2)
    plain = Convolution(4, 3, strides=2)
    for each in (layer, plain):
        each.build(images.shape)
    plain.convolution.kernel.assign(layer.kernel)
    close(NUMPY(layer(images)), NUMPY(plain(images)))


def test_a_fresh_global_context_adds_nothing():
    images = random(1, 3, 4, 8)
    np.testing.assert_array_equal(NUMPY(GlobalContext()(images)), images)


def test_the_global_context_adds_the_same_to_every_pixel():
    images = random(2, 3, 4, 5)
    layer = GlobalContext()
    layer.build(images.shape)
    kernel, bias = random(5, 5), random(5, seed=1)
    layer.convolution.convolution.kernel.assign(kernel[None, None])
    layer.convolution.convolution.bias.assign(bias)
    added = images.mean((1, 2), keepdims=True) @ kernel + bias
    np.testing.assert_allclose(NUMPY(layer(images)), images + added, atol=1e-5)


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("shape", [(2, 6, 7, 3), (1, 2, 9, 1), (1, 1, 1, 2)])
def test_averages_leave_out_what_lies_beyond_the_border(shape, size):
    images = random(*shape)
    half = size // 2
    expected = np.empty(shape)
    for y in range(shape[1]):
        for x in range(shape[2]):
            window = images[:, max(0, y - half) : y + half + 1, max(0, x - half) : x + half + 1]
            expected[:, y, x] = window.astype("float64").mean((1, 2))
    np.testing.assert_allclose(NUMPY(average_of_neighbours(images, size)), expected, atol=1e-6)


def test_sizes_may_be_unknown():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, SwitchableAtrousConvolution(4)(inputs))
    images = random(1, 9, 11, 3)
    assert model.output_shape == (None, None, None, 4)
    np.testing.assert_allclose(NUMPY(model(images)), NUMPY(model.layers[-1](images)), atol=1e-6)


def test_half_precision_stays_close():
    images = random(2, 9, 11, 3)
    outputs = []
    for policy in ("float32", "mixed_bfloat16"):
        keras.utils.set_random_seed(0)
        layer = SwitchableAtrousConvolution(4, dtype=policy)
        layer.build(images.shape)
        layer.switch.bias.assign([0.5])
        result = layer(images)
        assert keras.backend.standardize_dtype(result.dtype) == layer.compute_dtype
        outputs.append(NUMPY(ops.cast(result, "float32")))
    assert np.sqrt(np.mean((outputs[1] - outputs[0]) ** 2)) < 0.02 * outputs[0].std()


def test_the_configuration_round_trips():
    layer = SwitchableAtrousConvolution(
        4, 5, atrous_rate=2, activation="gelu", global_context=False, batch_norm_momentum=0.9,
        batch_norm_epsilon=1e-5, gamma_initializer="zeros",
    )  # fmt: skip
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert copy.get_config() == layer.get_config()
    for each in (layer, copy):
        each.build((None, 9, 11, 3))
    assert [v.shape for v in copy.weights] == [v.shape for v in layer.weights]
    assert not NUMPY(copy.batch_norm.gamma).any()
