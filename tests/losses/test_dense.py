"""Dense losses: values and gradients equal DeepLab2's."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from keras import ops

from keras_deeplab.losses.dense import (
    PanopticDeepLabLoss,
    mean_absolute_error,
    mean_of_hardest,
    mean_squared_error,
    semantic_cross_entropy,
)
from tests.references import SOURCES, load_component

NUMPY = ops.convert_to_numpy


def value_and_gradient(function, x):
    """`function(x)` `[b]` and the gradient of its sum, on the current backend."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        x = tf.convert_to_tensor(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x)
        return NUMPY(value), NUMPY(tape.gradient(value, x))
    if backend == "jax":
        import jax

        return NUMPY(function(x)), NUMPY(jax.grad(lambda x: ops.sum(function(x)))(x))
    import torch

    x = torch.tensor(x, requires_grad=True)
    value = function(x)
    value.sum().backward()
    return NUMPY(value.detach()), x.grad.numpy()


def assert_equals_reference(function, x, arrays, case):
    value, gradient = value_and_gradient(function, x)
    # float32 sums over 2,000 pixels in another order.
    np.testing.assert_allclose(value, arrays[f"{case}/out/loss"], rtol=2e-5)
    expected = next(array for key, array in arrays.items() if key.startswith(f"{case}/grad/"))
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())


def inputs_of(arrays, case):
    """A case's inputs; runs with another `top_k` share those of the first one."""
    group = case.split("/")[0]
    first = next(k for k in arrays if k.startswith(group + "/") and "/in/" in k).rsplit("/in/", 1)[0]
    prefix = f"{first}/in/"
    return {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("top_k", [1.0, 0.2, 0.15, 0.5])
def test_semantic_loss_equals_deeplab2(source, top_k):
    arrays, _ = load_component("c01_losses_base", source)
    given = inputs_of(arrays, "semantic/topk1.0")
    assert_equals_reference(
        lambda x: semantic_cross_entropy(given["gt"], x, given["weights"], 255, top_k),
        given["logits"],
        arrays,
        f"semantic/topk{top_k}",
    )


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("top_k", [1.0, 0.2])
def test_semantic_loss_subsamples_finer_labels(source, top_k):
    arrays, _ = load_component("c01_losses_base", source)
    given = inputs_of(arrays, "semantic_stride4/topk1.0")
    assert_equals_reference(
        lambda x: semantic_cross_entropy(given["gt"], x, given["weights"], 0, top_k),
        given["logits"],
        arrays,
        f"semantic_stride4/topk{top_k}",
    )


@pytest.mark.parametrize("source", SOURCES)
def test_an_image_of_ignored_pixels_has_no_loss(source):
    arrays, _ = load_component("c01_losses_base", source)
    given = inputs_of(arrays, "semantic/topk1.0")
    labels = given["gt"].copy()
    labels[1] = 255
    assert_equals_reference(
        lambda x: semantic_cross_entropy(labels, x, given["weights"], 255, 0.2),
        given["logits"],
        arrays,
        "semantic_image1_all_ignored",
    )


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("top_k", ["1.0", "0.25"])
@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("center_mse", mean_squared_error),
        ("center_l1", mean_absolute_error),
        ("offset_l1", mean_absolute_error),
        ("offset_mse", mean_squared_error),
    ],
)
def test_regression_losses_equal_deeplab2(source, name, function, top_k):
    arrays, _ = load_component("c01_losses_base", source)
    given = inputs_of(arrays, f"{name}/topk1.0")
    channels = given["pred"].ndim == 3

    def loss(x):
        prediction = x[..., None] if channels else x
        target = given["gt"][..., None] if channels else given["gt"]
        return function(target, prediction, given["weights"], float(top_k))

    assert_equals_reference(loss, given["pred"], arrays, f"{name}/topk{top_k}")


@pytest.mark.parametrize("source", SOURCES)
def test_the_terms_of_panoptic_deeplab_equal_deeplab2(source):
    arrays, meta = load_component("c01_losses_base", source)
    semantic = inputs_of(arrays, "semantic/topk1.0")
    center = inputs_of(arrays, "center_mse/topk1.0")
    offset = inputs_of(arrays, "offset_l1/topk1.0")
    targets = {
        "semantic": semantic["gt"],
        "semantic_weight": semantic["weights"],
        "center_heatmap": center["gt"][..., None],
        "center_weight": center["weights"],
        "center_offset": offset["gt"],
        "offset_weight": offset["weights"],
    }
    heads = {
        "semantic_logits": semantic["logits"],
        "center_heatmap": center["pred"][..., None],
        "center_offset": offset["pred"],
    }
    terms = PanopticDeepLabLoss(ignore_label=255)(targets, heads)
    total = sum(NUMPY(term) for term in terms.values())
    np.testing.assert_allclose(total, meta["cases"]["family/panoptic"]["total"], rtol=2e-5)
    for theirs, ours in (("semantic", "semantic"), ("center", "center"), ("regression", "offset")):
        expected = arrays[f"family/panoptic/out/{theirs}_loss"]
        np.testing.assert_allclose(NUMPY(terms[f"{ours}_loss"]), expected, rtol=2e-5)


def test_a_model_without_centres_has_a_semantic_loss_alone():
    targets = {"semantic": np.zeros((1, 3, 3), "int32"), "semantic_weight": np.ones((1, 3, 3), "float32")}
    heads = {"semantic_logits": np.zeros((1, 3, 3, 4), "float32")}
    terms = PanopticDeepLabLoss(semantic_top_k=1.0)(targets, heads)
    assert list(terms) == ["semantic_loss"]
    assert NUMPY(terms["semantic_loss"])[0] == pytest.approx(np.log(4), rel=1e-6)


@settings(deadline=None, max_examples=30)
@given(
    losses=hnp.arrays("float32", (2, 4, 5), elements=st.integers(0, 40).map(lambda n: n / 8)),
    top_k=st.sampled_from([1.0, 0.5, 0.2, 0.05]),
)
def test_mean_of_hardest_equals_sorting(losses, top_k):
    expected = []
    for image in losses.reshape(2, -1):
        kept = np.sort(image)[::-1][: max(1, round(top_k * image.size))]
        expected.append(kept.sum() / max(np.count_nonzero(kept), 1))
    np.testing.assert_allclose(NUMPY(mean_of_hardest(losses, top_k)), expected, rtol=1e-6)


def test_labels_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not fit logits"):
        semantic_cross_entropy(np.zeros((1, 10, 9), "int32"), np.zeros((1, 5, 5, 2), "float32"))


def test_a_top_k_out_of_range_is_refused():
    with pytest.raises(ValueError, match="semantic_top_k"):
        PanopticDeepLabLoss(semantic_top_k=0.0)


def test_the_configuration_round_trips():
    loss = PanopticDeepLabLoss(ignore_label=0, semantic_top_k=0.15, offset_weight=0.1)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert copy.get_config() == loss.get_config()
