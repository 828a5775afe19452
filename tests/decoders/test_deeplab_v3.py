"""DeepLabV3's decoder: shapes, precision, sizes, and that every layer trains. Its numbers: test_parity."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_deeplab.decoders.deeplab_v3 import DeepLabV3Decoder

NUMPY = ops.convert_to_numpy


def features(**sizes):
    rng = np.random.default_rng(0)
    shapes = {"res2": (9, 13, 4), "res5": (5, 7, 6), **sizes}
    return {name: rng.normal(size=(1, *shape)).astype("float32") for name, shape in shapes.items()}


def small_decoder(**options):
    keras.utils.set_random_seed(0)
    return DeepLabV3Decoder(3, filters=4, aspp_filters=5, **{"atrous_rates": (1, 2, 3), **options})


@pytest.mark.parametrize("options", [{}, {"atrous_rates": ()}, {"pooling_window": (3, 3)}], ids=str)
def test_predictions_have_the_shape_and_dtype_that_are_announced(options):
    decoder, given = small_decoder(**options), features()
    announced = decoder({name: keras.Input(x.shape[1:]) for name, x in given.items()})
    result = decoder(given)
    assert result.shape == (1, *announced.shape[1:]) == (1, 5, 7, 3)
    assert keras.backend.standardize_dtype(result.dtype) == announced.dtype == "float32"


def test_predictions_are_float32_in_half_precision():
    decoder, given = small_decoder(dtype="mixed_bfloat16"), features()
    announced = decoder({name: keras.Input(x.shape[1:]) for name, x in given.items()})
    assert announced.dtype == "float32"
    assert keras.backend.standardize_dtype(decoder(given).dtype) == "float32"
    assert decoder.convolution.compute_dtype == "bfloat16"


def test_sizes_may_be_unknown():
    inputs = {"res5": keras.Input((None, None, 6), name="res5")}
    decoder = small_decoder()
    model = keras.Model(inputs, decoder(inputs))
    assert model.output_shape == (None, None, None, 3)
    for size in ((5, 7), (3, 2)):
        given = {"res5": features(res5=(*size, 6))["res5"]}
        result = model.predict(given, verbose=0)
        assert result.shape == (1, *size, 3)
        # The compiled program may add up in another order.
        np.testing.assert_allclose(result, NUMPY(decoder(given)), atol=1e-5)


def test_only_the_high_level_feature_is_looked_at():
    decoder, given = small_decoder(high_level="res4"), features(res4=(5, 7, 6))
    before = NUMPY(decoder(given))
    changed = {name: x if name == "res4" else x + 1 for name, x in given.items()}
    np.testing.assert_array_equal(NUMPY(decoder(changed)), before)
    assert np.abs(NUMPY(decoder({"res4": given["res4"] + 1})) - before).max() > 1e-3


def test_without_rates_a_pixel_sees_only_its_neighbours():
    decoder, given = small_decoder(atrous_rates=(), activation="gelu"), features()
    before = NUMPY(decoder(given))
    given["res5"][0, 2, 3] += 1
    changed = np.abs(NUMPY(decoder(given)) - before).max((0, 3)) > 1e-6
    expected = np.zeros((5, 7), bool)
    expected[1:4, 2:5] = True
    np.testing.assert_array_equal(changed & ~expected, False)
    assert changed[2, 3]


def test_the_pooling_window_follows_the_scale_of_the_image():
    decoders = [small_decoder(pooling_window=window) for window in ((5, 9), (3, 5))]
    given = features(res5=(6, 8, 6))
    half = NUMPY(decoders[1](given))
    decoders[0].build({name: x.shape for name, x in given.items()})
    decoders[0].set_weights(decoders[1].get_weights())
    scaled = NUMPY(decoders[0](given, scale=0.5))
    np.testing.assert_allclose(scaled, half, atol=1e-6)
    assert np.abs(NUMPY(decoders[0](given)) - half).max() > 1e-4


def test_every_normalization_trains():
    decoder, given = small_decoder(), features()
    decoder(given)
    averages = [v for v in decoder.non_trainable_variables if "moving" in v.path]
    before = [NUMPY(variable).copy() for variable in averages]
    decoder(given, training=True)
    # Six of the ASPP and one of the 3x3 convolution.
    assert len(averages) == 2 * (6 + 1)
    for old, variable in zip(before, averages, strict=True):
        assert (NUMPY(variable) != old).any(), variable.path


def test_the_classifier_has_a_bias_and_no_normalization():
    decoder = small_decoder()
    decoder(features())
    assert [tuple(v.shape) for v in decoder.predict.weights] == [(1, 1, 4, 3), (3,)]


def test_the_configuration_round_trips():
    decoder = small_decoder(
        pooling_window=(3, 5), high_level="res4", activation="gelu", batch_norm_momentum=0.9,
        batch_norm_epsilon=1e-5, name="decoder",
    )  # fmt: skip
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(decoder))
    assert copy.get_config() == decoder.get_config()
    for each in (decoder, copy):
        each.build({"res4": (None, 5, 7, 6)})
    assert [(v.path, v.shape) for v in copy.weights] == [(v.path, v.shape) for v in decoder.weights]
    copy.set_weights(decoder.get_weights())
    given = {"res4": features()["res5"]}
    np.testing.assert_array_equal(NUMPY(copy(given)), NUMPY(decoder(given)))
