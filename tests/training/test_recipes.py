"""Recipes: the published settings, what models and pipelines take of them, and changes to them."""

import dataclasses
import functools
import json

import keras
import numpy as np
import pytest
from keras import ops

import keras_deeplab as kd
from keras_deeplab.data.autoaugment import AutoAugment
from keras_deeplab.data.pipeline import Pipeline
from keras_deeplab.data.synthetic import StreetScenes
from keras_deeplab.data.targets import semantic_targets
from keras_deeplab.hub import preset_table
from keras_deeplab.labels import CITYSCAPES
from keras_deeplab.models.deeplab_v3 import DeepLabV3
from keras_deeplab.models.deeplab_v3_plus import DeepLabV3Plus
from keras_deeplab.models.panoptic_deeplab import PanopticDeepLab
from keras_deeplab.training.optimizers import SGD, AdamW
from keras_deeplab.training.recipe_fields import _FIELDS
from keras_deeplab.training.recipes import Recipe, recipe
from tests.references import FULL, SOURCES, load_component

NUMPY = ops.convert_to_numpy
SIZE = (33, 65)
PRESETS = [
    entry
    for entry in preset_table.preset_entries().values()
    if entry.status == "available" and entry.model != "Backbone" and "steps" in entry.training
]

# What DeepLab2's experiment files say, typed from them, with its defaults for what a file leaves out.
# Folder, `image_size`, `scales`, `resize`:
CITY = ("cityscapes/panoptic_deeplab", (1025, 2049), (0.5, 2.0, 0.1), None)
AXIAL = ("cityscapes/axial_deeplab", (1025, 2049), (0.5, 2.0, 0.1), None)
COCO = ("coco/panoptic_deeplab", (641, 641), (0.5, 1.5, 0.1), (641, 641, None))
KITTI = ("kitti/panoptic_deeplab", (385, 1249), (0.5, 2.0, 0.1), None)
MOTS = ("motchallenge/panoptic_deeplab", (1089, 1921), (0.5, 2.0, 0.1), None)
EXAMPLE = ("example", (1025, 2049), None, None)
# `model`, `semantic_weight`, `center_weight`, `offset_weight`, `semantic_top_k`:
PANOPTIC = ("PanopticDeepLab", 1.0, 200.0, 0.01, 0.2)
SEMANTIC = ("PanopticDeepLab", 1.0, None, None, 0.2)
NO_LOSS, V3, V3_PLUS = ((model, *4 * [None]) for model in ("PanopticDeepLab", "DeepLabV3", "DeepLabV3Plus"))
# Data, file, `batch_size`, `steps`, `learning_rate`, `warmup_steps`, `autoaugment`, model and loss,
# `small_instance_weight`.
PUBLISHED = {
    "resnet50": (CITY, "resnet50_os32_merge_with_pure_tf_func", 8, 60_000, 2.5e-4, 0, None, PANOPTIC, 3),
    "resnet50_beta": (CITY, "resnet50_beta_os32", 32, 60_000, 2.5e-4, 0, None, PANOPTIC, 3),
    "wide_resnet41": (CITY, "wide_resnet41_os16", 32, 60_000, 1e-4, 0, 0.2, PANOPTIC, 3),
    "swidernet_sac_1_1_1": (CITY, "swidernet_sac_1_1_1_os16", 32, 60_000, 1e-4, 0, 0.2, PANOPTIC, 3),
    "swidernet_sac_1_1_3": (CITY, "swidernet_sac_1_1_3_os16", 32, 60_000, 1e-4, 0, 0.2, PANOPTIC, 3),
    "swidernet_sac_1_1_4.5": (CITY, "swidernet_sac_1_1_4.5_os16", 32, 60_000, 2.5e-4, 0, 0.2, PANOPTIC, 3),
    "mobilenet_v3_small": (CITY, "mobilenet_v3_small_os16", 64, 60_000, 1e-3, 0, 0.2, PANOPTIC, None),
    "mobilenet_v3_large": (CITY, "mobilenet_v3_large_os16", 64, 60_000, 1e-3, 500, 0.2, PANOPTIC, None),
    "mobilenet_v3_small_os32": (CITY, "mobilenet_v3_small_os32", 64, 30_000, 4e-4, 0, None, PANOPTIC, 3),
    "mobilenet_v3_large_os32": (CITY, "mobilenet_v3_large_os32", 64, 30_000, 4e-4, 0, None, PANOPTIC, 3),
    "resnet50_semantic": (CITY, "resnet50_os32_semseg", 8, 60_000, 5e-4, 0, None, SEMANTIC, None),
    "axial_swidernet_1_1_1": (AXIAL, "axial_swidernet_1_1_1_os16", 32, 60_000, 1e-4, 0, 0.2, PANOPTIC, 3),
    "axial_swidernet_1_1_3": (AXIAL, "axial_swidernet_1_1_3_os16", 32, 60_000, 1e-4, 0, 0.2, PANOPTIC, 3),
    "axial_swidernet_1_1_4.5": (
        AXIAL, "axial_swidernet_1_1_4.5_os16", 32, 60_000, 7.5e-5, 0, 0.2, PANOPTIC, 3
    ),
    "max_deeplab_s_backbone": (AXIAL, "max_deeplab_s_backbone_os16", 32, 60_000, 1e-4, 0, 0.2, PANOPTIC, 3),
    "max_deeplab_l_backbone": (AXIAL, "max_deeplab_l_backbone_os16", 32, 60_000, 7.5e-5, 0, 0.2, PANOPTIC, 3),
    "resnet50_os32_coco": (COCO, "resnet50_os32", 64, 200_000, 5e-4, 2_000, 0.2, PANOPTIC, 3),
    "resnet50_beta_os32_coco": (COCO, "resnet50_beta_os32", 64, 200_000, 5e-4, 2_000, 0.2, PANOPTIC, 3),
    "resnet50_os16_coco": (COCO, "resnet50_os16", 64, 200_000, 5e-4, 2_000, 0.2, PANOPTIC, 3),
    "resnet50_beta_os16_coco": (COCO, "resnet50_beta_os16", 64, 200_000, 5e-4, 2_000, 0.2, PANOPTIC, 3),
    "resnet50_kitti_step": (KITTI, "resnet50_os32", 32, 30_000, 1e-5, 0, None, PANOPTIC, 3),
    "resnet50_kitti_step_trainval": (KITTI, "resnet50_os32_trainval", 32, 30_000, 1e-6, 0, None, PANOPTIC, 3),
    "resnet50_motchallenge_step": (MOTS, "resnet50_os32", 32, 10_000, 1e-5, 0, None, PANOPTIC, 3),
    "example_panoptic_deeplab": (
        EXAMPLE, "example_cityscapes_panoptic_deeplab", 32, 60_000, 1e-3, 0, None, NO_LOSS, None
    ),
    "example_panoptic_deeplab_mobilenet_v3_large": (
        EXAMPLE, "example_cityscapes_panoptic_deeplab_mv3l", 32, 60_000, 1e-3, 0, None, NO_LOSS, None
    ),
    "example_deeplab_v3": (EXAMPLE, "example_cityscapes_deeplabv3", 32, 60_000, 1e-3, 0, None, V3, None),
    "example_deeplab_v3_mobilenet_v3_large": (
        EXAMPLE, "example_cityscapes_deeplabv3_mv3l", 32, 60_000, 1e-3, 0, None, V3, None
    ),
    "example_deeplab_v3_plus": (
        EXAMPLE, "example_cityscapes_deeplabv3plus", 32, 60_000, 1e-3, 0, None, V3_PLUS, None
    ),
}  # fmt: skip
# And what all of them have in common.
COMMON = {
    "schedule": "polynomial",
    "optimizer": "adam",
    "weight_decay": 0.0,
    "backbone_multiplier": 1.0,
    "clipnorm": None,
    "global_clipnorm": None,
    "gradient_accumulation_steps": 1,
    "use_ema": False,
    "freeze": None,
    "flip": True,
}
# Their backbones drop paths at a rate that rises to 0.2, the others' drop none.
DROPS_PATHS = ("wide_resnet41", "swidernet_sac", "axial_swidernet", "max_deeplab")


