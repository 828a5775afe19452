"""Learned positions: DeepLab2's numbers, and one defect that is not repeated."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_deeplab.layers.positional_encoding import AbsolutePositionEncoding
from tests.gradients import value_and_gradients
from tests.references import load_component

NUMPY = ops.convert_to_numpy
ARRAYS, _ = load_component("c07_misc_layers")


def assign(layer, parts, case, theirs):
    """Gives one of the layer's encodings the weights that DeepLab2 has under the names `theirs`."""
    vectors, normalize = parts
    vectors.assign(ARRAYS[f"{case}/w/ape/{theirs}embeddings"].reshape(vectors.shape))
    for variable in normalize.weights:
        variable.assign(ARRAYS[f"{case}/w/ape/{theirs}batch_norm/{variable.name}"])


def test_positions_per_pixel_equal_deeplab2():
    layer = AbsolutePositionEncoding("2d")
    inputs = ARRAYS["abs_pe_2D/in/x"].astype("float32")
    layer.build(inputs.shape)
    assign(layer, layer.encodings[0], "abs_pe_2D", "")
    output, (of_input,), of_weights = value_and_gradients(layer, inputs)
    np.testing.assert_allclose(output, ARRAYS["abs_pe_2D/out_infer/y"], atol=1e-6)
    np.testing.assert_allclose(of_input, ARRAYS["abs_pe_2D/grad_in/x"], atol=1e-5)
    for path, gradient in of_weights.items():
        theirs = path.split("/", 1)[1].replace("place_vectors", "embeddings").replace("place_", "")
        np.testing.assert_allclose(gradient, ARRAYS[f"abs_pe_2D/grad_w/ape/{theirs}"], rtol=1e-4, atol=1e-4)
    trained = layer(ops.convert_to_tensor(inputs), training=True)
    np.testing.assert_allclose(NUMPY(trained), ARRAYS["abs_pe_2D/out_train/y"], atol=1e-5)


def test_columns_have_vectors_along_the_columns_unlike_in_deeplab2():
    layer = AbsolutePositionEncoding("1d")
    inputs = ARRAYS["abs_pe_1D/in/x"].astype("float32")
    layer.build(inputs.shape)
    for parts, theirs in zip(layer.encodings, ("height_axis_", "width_axis_"), strict=True):
        assign(layer, parts, "abs_pe_1D", theirs)
    rows, columns = (NUMPY(normalize(vectors)) for vectors, normalize in layer.encodings)
    # DeepLab2 adds the columns' vectors along the rows, which only a square map allows.
    np.testing.assert_allclose(
        inputs + rows + columns.transpose(0, 2, 1, 3), ARRAYS["abs_pe_1D/out_infer/y"], atol=1e-6
    )
    np.testing.assert_allclose(NUMPY(layer(inputs)), inputs + rows + columns, atol=1e-6)


def test_maps_need_not_be_square():
    assert AbsolutePositionEncoding("1d")(np.zeros((2, 3, 5, 4), "float32")).shape == (2, 3, 5, 4)


def test_malformed_arguments_are_named():
    with pytest.raises(ValueError, match="`kind` must be one of"):
        AbsolutePositionEncoding("3d")
    with pytest.raises(ValueError, match="Absolute positions need a fixed size"):
        AbsolutePositionEncoding()(keras.Input((None, 9, 4)))


def test_the_configuration_round_trips():
    layer = AbsolutePositionEncoding("1d", batch_norm_epsilon=1e-5)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert copy.get_config() == layer.get_config()
