"""DeepLabV3 and DeepLabV3+ around their heads: maps, training, presets, arguments. Numbers: test_parity."""

import json

import keras
import numpy as np
import pytest

from keras_deeplab.backbones.resnet import ResNetBackbone
from keras_deeplab.data import ArrayReader, Pipeline
from keras_deeplab.labels import LabelSpace
from keras_deeplab.models.context import ATROUS_RATES
from keras_deeplab.models.deeplab_v3 import DeepLabV3
from keras_deeplab.models.deeplab_v3_plus import DeepLabV3Plus
from keras_deeplab.models.segmenter import Segmenter

SIZE = (33, 49)
SPACE = LabelSpace("shapes", classes=["ground", "box"], things=[1])


def small_backbone(**options):
    return ResNetBackbone(
        blocks=(0, 1, 1, 1, 1),
        stem_width_multiplier=0.125,
        width_multiplier=0.0625,
        **{"output_stride": 16, "image_shape": (*SIZE, 3), **options},
    )


def small_model(model_class, **options):
    return model_class(small_backbone(), SPACE, aspp_filters=8, filters=8, **options)


@pytest.fixture(scope="module")
def boxes():
    """Images whose bright box is the second class, with their panoptic maps."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (8, *SIZE, 3)).astype("uint8")
    panoptic = np.zeros((8, *SIZE), "int32")
    for i, (y, x) in enumerate(rng.integers(2, 15, (8, 2))):
        images[i, y : y + 14, x : x + 20] += 180
        panoptic[i, y : y + 14, x : x + 20] = SPACE.label_divisor + 1
    return images, panoptic


@pytest.mark.parametrize("model_class", [DeepLabV3, DeepLabV3Plus])
def test_it_learns_boxes(model_class, boxes):
    keras.utils.set_random_seed(1)
    model = small_model(model_class)
    model.compile(optimizer=keras.optimizers.Adam(0.01))
    history = model.fit(*boxes, batch_size=4, epochs=25, verbose=0)
    assert history.history["semantic_loss"][-1] < 0.4 * history.history["semantic_loss"][0]
    # Moving averages follow slowly: look at the network as it trains.
    logits = model(boxes[0] / 127.5 - 1, training=True)["semantic_logits"]
    semantic = keras.ops.convert_to_numpy(logits).argmax(-1)
    assert (semantic == boxes[1] // SPACE.label_divisor).mean() > 0.85


def test_data_of_other_classes_are_refused(boxes):
    data = Pipeline(ArrayReader(*boxes, LabelSpace("more", ("ground", "box", "sky"), (1,))), SIZE, 2)
    model = small_model(DeepLabV3)
    message = "labels 'shapes', the data 'more'; the model lacks 'sky'"
    for train in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=message):
            train(data)


@pytest.mark.parametrize("model_class", [DeepLabV3, DeepLabV3Plus])
def test_maps_are_semantic_at_any_image_size(model_class):
    model = small_model(model_class)
    maps = model.predict(np.zeros((2, *SIZE, 3), "uint8"), verbose=0)
    assert set(maps) == {"semantic", "score"}
    result = model.segment(np.zeros((50, 40, 3), "uint8"))
    assert result.semantic.shape == (50, 40)
    assert result.panoptic is None
    assert result.plot().size[1] == 50


@pytest.mark.parametrize("model_class", [DeepLabV3, DeepLabV3Plus])
def test_presets_round_trip(model_class, tmp_path):
    model = small_model(model_class, atrous_rates=(1, 2, 3), train_crop_size=(65, 65))
    model.save_to_preset(tmp_path / "preset")
    copy = Segmenter.from_preset(tmp_path / "preset")
    assert type(copy) is model_class
    assert json.dumps(copy.options) == json.dumps(model.options)
    images = np.random.default_rng(0).normal(size=(1, *SIZE, 3)).astype("float32")
    expected, actual = (keras.Model.predict(m, images, verbose=0) for m in (model, copy))
    np.testing.assert_array_equal(actual["semantic_logits"], expected["semantic_logits"])


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_rates_follow_the_output_stride(output_stride):
    model = DeepLabV3(small_backbone(output_stride=output_stride), aspp_filters=8, filters=8)
    assert model.get_layer("semantic_decoder").aspp.atrous_rates == ATROUS_RATES[output_stride]


def test_on_axial_attention_the_aspp_is_a_projection():
    axial = small_backbone(axial_from_stride=16)
    aspp = DeepLabV3Plus(axial, aspp_filters=8, filters=8).get_layer("semantic_decoder").aspp
    assert aspp.atrous_rates == ()
    assert len(aspp.weights) == 5
    rates = DeepLabV3(axial, atrous_rates=(6, 12, 18), aspp_filters=8).get_layer("semantic_decoder").aspp
    assert rates.atrous_rates == (6, 12, 18)


def test_malformed_arguments_are_named():
    with pytest.raises(ValueError, match="`backbone` must be a `Backbone` of this package"):
        DeepLabV3(keras.Sequential([keras.Input((33, 33, 3))]))
    with pytest.raises(ValueError, match="`atrous_rates` must hold three rates"):
        DeepLabV3Plus(small_backbone(), atrous_rates=(6, 12))
