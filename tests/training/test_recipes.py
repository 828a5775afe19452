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
from keras_deeplab.models.deeplab_v3 import DeepLabV3
from keras_deeplab.models.deeplab_v3_plus import DeepLabV3Plus
from keras_deeplab.models.panoptic_deeplab import PanopticDeepLab
from keras_deeplab.training.optimizers import SGD, AdamW
from keras_deeplab.training.recipe_fields import _FIELDS
from keras_deeplab.training.recipes import Recipe, recipe
from tests.references import FULL, SOURCES, load_component

NUMPY = ops.convert_to_numpy
SIZE = (33, 65)
ZOO = FULL.parent / "spec" / "zoo.json"
PRESETS = [
    entry
    for entry in preset_table.preset_entries().values()
    if entry.status == "available" and entry.model != "Backbone" and "steps" in entry.training
]
POLICIES = {None: None, "simple_classification_policy_magnitude_scale_0.2": 0.2}


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


@pytest.mark.skipif(not ZOO.is_file(), reason="needs the table of published models")
def test_batches_crops_and_augmentation_are_those_of_the_published_models():
    published = {c["preset"]: c["training_recipe"] for c in json.loads(ZOO.read_text())["checkpoints"]}
    for entry in PRESETS:
        facts, made = published[entry.name], Recipe.load(entry.name)
        assert made.batch_size == facts["batch_size"], entry.name
        assert list(made.image_size) == facts["train_crop"], entry.name
        assert made.steps == facts["steps"], entry.name
        assert made.learning_rate == facts["base_lr"], entry.name
        assert made.warmup_steps == facts["warmup_steps"], entry.name
        assert made.backbone_multiplier == facts["backbone_lr_multiplier"], entry.name
        assert list(made.scales) == facts["scale_range"], entry.name
        assert made.autoaugment == POLICIES[facts["autoaugment"]], entry.name
        resize = (facts["min_resize"], facts["max_resize"], None) if facts["min_resize"] else None
        assert made.resize == resize, entry.name
        assert facts["copy_paste"] is None


@pytest.mark.skipif(not ZOO.is_file(), reason="needs the table of published models")
def test_drop_path_is_that_of_the_backbones_variant():
    published = {c["preset"]: c["training_recipe"] for c in json.loads(ZOO.read_text())["checkpoints"]}
    for entry in PRESETS:
        facts = published[entry.name]
        variant = kd.backbones.backbone._variants()[entry.variant]
        rate = entry.backbone.get("drop_path_rate", variant.get("drop_path_rate", 0.0))
        assert 1 - rate == pytest.approx(facts["drop_path_keep_prob"]), entry.name
        if rate:
            assert variant["drop_path_schedule"] == facts["drop_path_schedule"], entry.name


def test_losses_and_weights_of_small_instances_are_the_published_ones():
    without = ("mobilenet_v3_small_cityscapes", "mobilenet_v3_large_cityscapes")
    for entry in PRESETS:
        made = Recipe.load(entry.name)
        weights = (made.semantic_weight, made.center_weight, made.offset_weight, made.semantic_top_k)
        assert weights == (1.0, 200.0, 0.01, 0.2)
        assert made.small_instance_weight == (None if entry.name in without else 3.0)


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
    assert arguments["targets"].keywords == {"small_instance_weight": 3.0}
    assert arguments | {"targets": None} == {
        "image_size": (641, 641),
        "batch_size": 64,
        "scales": (0.5, 1.5, 0.1),
        "flip": True,
        "resize": (641, 641, None),
        "autoaugment": AutoAugment(magnitude_scale=0.2),
        "targets": None,
    }


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
