"""The residual block and its branches: DeepLab2's numbers, what is activated, strided, starts at zero."""

import re

import keras
import numpy as np
import pytest
from keras import ops

from keras_deeplab.hub import deeplab2
from keras_deeplab.layers.axial_attention import GlobalAttention2D
from keras_deeplab.layers.residual import ResidualBlock, attention_branch, basic_branch, bottleneck_branch
from tests.gradients import value_and_gradients
from tests.references import load_component

NUMPY = ops.convert_to_numpy
ARRAYS, META = load_component("c07_axial")
BLOCKS = {
    "basic": (basic_branch, {"filters": (6, 8), "strides": 2}, {}),
    "basic_nostride_sameC_atrous2": (basic_branch, {"filters": (6, 4), "atrous_rates": (2, 1)}, {}),
    "bottleneck": (bottleneck_branch, {"filters": (4, 4, 8), "strides": 2}, {}),
    "bottleneck_same": (bottleneck_branch, {"filters": (4, 4, 8)}, {}),
    "bottleneck_same_stride2_no_shortcut_conv": (
        bottleneck_branch,
        {"filters": (4, 4, 8), "strides": 2},
        {},
    ),
    "bottleneck_se": (bottleneck_branch, {"filters": (4, 4, 8)}, {"squeeze_excite": True}),
    "bottleneck_sac": (bottleneck_branch, {"filters": (4, 4, 8), "switchable": True}, {}),
    "bottleneck_sac_stride2": (
        bottleneck_branch,
        {"filters": (4, 4, 8), "strides": 2, "switchable": True},
        {},
    ),
    "axial": (attention_branch, {"filters": (8, 4, 16), "strides": 2, "heads": 2}, {}),
    "global": (attention_branch, {"filters": (8, 4, 16), "heads": 2, "attention": GlobalAttention2D}, {}),
    "gelu": (bottleneck_branch, {"filters": (4, 4, 8), "activation": "gelu"}, {}),
}
# The names of DeepLab2's layers are its checkpoint keys without underscores, but for these.
RENAMED = [
    (r"(pre|post)_global_context/convolution", r"\1_global_context/\1_global_context_conv"),
    ("squeeze_and_excite/se_conv", "simplified_squeeze_and_excite/squeeze_and_excite"),
    (r"attention/attention1/", "attention/global/"),
]


def reference_block(case):
    """The block of a case with the case's weights, and the names of its variables there."""
    make_branch, options, block_options = BLOCKS[case]
    shared = {k: v for k, v in options.items() if k in ("strides", "activation")}
    block = ResidualBlock(make_branch(**options), name="stage2_block1", **shared, **block_options)
    block.build(ARRAYS[f"axial_block/{case}/in/x"].shape)
    names = {}
    for variable in block.weights:
        key = deeplab2.translate(variable.path, deeplab2.RESNET_RULES)
        name = re.sub(r"(^|/)_", r"\1", key).removeprefix("stage2/block1/")
        for pattern, replacement in RENAMED:
            name = re.sub(pattern, replacement, name)
        names[variable.path] = name
        variable.assign(ARRAYS[f"axial_block/{case}/w/blk/{name}"])
    assert len(names) == sum(key.startswith(f"axial_block/{case}/w/") for key in ARRAYS)
    return block, names


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=2e-5 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("case", BLOCKS)
def test_outputs_and_gradients_equal_deeplab2(case):
    block, names = reference_block(case)
    prefix = f"axial_block/{case}"
    output, (of_input,), of_weights = value_and_gradients(block, ARRAYS[f"{prefix}/in/x"])
    close(output, ARRAYS[f"{prefix}/out_infer/y"])
    close(of_input, ARRAYS[f"{prefix}/grad_in/x"])
    expected = {path: ARRAYS[f"{prefix}/grad_w/blk/{names[path]}"] for path in of_weights}
    # Relative to the largest gradient: a shift of all similarities changes nothing, and its gradient is
    # what rounding leaves of 0.
    atol = 2e-6 * max(np.abs(gradient).max() for gradient in expected.values())
    for path, gradient in of_weights.items():
        np.testing.assert_allclose(gradient, expected[path], rtol=1e-4, atol=atol)


@pytest.mark.parametrize("case", [c for c in BLOCKS if f"axial_block/{c}/out_train/y" in ARRAYS])
def test_training_outputs_equal_deeplab2(case):
    block, _ = reference_block(case)
    output = NUMPY(block(ARRAYS[f"axial_block/{case}/in/x"], training=True))
    close(output, ARRAYS[f"axial_block/{case}/out_train/y"])


def random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_a_fresh_block_passes_its_activated_input_on():
    images = random(1, 5, 6, 8)
    result = NUMPY(ResidualBlock(bottleneck_branch((2, 2, 8)))(images))
    np.testing.assert_allclose(result, np.maximum(images, 0), atol=1e-6)


def test_a_strided_identity_takes_every_second_pixel():
    images = random(1, 5, 6, 8)
    result = NUMPY(ResidualBlock(basic_branch((2, 8), strides=2), strides=2)(images))
    np.testing.assert_allclose(result, np.maximum(images, 0)[:, ::2, ::2], atol=1e-6)


def test_the_sum_is_not_activated():
    block = ResidualBlock(bottleneck_branch((2, 2, 8)))
    block.build((None, 5, 6, 8))
    block.branch[-1].batch_norm.beta.assign(np.full(8, -5.0))
    assert NUMPY(block(random(1, 5, 6, 8))).max() < 0


def test_dropped_images_keep_their_shortcut_alone():
    block = ResidualBlock(bottleneck_branch((2, 2, 8)), drop_path_rate=0.5)
    images = random(64, 3, 3, 8)
    block.build(images.shape)
    block.branch[-1].batch_norm.beta.assign(np.ones(8))
    branch = NUMPY(block(images, training=True)) - np.maximum(images, 0)
    kept = branch.reshape(64, -1).mean(1)
    # What is kept is scaled, so that the mean over many draws stays 1.
    assert set(np.round(kept, 4)) == {0.0, 2.0}
    np.testing.assert_allclose(NUMPY(block(images)) - np.maximum(images, 0), 1, atol=1e-6)


@pytest.mark.parametrize(
    "branch",
    [
        basic_branch((2, 8), atrous_rates=(1, 2)),
        bottleneck_branch((2, 2, 8), switchable=True),
        attention_branch((8, 4, 8), heads=2),
    ],
)
def test_the_configuration_round_trips(branch):
    block = ResidualBlock(branch, squeeze_excite=True, drop_path_rate=0.25, recompute=True)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(block))
    assert copy.get_config() == block.get_config()
    for each in (block, copy):
        each.build((None, 5, 5, 8))
    assert [v.shape for v in copy.weights] == [v.shape for v in block.weights]


@pytest.mark.parametrize("training", [True, False])
def test_recomputing_changes_nothing_but_memory(training):
    images = random(3, 5, 6, 4)
    results = []
    for recompute in (False, True):
        keras.utils.set_random_seed(1)
        block = ResidualBlock(bottleneck_branch((2, 2, 8)), drop_path_rate=0.3, recompute=recompute, name="b")
        block.build(images.shape)
        block.branch[-1].batch_norm.gamma.assign(np.ones(8))
        results.append((*value_and_gradients(block, images, training=training), block))
    (output, of_input, of_weights, _), (output2, of_input2, of_weights2, _) = results
    close(output2, output)
    close(of_input2[0], of_input[0])
    for path in of_weights:
        close(of_weights2[path], of_weights[path])