@functools.cache
def backbone_arguments():
    return {
        "variant": "resnet50",
        "stem_width_multiplier": 0.125,
        "width_multiplier": 0.0625,
        "blocks": (0, 1, 1, 1, 1),
        "image_shape": (*SIZE, 3),
        "output_stride": 32,
    }


def small_model(cls=PanopticDeepLab):
    arguments = dict(backbone_arguments())
    backbone = kd.Backbone.from_variant(arguments.pop("variant"), **arguments)
    widths = (
        {"aspp_filters": 8, "semantic_filters": 8, "instance_filters": 8, "instance_head_filters": 8}
        if cls is PanopticDeepLab
        else {"aspp_filters": 8, "filters": 8}
    )
    return cls(backbone, **widths)


# The published settings


def test_every_published_model_of_the_built_families_has_its_recipe():
    assert len(PRESETS) == 19
    assert {entry.name for entry in PRESETS} <= set(Recipe.names())


@pytest.mark.parametrize("source", SOURCES)
def test_optimizers_and_schedules_are_those_of_deeplab2s_experiments(source):
    cases = load_component("c09_optim", source)[1]["cases"]
    compared = 0
    for name in Recipe.names():
        made = Recipe.load(name)
        if made.config is None:
            continue
        facts = cases["configs"][made.config]
        assert made.learning_rate == pytest.approx(facts["base_lr"], rel=1e-6), name
        assert (made.steps, made.warmup_steps) == (facts["total"], facts["warmup"]), name
        assert (made.optimizer, made.schedule) == (facts["optimizer"], "polynomial"), name
        assert facts["policy"] == "poly"
        assert facts["power"] == pytest.approx(0.9)
        assert made.weight_decay == facts["adamw_weight_decay"] == 0, name
        assert made.backbone_multiplier == (facts["backbone_mult"] or 1.0), name
        assert (made.global_clipnorm is not None) == facts["clip"], name
        compared += 1
    built = ("panoptic_deeplab/", "axial_deeplab/", "deeplabv3", "cityscapes_panoptic_deeplab")
    assert compared == sum(any(part in config for part in built) for config in cases["configs"]) == 28


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_field_is_that_of_deeplab2s_experiment(name):
    data, file, batch_size, steps, learning_rate, warmup_steps, autoaugment, loss, small = PUBLISHED[name]
    folder, image_size, scales, resize = data
    model, semantic_weight, center_weight, offset_weight, semantic_top_k = loss
    # The table leaves out the dataset's name where all of its rows have it.
    recipe_name = f"{name}_cityscapes" if data in (CITY, AXIAL) else name
    assert Recipe.load(recipe_name) == Recipe(
        name=recipe_name,
        config=f"{folder}/{file}.textproto",
        model=model,
        image_size=image_size,
        batch_size=batch_size,
        steps=steps,
        learning_rate=learning_rate,
        warmup_steps=warmup_steps,
        scales=scales,
        resize=resize,
        autoaugment=autoaugment,
        semantic_weight=semantic_weight,
        center_weight=center_weight,
        offset_weight=offset_weight,
        semantic_top_k=semantic_top_k,
        small_instance_weight=small,
        **COMMON,
    )


