"""What is frozen stays as it is while the rest learns."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_deeplab.backbones.resnet import ResNetBackbone
from keras_deeplab.data.pipeline import Pipeline
from keras_deeplab.data.synthetic import StreetScenes
from keras_deeplab.layers.batch_norm import BatchNormalization
from keras_deeplab.models.deeplab_v3 import DeepLabV3
from keras_deeplab.models.freezing import freeze_backbone, freeze_batch_norm

NUMPY = ops.convert_to_numpy
SIZE = (33, 65)
BATCH_NORM = ("gamma", "beta", "moving_mean", "moving_variance")


def small_model():
    keras.utils.set_random_seed(0)
    backbone = ResNetBackbone.from_variant(
        "resnet50",
        stem_width_multiplier=0.125,
        width_multiplier=0.0625,
        blocks=(0, 1, 1, 1, 1),
        output_stride=32,
        image_shape=(*SIZE, 3),
    )
    return DeepLabV3(backbone, aspp_filters=8, filters=8)


def names_that_move(model):
    """Trains for two steps; the ids of the variables with other values than before."""
    before = {id(v): NUMPY(v) for v in model.variables}
    scenes = StreetScenes(4, image_size=SIZE)
    model.fit(Pipeline(scenes, SIZE, batch_size=2, scales=None), verbose=0)
    return {id(v) for v in model.variables if not np.array_equal(before[id(v)], NUMPY(v))}


def test_a_frozen_backbone_keeps_weights_and_moments():
    model = small_model()
    model.compile(optimizer=keras.optimizers.SGD(0.1), freeze="backbone")
    moved = names_that_move(model)
    backbone = {id(v) for v in model.backbone.variables}
    assert moved & backbone == set()
    others = {v.name for v in model.variables if id(v) in moved}
    assert {"kernel", "gamma", "beta", "moving_mean", "moving_variance"} <= others


def test_frozen_batch_norm_keeps_scales_and_moments_while_kernels_learn():
    model = small_model()
    model.compile(optimizer=keras.optimizers.SGD(0.1), freeze="batch_norm")
    moved = names_that_move(model)
    assert {v.path for v in model.variables if id(v) in moved and v.name in BATCH_NORM} == set()
    kernels = [v for v in model.variables if v.name == "kernel"]
    assert any(id(v) in moved for v in kernels if "stem" in v.path)
    assert all(id(v) in moved for v in kernels if "semantic_decoder" in v.path)


def test_batch_norm_of_the_backbone_alone_can_be_frozen():
    model = small_model()
    model.compile(freeze="backbone_batch_norm")
    assert not {v.name for v in model.backbone.trainable_variables} & set(BATCH_NORM)
    decoder = {v.name for v in model.trainable_variables if "semantic_decoder" in v.path}
    assert {"gamma", "beta"} <= decoder


def test_frozen_batch_norm_normalises_by_its_moments_in_training():
    model = small_model()
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, BatchNormalization)]
    assert all(layer.uses_batch_moments(training=True) for layer in layers)
    freeze_batch_norm(model)
    assert not any(layer.uses_batch_moments(training=True) for layer in layers)


def test_freezing_goes_without_compiling():
    model = small_model()
    count = len(model.trainable_variables)
    freeze_backbone(model)
    assert len(model.trainable_variables) == count - len(small_model().backbone.trainable_variables)
    model.backbone.trainable = True
    assert len(model.trainable_variables) == count


def test_compiling_again_thaws_nothing():
    model = small_model()
    model.compile(freeze="batch_norm")
    model.compile()
    assert not {v.name for v in model.trainable_variables} & set(BATCH_NORM)


def test_an_unknown_part_is_named():
    model = small_model()
    with pytest.raises(ValueError, match="`freeze` must be one of 'backbone', 'batch_norm', "):
        model.compile(freeze="decoder")
