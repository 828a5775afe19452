"""One step of training reaches every variable that can have a gradient, on small members of each family."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_deeplab.backbones.backbone import Backbone
from keras_deeplab.data.pipeline import Pipeline
from keras_deeplab.data.synthetic import StreetScenes
from keras_deeplab.models.deeplab_v3 import DeepLabV3
from keras_deeplab.models.deeplab_v3_plus import DeepLabV3Plus
from keras_deeplab.models.panoptic_deeplab import PanopticDeepLab
from tests.gradients import value_and_gradients
from tests.small_networks import FEW_BLOCKS

NUMPY = ops.convert_to_numpy
SIZE = (65, 97)
THIN = {"stem_width_multiplier": 0.125, "width_multiplier": 0.0625}
BACKBONES = {
    "mobilenet_v3_small": FEW_BLOCKS,
    "resnet50": {**THIN, "blocks": (0, 1, 1, 2, 2)},
    "resnet50_beta": {**THIN, "blocks": (0, 1, 1, 2, 2), "squeeze_excite": True},
    "wide_resnet41": {**THIN, "blocks": (1, 1, 1, 1, 2), "drop_path_rate": 0.0},
    "swidernet_sac_1_1_1": {**THIN, "blocks": (1, 1, 1, 1, 2), "drop_path_rate": 0.0},
    "axial_resnet_s": {**THIN, "width_multiplier": 0.25, "blocks": (0, 1, 1, 1, 1), "heads": 4},
    "axial_swidernet_1_1_1": {**THIN, "blocks": (1, 1, 1, 2, 1), "drop_path_rate": 0.0},
    "max_deeplab_s_backbone": {**THIN, "blocks": (0, 1, 1, 2, 1), "drop_path_rate": 0.0},
    "max_deeplab_l_backbone": {**THIN, "blocks": (1, 1, 1, 2, 1), "drop_path_rate": 0.0},
}
# Adding the same number to all similarities of a query leaves its softmax as it is.
NO_GRADIENT = "batch_norm_similarity/beta"


def small_backbone(variant, **options):
    backbone = Backbone.from_variant(
        variant, output_stride=16, image_shape=(*SIZE, 3), **BACKBONES[variant], **options
    )
    for variable in backbone.trainable_variables:
        # Fresh branches end with a scale of 0, which lets no gradient through.
        if variable.path.endswith("gamma"):
            variable.assign(np.full(variable.shape, 0.7))
    return backbone


def untouched(before, variables):
    return [
        variable.path
        for old, variable in zip(before, variables, strict=True)
        if np.array_equal(old, NUMPY(variable)) and not variable.path.endswith(NO_GRADIENT)
    ]


@pytest.fixture(scope="module")
def batch():
    pipeline = Pipeline(
        StreetScenes(2, image_size=SIZE), image_size=SIZE, batch_size=2, training=True, seed=1
    )
    return next(iter(pipeline.dataset))


@pytest.mark.parametrize("variant", BACKBONES)
def test_one_step_changes_every_variable(variant, batch):
    keras.utils.set_random_seed(3)
    model = PanopticDeepLab(small_backbone(variant), aspp_filters=16, semantic_filters=16)
    model.compile(optimizer=keras.optimizers.SGD(1.0))
    # The heads do not look at the stacked decoder of MaX-DeepLab-L; it has its own test.
    variables = [v for v in model.weights if "decoder_stage" not in v.path]
    before = [NUMPY(v).copy() for v in variables]
    model.train_on_batch(*batch)
    assert untouched(before, variables) == []


@pytest.mark.parametrize("model_class", [DeepLabV3, DeepLabV3Plus])
def test_one_step_changes_every_variable_of_semantic_models(model_class, batch):
    keras.utils.set_random_seed(3)
    model = model_class(small_backbone("resnet50"), aspp_filters=16, filters=16)
    model.compile(optimizer=keras.optimizers.SGD(1.0))
    before = [NUMPY(v).copy() for v in model.weights]
    model.train_on_batch(*batch)
    assert untouched(before, model.weights) == []


def test_every_variable_of_the_stacked_decoder_has_a_gradient():
    backbone = small_backbone("max_deeplab_l_backbone")
    decoder = keras.Model(backbone.input, backbone.output["backbone_output"])
    images = np.random.default_rng(0).normal(size=(2, *SIZE, 3)).astype("float32")
    _, _, gradients = value_and_gradients(decoder, images, training=True)
    still = [path for path, g in gradients.items() if (g is None or not g.any())]
    assert [path for path in still if not path.endswith(NO_GRADIENT)] == []