def test_the_table_has_every_published_recipe():
    assert len(PUBLISHED) == sum(Recipe.load(name).config is not None for name in Recipe.names()) == 28


@pytest.mark.skipif(not (FULL.parent / "spec" / "zoo.json").exists(), reason="the full set is not there")
@pytest.mark.parametrize("entry", PRESETS, ids=lambda entry: entry.name)
def test_recipes_are_those_of_the_list_of_checkpoints(entry):
    checkpoints = json.loads((FULL.parent / "spec" / "zoo.json").read_text("utf-8"))["checkpoints"]
    listed = next(checkpoint for checkpoint in checkpoints if checkpoint["preset"] == entry.name)
    facts, made = listed["training_recipe"], Recipe.load(entry.name)
    assert (made.model, f"configs/{made.config}") == (listed["task_model"], listed["config"])
    assert list(made.image_size) == facts["train_crop"]
    assert (made.batch_size, made.steps) == (facts["batch_size"], facts["steps"])
    assert (made.learning_rate, made.warmup_steps) == (facts["base_lr"], facts["warmup_steps"])
    assert (made.optimizer, made.schedule[:4]) == (facts["optimizer"], facts["lr_policy"])
    assert (made.weight_decay, made.backbone_multiplier) == (
        facts["adamw_weight_decay"],
        facts["backbone_lr_multiplier"],
    )
    assert list(made.scales) == facts["scale_range"]
    assert list((made.resize or (0, 0))[:2]) == [facts["min_resize"], facts["max_resize"]]
    magnitude = made.autoaugment
    policy = None if magnitude is None else f"simple_classification_policy_magnitude_scale_{magnitude}"
    assert policy == facts["autoaugment"]


