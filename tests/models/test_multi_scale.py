"""Predictions averaged over scaled and mirrored images."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_deeplab.backbones.resnet import ResNetBackbone
from keras_deeplab.models.deeplab_v3 import DeepLabV3
from keras_deeplab.models.multi_scale import Average, average_heads, list_views
from keras_deeplab.models.panoptic_deeplab import PanopticDeepLab
from keras_deeplab.ops.resize import resize_bilinear

NUMPY = ops.convert_to_numpy
SIZE = (33, 65)


def small_backbone(**options):
    return ResNetBackbone(
        blocks=(0, 1, 1, 1, 1), stem_width_multiplier=0.125, width_multiplier=0.0625, output_stride=16,
        **options,
    )  # fmt: skip


def with_random_heads(model):
    """Fresh heads predict next to nothing; these predict something."""
    rng = np.random.default_rng(5)
    for variable in model.trainable_variables:
        if variable.path.endswith(("predict/kernel", "predict/conv/kernel", "gamma")):
            variable.assign(rng.normal(0, 0.7, variable.shape))
    return model


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    backbone = small_backbone(image_shape=(*SIZE, 3))
    return with_random_heads(PanopticDeepLab(backbone, aspp_filters=8, semantic_filters=8))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (2, *SIZE, 3)).astype("float32")


def heads_of_views(model, images, views):
    inputs = keras.Input((*SIZE, 3))
    network = keras.Model(inputs, average_heads(model.backbone, model._decode.value, inputs, views))
    return network.predict(images / 127.5 - 1, verbose=0)


def softmax(logits):
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def test_views_are_every_scale_and_its_mirror_image():
    assert list_views((1.0,), False) == ((1.0, False),)
    assert list_views([0.5, 2], True) == ((0.5, False), (0.5, True), (2.0, False), (2.0, True))


@pytest.mark.parametrize(
    "scales", [(), (0,), (-1.0,), ("1",), (float("nan"),), (float("inf"),), 1.0, (True,)]
)
def test_scales_that_make_no_sense_are_named(model, images, scales):
    with pytest.raises(ValueError, match="`scales` must"):
        model.predict(images, scales=scales, verbose=0)
    with pytest.raises(ValueError, match="`flip` must be True or False"):
        list_views((1.0,), 1)


def test_one_view_is_the_network_itself(model, images):
    expected = keras.Model.predict(model, images / 127.5 - 1, verbose=0)
    actual = heads_of_views(model, images, ((1.0, False),))
    for name in ("center_heatmap", "center_offset"):
        np.testing.assert_allclose(actual[name], expected[name], atol=1e-5)
    np.testing.assert_allclose(
        softmax(actual["semantic_logits"]), softmax(expected["semantic_logits"]), atol=1e-5
    )


def test_a_mirrored_view_is_the_mirrored_result_of_the_mirrored_image(model, images):
    heads = keras.Model.predict(model, images[:, :, ::-1] / 127.5 - 1, verbose=0)
    expected = {name: head[:, :, ::-1] for name, head in heads.items()}
    actual = heads_of_views(model, images, ((1.0, True),))
    np.testing.assert_allclose(actual["center_heatmap"], expected["center_heatmap"], atol=1e-5)
    np.testing.assert_allclose(actual["center_offset"], expected["center_offset"] * [1, -1], atol=1e-4)
    np.testing.assert_allclose(
        softmax(actual["semantic_logits"]), softmax(expected["semantic_logits"]), atol=1e-5
    )


def test_a_half_sized_view_is_a_network_of_half_the_size(model, images):
    half = PanopticDeepLab(small_backbone(image_shape=(17, 33, 3)), aspp_filters=8, semantic_filters=8)
    half.set_weights(model.get_weights())
    pixels = NUMPY(resize_bilinear(images, (17, 33))) / 127.5 - 1
    # The heads of the half-sized network before it resizes them, at stride 4, brought to the full size.
    features = half.backbone(pixels)
    decoded = half.get_layer("instance_decoder")(features)
    offsets = half.get_layer("offset_head")(decoded)
    factor = np.array([32 / 4, 64 / 8])
    expected = NUMPY(resize_bilinear(offsets, SIZE)) * factor
    actual = heads_of_views(model, images, ((0.5, False),))
    np.testing.assert_allclose(actual["center_offset"], expected, atol=1e-3)


def test_views_are_averaged_as_probabilities(model, images):
    views = list_views((0.5, 1.0, 1.5), flip=True)
    each = [heads_of_views(model, images, (view,)) for view in views]
    actual = heads_of_views(model, images, views)
    for name in ("center_heatmap", "center_offset"):
        np.testing.assert_allclose(actual[name], np.mean([e[name] for e in each], axis=0), atol=1e-4)
    probabilities = np.mean([softmax(e["semantic_logits"]) for e in each], axis=0)
    np.testing.assert_allclose(np.exp(actual["semantic_logits"]), probabilities, atol=1e-5)


def test_predict_post_processes_the_averaged_heads(model, images):
    maps = model.predict(images, scales=(0.5, 1.0), flip=True, verbose=0)
    heads = heads_of_views(model, images, list_views((0.5, 1.0), True))
    logits = heads["semantic_logits"]
    chosen = np.take_along_axis(logits, maps["semantic"][..., None], axis=-1)[..., 0]
    # The compiled network sums in another order, which decides near ties.
    np.testing.assert_allclose(chosen, logits.max(-1), atol=1e-4)
    assert (maps["semantic"] == logits.argmax(-1)).mean() > 0.999
    assert maps["panoptic"].shape == (2, *SIZE)


def test_very_unlikely_classes_keep_their_order():
    logits = np.array([[[[0.0, -300.0, -200.0]]]], "float32")
    average = NUMPY(Average("semantic_logits", (False, False))([logits, logits]))
    np.testing.assert_allclose(average, logits, rtol=1e-6)


def test_the_pooling_window_grows_with_the_scale():
    windows = []
    backbone = small_backbone(image_shape=(*SIZE, 3))
    model = DeepLabV3(backbone, train_crop_size=SIZE, aspp_filters=8, filters=8)
    aspp = model.get_layer("semantic_decoder").aspp
    for scale in (1.0, 2.0):
        features = np.random.default_rng(0).normal(size=(1, int(2 * scale) + 1, int(4 * scale) + 1, 3))
        windows.append(NUMPY(aspp._average(ops.convert_to_tensor(features, "float32"), scale)).shape)
    assert windows == [(1, 1, 1, 3), (1, 1, 1, 3)]


def test_networks_of_any_size_and_axial_ones_take_scales(images):
    anysize = DeepLabV3(small_backbone(), aspp_filters=8, filters=8)
    maps = anysize.predict(images, scales=(0.5, 1.0), verbose=0)
    assert maps["semantic"].shape == (2, *SIZE)
    axial = small_backbone(image_shape=(*SIZE, 3), axial_from_stride=16)
    maps = DeepLabV3(axial, aspp_filters=8, filters=8).predict(images, scales=(1.0, 2.0), verbose=0)
    assert maps["semantic"].shape == (2, *SIZE)


def test_segment_takes_scales(model):
    image = np.zeros((40, 50, 3), "uint8")
    assert model.segment(image, scales=(0.5, 1.0), flip=True).panoptic.shape == (40, 50)
