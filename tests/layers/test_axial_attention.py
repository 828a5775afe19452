"""Attention along axes: DeepLab2's numbers, lengths beyond its tables, precision, arguments."""

import re

import keras
import numpy as np
import pytest
from keras import ops

from keras_deeplab.layers.axial_attention import AxialAttention, AxialAttention2D, GlobalAttention2D
from tests.gradients import value_and_gradients
from tests.references import load_component

NUMPY = ops.convert_to_numpy
ARRAYS, META = load_component("c07_axial")
CASES = [case for case in META["cases"] if not case.startswith("axial_block")]
SWITCHES = {
    "use_content_similarity": "content",
    "use_query_rpe_similarity": "query_position",
    "use_key_rpe_similarity": "key_position",
    "retrieve_value_content": "value_content",
    "retrieve_value_rpe": "value_position",
}


def reference_layer(case):
    """The layer of a case with the case's weights, and DeepLab2's names of its variables."""
    config = META["cases"][case]["config"]
    if case.startswith("axial1d"):
        switches = {ours: bool(config[theirs]) for theirs, ours in SWITCHES.items()}
        layer = AxialAttention(
            config["total_key_depth"], config["total_value_depth"], config["num_heads"],
            activation=config["activation"], **switches,
        )  # fmt: skip
        root = "axial_attention"
    else:
        layer_class, options = AxialAttention2D, {}
        if case.startswith("global2d"):
            layer_class, options = GlobalAttention2D, {"double": config["double"]}
        layer = layer_class(8, heads=2, strides=config["strides"], **options)
        root = "attention"
    layer.build(ARRAYS[f"{case}/in/x"].shape)
    names = {}
    for variable in layer.weights:
        name = re.sub(r"(query|key|value)_position_table", r"\1_rpe/embeddings", variable.path)
        name = name.replace("batch_norm_retrieved", "batch_norm_retrieved_output")
        name = name.replace("attention1", "global").replace("attention2", "global2").split("/", 1)[1]
        names[variable.path] = f"{root}/{name}"
        variable.assign(ARRAYS[f"{case}/w/{root}/{name}"])
    assert len(names) == sum(key.startswith(f"{case}/w/") for key in ARRAYS)
    return layer, names


def close(actual, expected):
    # Sums of at most 35 products in float32, in another order.
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("case", CASES)
def test_outputs_and_gradients_equal_deeplab2(case):
    layer, names = reference_layer(case)
    output, (of_input,), of_weights = value_and_gradients(layer, ARRAYS[f"{case}/in/x"])
    close(output, ARRAYS[f"{case}/out_infer/y"])
    if f"{case}/grad_in/x" not in ARRAYS:
        return
    close(of_input, ARRAYS[f"{case}/grad_in/x"])
    expected = {path: ARRAYS[f"{case}/grad_w/{names[path]}"] for path in of_weights}
    # A shift of all similarities does not change a softmax: its gradient is what rounding leaves of 0.
    atol = 2e-6 * max(np.abs(gradient).max() for gradient in expected.values())
    for path, gradient in of_weights.items():
        np.testing.assert_allclose(gradient, expected[path], rtol=1e-4, atol=atol)


@pytest.mark.parametrize("case", CASES)
def test_training_outputs_and_moving_averages_equal_deeplab2(case):
    layer, names = reference_layer(case)
    output = layer(ops.convert_to_tensor(ARRAYS[f"{case}/in/x"], "float32"), training=True)
    close(NUMPY(output), ARRAYS[f"{case}/out_train/y"])
    for variable in layer.non_trainable_variables:
        close(NUMPY(variable), ARRAYS[f"{case}/w_after_train_step/{names[variable.path]}"])