def test_drop_path_is_that_of_the_backbones_variant():
    for entry in PRESETS:
        variant = {**kd.backbones.backbone._variants()[entry.variant], **entry.backbone}
        found = (variant.get("drop_path_rate", 0.0), variant.get("drop_path_schedule"))
        assert found == ((0.2, "linear") if entry.name.startswith(DROPS_PATHS) else (0.0, None)), entry.name


def test_an_alias_of_a_preset_names_its_recipe():
    assert Recipe.load("axial_swidernet_cityscapes").name == "axial_swidernet_1_1_4.5_cityscapes"


# What models and pipelines take


def test_a_model_is_compiled_as_the_recipe_says():
    model = small_model()
    changes = {"optimizer": "adamw", "weight_decay": 0.05, "warmup_steps": 10, "center_weight": 50}
    model.compile(**kd.recipe("resnet50_cityscapes", **changes, global_clipnorm=10, use_ema=True))
    optimizer = model.optimizer
    assert isinstance(optimizer, AdamW)
    facts = optimizer.get_config()
    assert (facts["weight_decay"], facts["global_clipnorm"], facts["use_ema"]) == (0.05, 10.0, True)
    rates = [float(NUMPY(optimizer._learning_rate(step))) for step in (5, 30_000)]
    np.testing.assert_allclose(rates, [1.25e-4, 2.5e-4 * 0.5**0.9], rtol=1e-5)
    assert model.training_loss.get_config() == {
        "ignore_label": 255,
        "semantic_weight": 1.0,
        "center_weight": 50.0,
        "offset_weight": 0.01,
        "semantic_top_k": 0.2,
    }


def test_a_model_learns_by_a_recipe_and_its_backbone_at_its_own_rate():
    model = small_model(DeepLabV3)
    made = Recipe.load("small_data", optimizer="sgd", backbone_multiplier=0, image_size=SIZE)
    made = made.replace(batch_size=2, steps=3, warmup_steps=0)
    model.compile(**made.compile_arguments())
    assert isinstance(model.optimizer, SGD)
    before = {v.path: NUMPY(v) for v in model.variables}
    train = Pipeline(StreetScenes(4, image_size=SIZE), **made.pipeline_arguments())
    history = model.fit(train, steps_per_epoch=made.num_batches, verbose=0)
    assert np.isfinite(history.history["loss"][0])
    assert int(NUMPY(model.optimizer.iterations)) == 3
    moved = {v.path for v in model.variables if not np.array_equal(before[v.path], NUMPY(v))}
    # Its weights have a learning rate of 0, its moments are frozen.
    assert moved & {v.path for v in model.backbone.variables} == set()
    decoder = {v.path for v in model.variables if v.path.startswith("semantic_decoder")}
    assert {path for path in decoder if path.endswith(("kernel", "gamma", "moving_mean"))} <= moved


