"""DeepLabV3+'s decoder: shapes, precision, the finer feature's resolution. Its numbers: test_parity."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_deeplab.decoders.deeplab_v3_plus import DeepLabV3PlusDecoder

NUMPY = ops.convert_to_numpy
SIZES = {"res2": (17, 25, 4), "res5": (5, 7, 6)}


def features(**sizes):
    rng = np.random.default_rng(0)
    return {
        name: rng.normal(size=(1, *shape)).astype("float32") for name, shape in {**SIZES, **sizes}.items()
    }


def small_decoder(**options):
    keras.utils.set_random_seed(0)
    arguments = {"filters": 4, "aspp_filters": 5, "low_level_filters": 2, "atrous_rates": (1, 2, 3)}
    return DeepLabV3PlusDecoder(3, **{**arguments, **options})


@pytest.mark.parametrize("options", [{}, {"atrous_rates": ()}, {"pooling_window": (3, 3)}], ids=str)
def test_predictions_have_the_shape_and_dtype_that_are_announced(options):
    decoder, given = small_decoder(**options), features()
    announced = decoder({name: keras.Input(x.shape[1:]) for name, x in given.items()})
    result = decoder(given)
    assert result.shape == (1, *announced.shape[1:]) == (1, 17, 25, 3)
    assert keras.backend.standardize_dtype(result.dtype) == announced.dtype == "float32"


def test_predictions_are_float32_in_half_precision():
    decoder, given = small_decoder(dtype="mixed_bfloat16"), features()
    announced = decoder({name: keras.Input(x.shape[1:]) for name, x in given.items()})
    assert announced.dtype == "float32"
    assert keras.backend.standardize_dtype(decoder(given).dtype) == "float32"
    assert decoder.project.compute_dtype == "bfloat16"


def test_sizes_may_be_unknown():
    inputs = {name: keras.Input((None, None, shape[-1]), name=name) for name, shape in SIZES.items()}
    decoder = small_decoder()
    model = keras.Model(inputs, decoder(inputs))
    assert model.output_shape == (None, None, None, 3)
    for fine, coarse in (((17, 25), (5, 7)), ((8, 6), (3, 2))):
        given = features(res2=(*fine, 4), res5=(*coarse, 6))
        result = model.predict(given, verbose=0)
        assert result.shape == (1, *fine, 3)
        # The compiled program may add up in another order.
        np.testing.assert_allclose(result, NUMPY(decoder(given)), atol=1e-5)


def test_the_finer_feature_comes_in_at_its_own_resolution():
    decoder, given = small_decoder(activation="gelu"), features()
    before = NUMPY(decoder(given))
    given["res2"][0, 8, 12] += 1
    changed = np.abs(NUMPY(decoder(given)) - before).max((0, 3)) > 1e-6
    # Two 3x3 convolutions come behind it.
    reached = np.zeros((17, 25), bool)
    reached[6:11, 10:15] = True
    assert changed[8, 12]
    assert not (changed & ~reached).any()


def test_the_coarse_feature_is_resized_with_its_corners_aligned():
    decoder, given = small_decoder(atrous_rates=(), activation="gelu"), features()
    before = NUMPY(decoder(given))
    given["res5"][0, 1, 2] += 1
    changed = np.abs(NUMPY(decoder(given)) - before).max((0, 3)) > 1e-6
    # Pixel (1, 2) of a grid four times as coarse, 3 pixels of blending and 2 of convolutions around it.
    reached = np.zeros((17, 25), bool)
    reached[0:10, 3:14] = True
    assert changed[4, 8]
    assert not (changed & ~reached).any()


def test_the_features_have_names():
    decoder = small_decoder(high_level="coarse", low_level="fine")
    given = {"coarse": features()["res5"], "fine": features()["res2"]}
    before = NUMPY(decoder(given))
    assert before.shape == (1, 17, 25, 3)
    for name in given:
        assert np.abs(NUMPY(decoder({**given, name: given[name] + 1})) - before).max() > 1e-4, name


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
    # Six of the ASPP, one of the finer feature, two of each separable convolution.
    assert len(averages) == 2 * (6 + 1 + 4)
    for old, variable in zip(before, averages, strict=True):
        assert (NUMPY(variable) != old).any(), variable.path


def test_the_classifier_has_a_bias_and_no_normalization():
    decoder = small_decoder()
    decoder(features())
    assert [tuple(v.shape) for v in decoder.predict.weights] == [(1, 1, 4, 3), (3,)]


def test_the_configuration_round_trips():
    decoder = small_decoder(
        pooling_window=(3, 5), high_level="res4", low_level="res3", activation="gelu", name="decoder",
        batch_norm_momentum=0.9, batch_norm_epsilon=1e-5,
    )  # fmt: skip
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(decoder))
    assert copy.get_config() == decoder.get_config()
    for each in (decoder, copy):
        each.build({"res3": (None, 17, 25, 4), "res4": (None, 5, 7, 6)})
    assert [(v.path, v.shape) for v in copy.weights] == [(v.path, v.shape) for v in decoder.weights]
    copy.set_weights(decoder.get_weights())
    given = {"res3": features()["res2"], "res4": features()["res5"]}
    np.testing.assert_array_equal(NUMPY(copy(given)), NUMPY(decoder(given)))
