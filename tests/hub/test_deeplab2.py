"""Loading DeepLab2's checkpoints: every variable accounted for."""

import keras
import numpy as np
import pytest

from keras_deeplab.backbones import Backbone
from keras_deeplab.hub.deeplab2 import checkpoint_keys, load_weights
from tests.reference_weights import reference_checkpoint
from tests.references import FULL, load_manifest

NAME = "cityscapes__panoptic_deeplab__mobilenet_v3_small_os32"


@pytest.fixture(scope="module")
def backbone():
    return Backbone.from_variant("mobilenet_v3_small")


@pytest.fixture
def checkpoint():
    return reference_checkpoint(load_manifest(NAME))


@pytest.mark.parametrize(
    ("variant", "manifest"),
    [
        ("mobilenet_v3_small", NAME),
        ("mobilenet_v3_large", "cityscapes__panoptic_deeplab__mobilenet_v3_large_os32"),
        ("resnet50", "cityscapes__panoptic_deeplab__resnet50_os32_merge_with_pure_tf_func"),
        ("resnet50_beta", "cityscapes__panoptic_deeplab__resnet50_beta_os32"),
    ],
)
def test_a_backbone_has_exactly_the_encoders_variables(variant, manifest):
    expected = {
        key.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE"): tuple(shape)
        for key, shape, _ in load_manifest(manifest)["checkpoint"]
        if key.startswith("encoder/")
    }
    keys = checkpoint_keys(Backbone.from_variant(variant))
    assert {key: tuple(variable.shape) for key, variable in keys.items()} == expected


def test_weights_arrive_where_they_belong(backbone, checkpoint):
    load_weights(backbone, checkpoint)
    kernel = keras.ops.convert_to_numpy(backbone.get_layer("block1_depthwise").convolution.kernel)
    key = "encoder/_blocks/1/_conv2_bn_act/_depthwise_conv/depthwise_kernel/.ATTRIBUTES/VARIABLE_VALUE"
    np.testing.assert_array_equal(kernel, checkpoint[key])


def test_optimizer_state_and_counters_are_left_out(backbone, checkpoint):
    checkpoint["encoder/_blocks/0/_conv/kernel/.OPTIMIZER_SLOT/optimizer/m/.ATTRIBUTES/VARIABLE_VALUE"] = 0.0
    checkpoint["save_counter/.ATTRIBUTES/VARIABLE_VALUE"] = 1
    load_weights(backbone, checkpoint)


def test_missing_surplus_and_misshapen_keys_are_all_listed(backbone, checkpoint):
    prefix = "encoder/_blocks/0/_batch_norm"
    before = [keras.ops.convert_to_numpy(v) for v in backbone.weights]
    del checkpoint[f"{prefix}/beta/.ATTRIBUTES/VARIABLE_VALUE"]
    checkpoint["encoder/unheard_of"] = np.zeros(1)
    checkpoint[f"{prefix}/gamma/.ATTRIBUTES/VARIABLE_VALUE"] = np.zeros(7)
    with pytest.raises(ValueError, match=r"Not in the checkpoint \(1\):\n  .*beta") as error:
        load_weights(backbone, checkpoint)
    assert "not in the model (1):\n  encoder/unheard_of" in str(error.value)
    assert f"{prefix}/gamma: (7,) in the checkpoint, (16,) in the model" in str(error.value)
    for old, new in zip(before, backbone.weights, strict=True):
        np.testing.assert_array_equal(old, keras.ops.convert_to_numpy(new))


@pytest.mark.skipif(not (FULL / "checkpoints").is_dir(), reason="needs the full reference set")
def test_a_real_checkpoint_loads(backbone, checkpoint):
    tf = pytest.importorskip("tensorflow")
    folder = FULL / "checkpoints" / "imagenet_mobilenet_v3_small_encoder"
    reader = tf.train.load_checkpoint(str(next(folder.glob("*.index"))).removesuffix(".index"))
    load_weights(backbone, {k: reader.get_tensor(k) for k in reader.get_variable_to_shape_map()})
    kernel = keras.ops.convert_to_numpy(backbone.get_layer("stem").convolution.kernel)
    np.testing.assert_array_equal(
        kernel, checkpoint["encoder/_blocks/0/_conv/kernel/.ATTRIBUTES/VARIABLE_VALUE"]
    )