@pytest.mark.parametrize("cls", [DeepLabV3, DeepLabV3Plus])
def test_semantic_models_have_recipes_and_targets_of_their_own(cls):
    made = Recipe.load("example_deeplab_v3" if cls is DeepLabV3 else "example_deeplab_v3_plus")
    model = small_model(cls)
    model.compile(**made.replace(semantic_top_k="0.5").compile_arguments())
    assert model.training_loss.semantic_top_k == 0.5
    arguments = made.replace(image_size=SIZE, batch_size=2).pipeline_arguments()
    assert arguments["targets"] is semantic_targets
    images, targets = next(iter(Pipeline(StreetScenes(2, image_size=SIZE), **arguments, training=False)))
    assert images.shape == (2, *SIZE, 3)
    assert set(targets) == {"semantic", "semantic_weight"}


def test_the_pipeline_augments_as_the_recipe_says():
    arguments = Recipe.load("resnet50_os16_coco").pipeline_arguments()
    assert arguments["targets"].keywords == {"sigma": 8, "small_instance_weight": 3.0}
    assert arguments | {"targets": None} == {
        "image_size": (641, 641),
        "batch_size": 64,
        "scales": (0.5, 1.5, 0.1),
        "flip": True,
        "resize": (641, 641, None),
        "autoaugment": AutoAugment(magnitude_scale=0.2),
        "targets": None,
    }


@pytest.mark.parametrize(
    ("name", "weight"),
    [
        ("resnet50_cityscapes", 3),
        ("resnet50_semantic_cityscapes", 1),
        ("mobilenet_v3_large_cityscapes", 1),
        ("mobilenet_v3_large_os32_cityscapes", 3),
        ("example_panoptic_deeplab", 1),
    ],
)
def test_small_instances_weigh_what_the_recipe_says(name, weight):
    panoptic = np.zeros((64, 129), np.int32)
    panoptic[:, :64], panoptic[1:, 65:] = 13001, 13002  # 4096 and 4032 pixels.
    targets = Recipe.load(name).pipeline_arguments()["targets"]
    weights = targets({"panoptic": panoptic}, CITYSCAPES)["semantic_weight"]
    np.testing.assert_array_equal(weights, np.where(panoptic == 13002, weight, 1))


def test_the_heat_of_centers_is_as_wide_as_the_recipe_says():
    panoptic = np.full((33, 65), 13001, np.int32)
    for sigma in (8, 2):
        targets = Recipe.load("street", center_sigma=sigma).pipeline_arguments()["targets"]
        heat = targets({"panoptic": panoptic}, CITYSCAPES)["center_heatmap"][16, :, 0]
        np.testing.assert_allclose(heat[[32, 32 + sigma]], [1, np.exp(-0.5)], rtol=1e-6)
    with pytest.raises(ValueError, match=r"`center_sigma` must be a whole number of at least 1"):
        Recipe.load("street", center_sigma=0.5)


def test_the_examples_neither_scale_nor_weigh_and_keep_the_models_loss():
    made = Recipe.load("example_panoptic_deeplab")
    assert made.pipeline_arguments()["scales"] is None
    model = small_model()
    own = model.default_loss().get_config()
    model.compile(**made.compile_arguments())
    assert model.training_loss.get_config() == own


def test_accumulated_batches_train_as_one():
    made = Recipe.load("street", gradient_accumulation_steps="4")
    assert made.pipeline_arguments()["batch_size"] == 4
    assert made.num_batches == 120_000
    optimizer = made.compile_arguments()["optimizer"]
    assert optimizer.gradient_accumulation_steps == 4
    optimizer.build([keras.Variable(np.ones(1, "float32"))])
    optimizer._iterations.assign(60_000)
    assert float(NUMPY(optimizer.learning_rate)) == pytest.approx(5e-4 * 0.5**0.9, rel=1e-5)


# Changes


