"""Atrous spatial pyramid pooling: its window and its five branches."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_deeplab.layers.aspp import ASPP

NUMPY = ops.convert_to_numpy


def random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_without_a_window_the_average_is_global():
    layer = ASPP(4, (1, 2, 3))
    features = random(1, 5, 7, 3)
    layer.build(features.shape)
    np.testing.assert_allclose(NUMPY(layer._average(features))[0, 0, 0], features.mean((0, 1, 2)), atol=1e-6)


@pytest.mark.parametrize("window", [(5, 7), (33, 65)])
def test_a_window_not_smaller_than_the_map_is_global(window):
    features = random(1, 5, 7, 3)
    layers = [ASPP(4, (1, 2, 3), pooling_window=w) for w in (window, None)]
    averages = []
    for layer in layers:
        layer.build(features.shape)
        averages.append(NUMPY(layer._average(features)))
    np.testing.assert_allclose(*averages, atol=1e-6)


def test_a_smaller_window_slides():
    features = random(1, 5, 7, 3)
    layer = ASPP(4, (1, 2, 3), pooling_window=(2, 7))
    layer.build(features.shape)
    average = NUMPY(layer._average(features))
    assert average.shape == (1, 4, 1, 3)
    np.testing.assert_allclose(average[0, 1, 0], features[0, 1:3].mean((0, 1)), atol=1e-6)
    assert layer(features).shape == (1, 5, 7, 4)


def test_the_branches_are_concatenated_in_order():
    layer = ASPP(2, (1, 2, 3), activation=None)
    features = random(1, 6, 6, 3)
    layer.build(features.shape)
    branches = [NUMPY(branch(features)) for branch in layer.branches]
    pooled = np.broadcast_to(NUMPY(layer.pool(layer._average(features))), branches[0].shape)
    joined = np.concatenate([*branches, pooled], axis=-1)
    np.testing.assert_allclose(NUMPY(layer(features)), NUMPY(layer.project(joined)), atol=1e-5)


@pytest.mark.parametrize("size", [(5, 7), (2, 9)])
def test_one_model_takes_images_of_any_size(size):
    layer = ASPP(4, (1, 2, 3), pooling_window=(3, 3))
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == (None, None, None, 4)
    features = random(2, *size, 3)
    result = model.predict(features, verbose=0)
    # Running sums in place of sums of windows of at most 9 numbers.
    np.testing.assert_allclose(result, NUMPY(layer(features)), atol=1e-5)


def test_dropout_acts_in_training_alone():
    layer = ASPP(8, (1, 2, 3), dropout=0.5, activation=None)
    features = random(2, 4, 4, 3)
    assert (NUMPY(layer(features, training=True)) == 0).mean() > 0.2
    assert (NUMPY(layer(features, training=False)) == 0).mean() < 0.05


def test_the_configuration_round_trips():
    layer = ASPP(8, (3, 6, 9), pooling_window=(5, 9), activation="gelu")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert copy.get_config() == layer.get_config()
