"""Stochastic depth: which images are dropped, how the others are scaled, and the schedules."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from keras_deeplab.layers.drop_path import DropPath, scheduled_rate
from keras_deeplab.layers.residual import ResidualBlock, bottleneck_branch
from tests.references import load_component

NUMPY = ops.convert_to_numpy
ARRAYS, _ = load_component("c07_misc_layers")
BLOCK, _ = load_component("c07_axial")


def draw(numbers, monkeypatch):
    """Makes these the next random numbers."""
    monkeypatch.setattr(
        keras.random, "uniform", lambda shape, **_: ops.reshape(ops.convert_to_tensor(numbers), shape)
    )


def test_the_same_draws_drop_the_same_images_as_in_deeplab2(monkeypatch):
    draw(ARRAYS["drop_path/in/uniform"], monkeypatch)
    images = ARRAYS["drop_path/in/x"]
    layer = DropPath(1 - 0.7)
    np.testing.assert_allclose(
        NUMPY(layer.draw_mask(images)), ARRAYS["drop_path/out/mask_keep0.7"], rtol=1e-6
    )
    expected = ARRAYS["drop_path/out/layer_keep0.7_train"]
    np.testing.assert_allclose(NUMPY(layer(images, training=True)), expected, rtol=1e-6)


def test_a_residual_branch_is_masked_as_in_deeplab2(monkeypatch):
    prefix = "axial_block/drop_path_mask"
    block = ResidualBlock(bottleneck_branch((4, 4, 8)), drop_path_rate=0.2)
    images = BLOCK[f"{prefix}/in/x"].astype("float32")
    block.build(images.shape)
    for layer, name in zip(block.branch, ("conv1_bn_act", "conv2_bn_act", "conv3_bn"), strict=True):
        for variable in layer.weights:
            value = "/".join(variable.path.split("/")[-2:])
            variable.assign(BLOCK[f"{prefix}/w/blk/{name}/{value}"])
    # The first image is dropped, the second is not.
    draw(np.float32([0.1, 0.9]), monkeypatch)
    result = NUMPY(block(images, training=True))
    # Sums of at most 36 products in float32, normalised twice.
    np.testing.assert_allclose(result, BLOCK[f"{prefix}/out_train/y"], rtol=1e-4, atol=2e-5)
    np.testing.assert_array_equal(result[0], np.maximum(images[0], 0))


def test_inference_is_the_identity():
    images = np.random.default_rng(0).normal(size=(4, 2, 3)).astype("float32")
    layer = DropPath(0.9)
    np.testing.assert_array_equal(NUMPY(layer(images)), images)
    np.testing.assert_array_equal(NUMPY(layer(images, training=False)), images)


def test_a_rate_of_zero_is_the_identity_and_draws_nothing():
    layer = DropPath(0.0)
    images = np.random.default_rng(0).normal(size=(4, 2, 3)).astype("float32")
    np.testing.assert_array_equal(NUMPY(layer(images, training=True)), images)
    assert layer.variables == []


def test_an_image_is_dropped_as_a_whole_or_kept_as_a_whole():
    keras.utils.set_random_seed(0)
    factors = NUMPY(DropPath(0.25)(np.ones((64, 3, 2, 2), "float32"), training=True)).reshape(64, -1)
    assert (factors == factors[:, :1]).all()
    assert set(factors[:, 0]) == {np.float32(0), np.float32(1 / 0.75)}


def test_the_mean_over_many_draws_is_one():
    keras.utils.set_random_seed(0)
    factors = NUMPY(DropPath(0.3)(np.ones((20_000, 1), "float32"), training=True))
    # The deviation of one factor is sqrt(0.3 / 0.7); 5 times that of the mean.
    assert abs(factors.mean() - 1) < 5 * (0.3 / 0.7 / 20_000) ** 0.5
    assert abs((factors == 0).mean() - 0.3) < 5 * (0.3 * 0.7 / 20_000) ** 0.5


def test_every_call_draws_anew_and_a_seed_repeats_the_draws():
    calls = []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        layer = DropPath(0.5)
        calls.append([NUMPY(layer.draw_mask(np.ones((32, 1), "float32"))) for _ in range(2)])
    np.testing.assert_array_equal(calls[0], calls[1])
    assert (calls[0][0] != calls[0][1]).any()


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_half_precision_stays_half(half):
    keras.utils.set_random_seed(0)
    result = DropPath(0.2, dtype=f"mixed_{half}")(ops.ones((64, 1), half), training=True)
    assert keras.backend.standardize_dtype(result.dtype) == half
    # 1.25 is exact in both.
    assert set(NUMPY(ops.cast(result, "float32")).ravel()) == {0.0, 1.25}


@pytest.mark.parametrize(
    ("schedule", "rates"), [("constant", [0.2] * 5), ("linear", [0.0, 0.05, 0.1, 0.15, 0.2])]
)
def test_rates_by_stage(schedule, rates):
    actual = [scheduled_rate(0.2, schedule, stage, num_stages=4) for stage in range(5)]
    np.testing.assert_allclose(actual, rates, rtol=1e-12)


@given(st.floats(0, 0.99), st.integers(1, 12), st.data())
def test_linear_rates_grow_up_to_the_given_one(rate, num_stages, data):
    stage = data.draw(st.integers(0, num_stages - 1))
    here, next_one = (scheduled_rate(rate, "linear", s, num_stages) for s in (stage, stage + 1))
    assert (
        0 <= here <= next_one <= scheduled_rate(rate, "linear", num_stages, num_stages) == pytest.approx(rate)
    )


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5])
def test_a_rate_outside_of_its_range_is_named(rate):
    with pytest.raises(ValueError, match=r"`rate` must lie in \[0, 1\)"):
        DropPath(rate)


def test_an_unknown_schedule_is_named():
    with pytest.raises(ValueError, match=r"`drop_path_schedule` must be one of .*linear.*'cosine'"):
        scheduled_rate(0.2, "cosine", 1, 4)


def test_the_configuration_round_trips():
    layer = DropPath(0.3, name="drop")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert copy.get_config() == layer.get_config()
    assert copy.rate == 0.3