def test_text_is_read_as_the_field_wants_it():
    made = Recipe.load("small_data").replace(
        learning_rate="1e-4", steps="1e3", image_size="257x513", scales="0.8, 1.2, 0", flip="false",
        autoaugment="none", global_clipnorm="5", resize="641,641", optimizer="sgd", model="DeepLabV3",
    )  # fmt: skip
    assert (made.learning_rate, made.steps, made.image_size) == (1e-4, 1000, (257, 513))
    assert type(made.steps) is int
    assert (made.scales, made.flip, made.autoaugment) == ((0.8, 1.2, 0.0), False, None)
    assert (made.global_clipnorm, made.resize) == (5.0, (641, 641, None))
    assert (made.optimizer, made.model) == ("sgd", "DeepLabV3")


def test_a_recipe_does_not_change():
    made = Recipe.load("street")
    assert made.replace(steps=1000).steps == 1000
    assert made.steps == 30_000
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.steps = 1


def test_every_field_is_checked_and_described():
    fields = {field.name for field in dataclasses.fields(Recipe)}
    assert fields == set(_FIELDS)
    assert all(f"        {field}: " in Recipe.__doc__ for field in fields)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("learning_rate", "-1", "`learning_rate` must be a positive number. Received: -1"),
        ("learning_rate", "fast", "`learning_rate` must be a positive number. Received: 'fast'"),
        ("learning_rate", "nan", "`learning_rate` must be a positive number"),
        ("steps", "1.5", "`steps` must be a whole number of at least 1. Received: 1.5"),
        ("batch_size", True, "`batch_size` must be a whole number of at least 1. Received: True"),
        ("image_size", "513", r"`image_size` must be \(height, width\). Received: 513"),
        ("scales", "2,1,0.1", r"`scales` must be \(smallest, largest, step\), or none"),
        ("semantic_top_k", "20", "`semantic_top_k` must be a number above 0 and at most 1, or none"),
        ("optimizer", "lion", "`optimizer` must be one of 'adam', 'adamw', 'sgd'. Received: 'lion'"),
        ("freeze", "all", "`freeze` must be one of 'backbone', 'batch_norm', 'backbone_batch_norm', or none"),
        ("use_ema", "1", "`use_ema` must be true or false. Received: 1"),
        ("weight_decay", "0.1", "`weight_decay` is for the optimizer 'adamw', not for 'adam'"),
        ("warmup_steps", "2000", "`warmup_steps` 2000 must be fewer than `steps` 2000"),
        ("gradient_accumulation_steps", "3", "`batch_size` 8 is not a multiple of"),
        ("clipnorm", "1", "only one of `clipnorm` and `global_clipnorm`"),
        ("learning_rte", "1", "A recipe has no field 'learning_rte'. Similar fields: learning_rate"),
        ("name", "mine", "A recipe has no field 'name'"),
    ],
)
def test_a_wrong_value_is_named(field, value, message):
    with pytest.raises(ValueError, match=message):
        Recipe.load("small_data").replace(**{field: value})


def test_an_unknown_recipe_is_named_with_similar_ones():
    with pytest.raises(
        ValueError, match=r"Unknown recipe 'resnet50_cityscape'. Similar recipes: resnet50_city"
    ):
        recipe("resnet50_cityscape")
    with pytest.raises(ValueError, match=r"Unknown recipe 'kmax_resnet50_coco'"):
        recipe("kmax_resnet50_coco")


def test_a_recipe_for_another_model_is_one_error_and_changes_nothing():
    model = small_model(DeepLabV3)
    optimizer = model.optimizer
    message = (
        "'street' trains a PanopticDeepLab, but the model is a DeepLabV3. Recipes for it: example_deeplab"
    )
    with pytest.raises(ValueError, match=message):
        model.compile(**recipe("street", freeze="backbone"))
    assert model.optimizer is optimizer
    assert model.backbone.trainable
    with pytest.raises(ValueError, match="sets `center_weight`, which the loss of DeepLabV3 does not have"):
        model.compile(**recipe("small_data", center_weight=1))