def attend_in_numpy(layer, inputs):
    """The same attention, with a table of all pairs of places."""
    weights = {v.path.split("/", 1)[1]: NUMPY(v).astype("float64") for v in layer.weights}

    def normalize(x, name):
        mean, variance, gamma, beta = (
            weights[f"{name}/{kind}"] for kind in ("moving_mean", "moving_variance", "gamma", "beta")
        )
        return (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta

    qkv = normalize(inputs.astype("float64") @ weights["qkv_kernel"], "batch_norm_qkv")
    n, length, _ = qkv.shape
    depths = np.cumsum([layer.key_depth, layer.key_depth])
    q, k, v = (
        part.reshape(n, length, layer.heads, -1).transpose(0, 2, 1, 3)
        for part in np.split(qkv, depths, axis=-1)
    )
    places = np.arange(length)
    pairs = np.clip(places[None] - places[:, None] + 254, 0, 508)
    rq, rk, rv = (weights[f"{name}_position_table"][pairs] for name in ("query", "key", "value"))
    terms = [
        np.einsum("nhld,nhmd->nhlm", q, k),
        np.einsum("nhld,lmd->nhlm", q, rq),
        np.einsum("nhmd,lmd->nhlm", k, rk),
    ]
    similarity = normalize(np.stack(terms), "batch_norm_similarity").sum(0)
    similarity = np.exp(similarity - similarity.max(-1, keepdims=True))
    attention = similarity / similarity.sum(-1, keepdims=True)
    retrieved = [np.einsum("nhlm,nhmd->nhld", attention, v), np.einsum("nhlm,lmd->nhld", attention, rv)]
    result = normalize(np.stack(retrieved), "batch_norm_retrieved").sum(0)
    return result.transpose(0, 2, 1, 3).reshape(n, length, -1)


@pytest.mark.parametrize("length", [1, 2, 129, 130, 255, 256, 300])
def test_any_length_works_and_distances_beyond_254_are_alike(length):
    keras.utils.set_random_seed(0)
    layer = AxialAttention(4, 8, heads=2)
    inputs = np.random.default_rng(0).normal(size=(1, length, 6)).astype("float32")
    layer.build(inputs.shape)
    layer.batch_norm_similarity.gamma.assign(np.full((3, 1, 2, 1, 1), 0.3))
    close(NUMPY(layer(inputs)), attend_in_numpy(layer, inputs))


def test_the_same_weights_attend_along_other_lengths():
    layer = AxialAttention(4, 8, heads=2)
    layer.build((None, 9, 6))
    inputs = np.random.default_rng(0).normal(size=(2, 5, 6)).astype("float32")
    close(NUMPY(layer(inputs)), attend_in_numpy(layer, inputs))


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_stays_close(dtype):
    inputs = np.random.default_rng(0).normal(size=(2, 7, 9, 16)).astype("float32")
    outputs = []
    for policy in ("float32", dtype):
        keras.utils.set_random_seed(0)
        layer = AxialAttention2D(16, heads=4, dtype=policy)
        outputs.append(NUMPY(ops.cast(layer(inputs), "float32")))
        assert layer.height_axis.batch_norm_similarity.compute_dtype == "float32"
    exact, half = outputs
    # The root of the mean square: one value's largest error hangs on how a processor rounds.
    assert np.sqrt(np.mean((half - exact) ** 2)) < 0.05 * exact.std()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"key_depth": 6, "value_depth": 8}, "must be multiples of `heads` = 4"),
        ({"key_depth": 4, "value_depth": 8, "activation": "relu"}, "`activation` must be one of"),
        (
            {"key_depth": 4, "value_depth": 8, "value_content": False, "value_position": False},
            "at least one similarity and one value",
        ),
    ],
)
def test_malformed_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        AxialAttention(heads=4, **arguments)


def test_positions_need_a_fixed_size():
    with pytest.raises(ValueError, match="Give the backbone an `image_shape`"):
        AxialAttention2D(8)(keras.Input((None, 9, 4)))
    assert GlobalAttention2D(8)(keras.Input((None, 9, 4))).shape == (None, None, 9, 16)


@pytest.mark.parametrize("layer_class", [AxialAttention2D, GlobalAttention2D])
def test_configurations_round_trip(layer_class):
    layer = layer_class(16, key_expansion=2, heads=4, strides=2, activation="gelu")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert copy.get_config() == layer.get_config()
    one = AxialAttention(8, 16, heads=4, content=False, activation="sigmoid")
    assert AxialAttention.from_config(one.get_config()).get_config() == one.get_config()
