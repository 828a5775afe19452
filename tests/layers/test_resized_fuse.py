"""The sum of features of several sizes: DeepLab2's numbers, and which way each feature takes."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_deeplab.layers.resized_fuse import ResizedFuse
from keras_deeplab.ops.resize import resize_bilinear
from tests.gradients import value_and_gradients
from tests.references import load_component

NUMPY = ops.convert_to_numpy
ARRAYS, META = load_component("c07_misc_layers")
CASES = [case for case in META["cases"] if case.startswith("resized_fuse")]


class Fused(keras.layers.Layer):
    """Takes the features one by one, to differentiate with respect to each."""

    def __init__(self, fuse, like):
        super().__init__()
        self.fuse = fuse
        self.like = like
        self.built = True

    def call(self, *inputs, training=None):
        return self.fuse(list(inputs), self.like, training=training)


def reference_layer(case):
    """The layer of a case with the case's weights, its inputs, and DeepLab2's names of its variables."""
    config = META["cases"][case]["config"]
    prefix = f"{case}/in/"
    inputs = [ARRAYS[key].astype("float32") for key in sorted(ARRAYS) if key.startswith(prefix)]
    like = np.zeros((2, config["height"], config["width"], 1), "float32")
    layer = ResizedFuse(config["num_channels"], activation=config["activation"])
    layer.build([x.shape for x in inputs], like.shape)
    names = {}
    for variable in layer.weights:
        part, sub_layer, kind = variable.path.split("/")[-3:]
        names[variable.path] = f"fuse/{part[:-1]}_conv_bn{part[-1]}/{sub_layer}/{kind}"
        variable.assign(ARRAYS[f"{case}/w/{names[variable.path]}"])
    assert len(names) == sum(key.startswith(f"{case}/w/") for key in ARRAYS)
    return Fused(layer, like), inputs, names


def close(actual, expected):
    # Sums of at most 6 products and 4 blended pixels in float32; gradients add up 234 pixels.
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("case", CASES)
def test_outputs_and_gradients_equal_deeplab2(case):
    layer, inputs, names = reference_layer(case)
    output, of_inputs, of_weights = value_and_gradients(layer, *inputs)
    close(output, ARRAYS[f"{case}/out_infer/y"])
    for i, gradient in enumerate(of_inputs):
        close(gradient, ARRAYS[f"{case}/grad_in/x{i}"])
    for path, gradient in of_weights.items():
        close(gradient, ARRAYS[f"{case}/grad_w/{names[path]}"])


@pytest.mark.parametrize("case", CASES)
def test_training_outputs_and_moving_averages_equal_deeplab2(case):
    layer, inputs, names = reference_layer(case)
    close(NUMPY(layer(*inputs, training=True)), ARRAYS[f"{case}/out_train/y"])
    for projection in filter(None, layer.fuse.projections):
        norm = projection.batch_norm
        old, new = (
            {v.name: ARRAYS[f"{case}/{kind}/{names[v.path]}"] for v in norm.non_trainable_variables}
            for kind in ("w", "w_after_train_step")
        )
        close(NUMPY(norm.moving_mean), new["moving_mean"])
        # TensorFlow's fused normalisation estimates the population's variance, n / (n - 1) of the batch's;
        # the synchronised one, which DeepLab2 trains with, takes the batch's.
        kept = 0.99 * old["moving_variance"]
        n = 2 * 5 * 7 if case == "resized_fuse2" or "resized" in projection.name else 2 * 9 * 13
        close(NUMPY(norm.moving_variance), kept + (new["moving_variance"] - kept) * (n - 1) / n)


def random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_features_of_the_right_width_and_size_are_added_as_they_are():
    layer = ResizedFuse(4)
    a, b = random(1, 5, 7, 4), -2 * random(1, 5, 7, 4)
    np.testing.assert_allclose(NUMPY(layer([a, b], a)), a + b, atol=1e-6)
    assert layer.weights == []


@pytest.mark.parametrize("size", [(3, 4), (9, 13), (10, 14)])
def test_features_of_the_right_width_are_resized_and_not_activated(size):
    layer = ResizedFuse(4)
    features, like = random(1, *size, 4), np.zeros((1, 5, 7, 2), "float32")
    np.testing.assert_allclose(
        NUMPY(layer([features], like)), NUMPY(resize_bilinear(features, (5, 7))), atol=1e-6
    )


@pytest.mark.parametrize(
    ("size", "name"),
    [((9, 13), "strided1"), ((10, 14), "strided1"), ((9, 14), "strided1"), ((9, 12), "resized1")],
)
def test_twice_the_size_takes_a_stride(size, name):
    layer = ResizedFuse(4)
    layer.build([(1, *size, 6)], (1, 5, 7, 4))
    assert {variable.path.split("/")[-3] for variable in layer.weights} == {name}


def test_a_strided_feature_is_activated_then_sampled_then_projected():
    features, like = random(1, 9, 13, 3), np.zeros((1, 5, 7, 4), "float32")
    layer = ResizedFuse(4, batch_norm_epsilon=0.5)
    layer.build([features.shape], like.shape)
    kernel = NUMPY(layer.projections[0].convolution.kernel)[0, 0]
    expected = np.maximum(features, 0)[:, ::2, ::2] @ kernel / np.sqrt(1.5)
    np.testing.assert_allclose(NUMPY(layer([features], like)), expected, atol=1e-5)
    assert expected.min() < 0


def test_the_configuration_round_trips():
    layer = ResizedFuse(4, activation="gelu", batch_norm_momentum=0.9, batch_norm_epsilon=1e-5, name="fuse")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert copy.get_config() == layer.get_config()
    copy.build([(1, 9, 13, 3)], (1, 5, 7, 4))
    norm = copy.projections[0].batch_norm
    assert (norm.momentum, norm.epsilon) == (0.9, 1e-5)


def test_a_functional_model_knows_the_shape_of_the_sum():
    coarse, fine = keras.Input((3, 4, 6)), keras.Input((5, 7, 2))
    assert ResizedFuse(4)([coarse, fine], fine).shape == (None, 5, 7, 4)
