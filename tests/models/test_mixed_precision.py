"""Whole models in half precision: outputs close to float32, training that moves float32 weights."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_deeplab.models.deeplab_v3_plus import DeepLabV3Plus
from keras_deeplab.models.panoptic_deeplab import PanopticDeepLab
from tests.models.test_training_step import SIZE, small_backbone

NUMPY = ops.convert_to_numpy
# Mean deviation from float32 in standard deviations: mantissas of 8 and 11 bits, over about 30 layers.
POLICIES = {"mixed_bfloat16": 0.05, "mixed_float16": 0.01}
MODELS = {
    "mobilenet_v3_small": PanopticDeepLab,
    "swidernet_sac_1_1_1": DeepLabV3Plus,
    "axial_swidernet_1_1_1": PanopticDeepLab,
}


def small_model(variant, **options):
    keras.utils.set_random_seed(0)
    return MODELS[variant](small_backbone(variant, **options), aspp_filters=16)


@pytest.fixture(scope="module")
def images():
    coarse = np.random.default_rng(1).uniform(-1, 1, (2, 9, 13, 3))
    return np.kron(coarse, np.ones((1, 8, 8, 1)))[:, : SIZE[0], : SIZE[1]].astype("float32")


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("variant", MODELS)
def test_heads_are_float32_and_close_to_those_of_float32(variant, policy, images):
    exact, half = small_model(variant), small_model(variant, dtype=policy)
    assert half.dtype_policy.name == policy
    rng = np.random.default_rng(0)
    for variable in exact.trainable_variables:
        # Fresh heads predict next to nothing.
        if variable.path.endswith(("predict/kernel", "predict/conv/kernel")):
            variable.assign(rng.normal(0, 0.5, variable.shape))
    half.set_weights(exact.get_weights())
    expected, heads = (keras.Model.predict(model, images, verbose=0) for model in (exact, half))
    for name, head in heads.items():
        assert head.dtype == np.float32
        deviation = np.abs(head - expected[name]).mean() / expected[name].std()
        assert 0 < deviation < POLICIES[policy], name


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("variant", ["mobilenet_v3_small", "axial_swidernet_1_1_1"])
def test_training_keeps_float32_weights_and_learns(variant, policy, images):
    model = small_model(variant, dtype=policy)
    model.compile(optimizer=keras.optimizers.Adam(1e-3))
    scales_loss = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scales_loss == (policy == "mixed_float16")
    if scales_loss:
        # From the default, 2 ** 15, the first steps would only lower the scale.
        model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(1e-3), initial_scale=256))
    labels = {
        "semantic": (images[..., 0] > 0).astype("int32"),
        "semantic_weight": np.ones(images.shape[:3], "float32"),
        "center_heatmap": np.zeros((*images.shape[:3], 1), "float32"),
        "center_weight": np.ones(images.shape[:3], "float32"),
        "center_offset": np.zeros((*images.shape[:3], 2), "float32"),
        "offset_weight": np.ones(images.shape[:3], "float32"),
    }
    losses = [float(model.train_on_batch(images, labels, return_dict=True)["loss"]) for _ in range(4)]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    assert {v.dtype for v in model.trainable_variables} == {"float32"}
    assert all(np.isfinite(NUMPY(v)).all() for v in model.weights)
