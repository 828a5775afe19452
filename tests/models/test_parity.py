"""Every published image model without a mask transformer: its variables, and its heads, are DeepLab2's."""

import gc

import keras
import numpy as np
import pytest

from keras_deeplab.hub.deeplab2 import checkpoint_keys, load_weights
from tests.models.published import build, manifests, start_with_zeros
from tests.reference_weights import ReferenceCheckpoint
from tests.references import load_golden, load_manifest

HEADS = {
    "semantic_logits": "semantic_logits",
    "center_heatmap": "center_heatmap",
    "offset_map": "center_offset",
}
SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


def tables():
    """(source, name) of every manifest."""
    return [(source, name) for source, name, _ in manifests()]


def goldens():
    """(source, name) of every manifest with outputs, each golden once."""
    once = {(source, m["golden"]): (source, name) for source, name, m in manifests() if m.get("golden")}
    return list(once.values())


@pytest.fixture(autouse=True)
def one_model_at_a_time(monkeypatch):
    start_with_zeros(monkeypatch)
    yield
    keras.backend.clear_session()
    gc.collect()


@pytest.mark.parametrize(("source", "name"), tables())
def test_variables_equal_the_checkpoint(source, name):
    manifest = load_manifest(name, source)
    model = build(name, source)
    ours = {key: tuple(variable.shape) for key, variable in checkpoint_keys(model).items()}
    theirs = {key.removesuffix(SUFFIX): tuple(shape) for key, shape, _ in manifest["checkpoint"]}
    assert ours == theirs
    assert len(model.weights) == len(manifest["checkpoint"])
    assert model.count_params() == manifest["parameter_count"]
    frozen = {key for key, variable in checkpoint_keys(model).items() if not variable.trainable}
    assert frozen == {key for key in ours if key.rsplit("/", 1)[1].startswith("moving_")}
    if "trainable_parameter_count" in manifest:
        trainable = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
        assert trainable == manifest["trainable_parameter_count"]


@pytest.mark.parametrize(("source", "name"), goldens())
def test_heads_equal_deeplab2(source, name):
    manifest = load_manifest(name, source)
    golden = load_golden(manifest["golden"].removesuffix(".npz"), source)
    model = build(name, source)
    load_weights(model, ReferenceCheckpoint(manifest))
    heads = keras.Model.predict(model, golden["input"].astype("float32") / 127.5 - 1, verbose=0)
    for theirs, ours in HEADS.items():
        if f"out/{theirs}" not in golden:
            assert ours not in heads
            continue
        step = int(golden[f"stride/{theirs}"])
        expected = golden[f"out/{theirs}"]
        actual = heads[ours][:, ::step, ::step].reshape(expected.shape)
        # float32 sums in another order; DeepLab2 differs from itself by up to 2e-4 between kernels.
        std = golden[f"stats/{theirs}"][1]
        assert np.abs(actual - expected).max() <= 1e-3 * std, (theirs, np.abs(actual - expected).max() / std)
