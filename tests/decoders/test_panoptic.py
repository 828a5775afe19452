"""The decoder's data flow. Its numbers are tested with the whole model."""

import keras
import numpy as np
from keras import ops

from keras_deeplab.decoders.panoptic import PanopticDecoder, PredictionHead


def features():
    rng = np.random.default_rng(0)
    sizes = {"res2": (17, 25, 6), "res3": (9, 13, 8), "res5": (3, 4, 12)}
    return {name: rng.normal(size=(1, *size)).astype("float32") for name, size in sizes.items()}


def test_the_decoder_ends_at_the_finest_level():
    decoder = PanopticDecoder(10, aspp_filters=12, low_levels=(("res3", 4), ("res2", 3)))
    assert decoder(features()).shape == (1, 17, 25, 10)
    assert tuple(decoder.fusions[0].depthwise.convolution.kernel.shape) == (5, 5, 16, 1)
    assert tuple(decoder.fusions[1].depthwise.convolution.kernel.shape) == (5, 5, 13, 1)


def test_every_feature_reaches_the_output():
    decoder = PanopticDecoder(10, aspp_filters=12)
    given = features()
    before = ops.convert_to_numpy(decoder(given))
    for name in given:
        changed = {**given, name: given[name] + 1}
        assert np.abs(ops.convert_to_numpy(decoder(changed)) - before).max() > 1e-4, name


def test_a_head_predicts_in_float32_from_half_precision():
    head = PredictionHead(4, outputs=2, dtype="mixed_bfloat16")
    result = head(np.ones((1, 5, 5, 3), "float32"))
    assert keras.backend.standardize_dtype(result.dtype) == "float32"
    assert result.shape == (1, 5, 5, 2)


def test_configurations_round_trip():
    for layer in (PanopticDecoder(10, atrous_rates=(6, 12, 18), pooling_window=(3, 5)), PredictionHead(4, 2)):
        copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
        assert copy.get_config() == layer.get_config()
