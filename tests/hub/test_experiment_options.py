"""DeepLab2's configuration files: fields checked by line, and the same models as published."""

import gc
import inspect
import json
import pathlib
import re
import tomllib

import keras
import pytest

import keras_deeplab
from keras_deeplab.backbones import Backbone
from keras_deeplab.backbones.backbone import _variants as variants
from keras_deeplab.hub import backbone_options, experiment_options, option_schema, preset_table
from keras_deeplab.hub.deeplab2 import checkpoint_keys
from keras_deeplab.hub.experiment_options import load, model_entry
from keras_deeplab.hub.option_schema import read_options
from keras_deeplab.hub.preset_table import build_model, find_entry
from keras_deeplab.hub.textproto import parse
from keras_deeplab.labels import LABEL_SPACES, LabelSpace
from tests.hub.configurations import decoder, experiment, low_levels, published, write
from tests.models.published import start_with_zeros
from tests.references import COMPACT, FULL, SOURCES, load_manifest

SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
SMALL = {"image_shape": (129, 257, 3)}


def read(text):
    return read_options(parse(text, "mine"), "mine")


def options_of(message):
    return read(write(message))


def model_of(backbone=(), **changes):
    return options_of(experiment(backbone=backbone, **changes))


# ---- fields


def test_fields_that_a_file_sets_have_its_values_and_lines(tmp_path):
    path = tmp_path / "mine.textproto"
    path.write_text('experiment_name: "mine"\nmodel_options {\n  backbone {\n    output_stride: 16\n  }\n}\n')
    options = load(path)
    backbone = options["model_options"]["backbone"]
    assert options["experiment_name"] == "mine"
    assert backbone["output_stride"] == 16
    assert (backbone.lines, backbone.line, backbone.source) == ({"output_stride": 4}, 3, str(path))
    assert (backbone.line_of("output_stride"), backbone.line_of("name")) == (4, 3)


def test_everything_else_has_deeplab2s_defaults():
    options = read("")
    model, evaluator = options["model_options"], options["evaluator_options"]
    solver = options["trainer_options"]["solver_options"]
    assert model["backbone"]["name"] == "resnet50"
    assert model["backbone"]["output_stride"] == 32
    assert model["backbone"]["drop_path_keep_prob"] == 1.0
    assert (model["decoder"]["aspp_channels"], model["decoder"]["atrous_rates"]) == (256, [])
    assert model["panoptic_deeplab"]["instance"]["enable"] is True
    assert (evaluator["nms_kernel"], evaluator["keep_k_centers"]) == (3, 400)
    assert (solver["batchnorm_epsilon"], solver["optimizer"]) == (0.001, "adam")
    assert options.lines == model.lines == solver.lines == {}


def test_training_is_returned_too():
    options = model_of()
    losses = options["trainer_options"]["loss_options"]
    assert losses["semantic_loss"] == {
        **options_of({})["trainer_options"]["loss_options"]["semantic_loss"],
        "name": "softmax_cross_entropy",
        "weight": 1.0,
        "top_k_percent": 0.2,
    }
    assert losses["center_loss"]["weight"] == 200.0
    assert type(losses["center_loss"]["weight"]) is float
    assert options["train_dataset_options"]["crop_size"] == [1025, 2049]
    assert options["train_dataset_options"]["file_pattern"] == ["${TRAIN_SET}"]
    assert options["train_dataset_options"]["augmentations"]["scale_factor_step_size"] == 0.1


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        (
            "model_options { backbone { use_squeeze_and_excite: true } }",
            "backbone.use_squeeze_and_excite",
            True,
        ),
        (
            "model_options { backbone { use_squeeze_and_excite: 0 } }",
            "backbone.use_squeeze_and_excite",
            False,
        ),
        ("model_options { backbone { use_squeeze_and_excite: t } }", "backbone.use_squeeze_and_excite", True),
        ("model_options { backbone { drop_path_keep_prob: 1 } }", "backbone.drop_path_keep_prob", 1.0),
        (
            "model_options { decoder { atrous_rates: [3, 6] atrous_rates: 9 } }",
            "decoder.atrous_rates",
            [3, 6, 9],
        ),
    ],
)
def test_values_are_of_their_fields_type(text, path, value):
    message, field = path.split(".")
    found = read(text)["model_options"][message][field]
    assert (found, type(found)) == (value, type(value))


def test_an_enumerations_name_may_stand_without_quotes():
    text = "evaluator_options { transformer_post_processing: maskwise }"
    assert read(text)["evaluator_options"]["transformer_post_processing"] == "maskwise"


BROKEN = """experiment_name: mine
model_options {
  backbone { nam: "resnet50" output_stride: "16" }
  backbone {}
  panoptic_deeplab: 3
  low_level { feature_key: "res3" }
}
trainer_options {
  solver_options { warmup_steps: 0.5 use_sync_batchnorm: 2 }
  xyz { anything: [1] }
}
evaluator_options { transformer_post_processing: 3 eval_scales: { } }
"""


def test_all_that_is_wrong_is_reported_by_line():
    with pytest.raises(ValueError, match=r"^mine:1: ") as error:
        read(BROKEN)
    assert str(error.value).splitlines() == [
        "mine:1: experiment_name is a string in quotes. Found: 'mine'.",
        "mine:3: model_options.backbone has no field 'nam'. Similar: name.",
        "mine:3: model_options.backbone.output_stride is a whole number. Found: '16'.",
        "mine:4: backbone is set a second time, after line 3.",
        "mine:5: model_options.panoptic_deeplab is a message in { }. Found: 3.",
        "mine:6: model_options has no field 'low_level'. It belongs to DeepLabV3PlusOptions or "
        "PanopticDeepLabOptions or MotionDeepLabOptions.",
        "mine:9: trainer_options.solver_options.use_sync_batchnorm is true or false. Found: 2.",
        "mine:9: trainer_options.solver_options.warmup_steps is a whole number. Found: 0.5.",
        "mine:10: trainer_options has no field 'xyz'.",
        "mine:12: evaluator_options.eval_scales is a number. Found: a message in { }.",
        "mine:12: evaluator_options.transformer_post_processing is a name. Found: 3.",
        "`allow_unknown` (`--allow-unknown` of the command) leaves unknown fields out.",
    ]


def test_without_unknown_fields_there_is_no_word_of_leaving_them_out():
    with pytest.raises(ValueError, match=r"^mine:1: experiment_name is a string in quotes. Found: 3.$"):
        read("experiment_name: 3")


def test_a_field_at_the_wrong_place_is_told_where_it_belongs():
    with pytest.raises(
        ValueError, match=r"ExperimentOptions has no field 'decoder'. It belongs to ModelOptions"
    ):
        read('decoder { feature_key: "res5" }')


def test_unknown_fields_can_be_left_out(tmp_path):
    path = tmp_path / "mine.textproto"
    path.write_text('experiment_name: "mine"\nmodel_options { fresh: 1 }\n')
    with pytest.raises(ValueError, match=r"mine\.textproto:2: model_options has no field 'fresh'"):
        load(path)
    options = load(path, allow_unknown=True)
    assert options["experiment_name"] == "mine"
    assert "fresh" not in options["model_options"]


def test_the_schema_is_sound():
    schema = option_schema._schema()
    kinds = [
        kind[0] if isinstance(kind, list) else kind for fields in schema.values() for kind in fields.values()
    ]
    messages = {kind["message"] for kind in kinds if isinstance(kind, dict) and "message" in kind}
    assert messages == schema.keys() - {"ExperimentOptions"}


# ---- models


@pytest.fixture
def one_model_at_a_time(monkeypatch):
    start_with_zeros(monkeypatch)
    yield
    keras.backend.clear_session()
    gc.collect()


def manifests():
    """(source, name) of the models whose class is there: a few of the compact manifests, all of the full."""
    few = ("mobilenet_v3_small_os16", "max_deeplab_s", "sac_1_1_1", "v3plus", "v3_mv3l")
    for source in SOURCES:
        for path in sorted(((COMPACT if source == "compact" else FULL) / "manifests").glob("*.json")):
            model = experiment_options._MODELS.get(json.loads(path.read_text()).get("decoder"))
            is_there = isinstance(model, tuple)
            if is_there and (source == "full" or any(word in path.stem for word in few)):
                yield source, path.stem


@pytest.mark.usefixtures("one_model_at_a_time")
@pytest.mark.parametrize(("source", "name"), manifests())
def test_a_published_configuration_builds_the_published_network(source, name):
    manifest = load_manifest(name, source)
    entry = model_entry(options_of(published(manifest)), name)
    model = build_model(entry, **SMALL)
    ours = {key: tuple(variable.shape) for key, variable in checkpoint_keys(model).items()}
    assert ours == {key.removesuffix(SUFFIX): tuple(shape) for key, shape, _ in manifest["checkpoint"]}
    # The examples give no crop for the evaluation: that of the training stands in.
    crop_size = manifest.get("eval_crop_size") or manifest.get("train_crop_size", (1025, 2049))
    assert entry.image_size == tuple(crop_size)
    assert model.label_space.num_classes == manifest["num_classes"]
    assert model.label_space.things == tuple(manifest["class_has_instances_list"])
    assert model.label_space.ignore_label == manifest["ignore_label"]
    assert model.label_space.label_divisor == manifest["label_divisor"]
    assert model.backbone.output_stride == manifest["output_stride"]
    assert model.backbone.batch_norm_epsilon == pytest.approx(manifest["batchnorm"]["epsilon"], abs=1e-9)
    if "drop_path_keep_prob" in manifest["backbone_options"]:
        assert model.backbone.config["drop_path_rate"] == 0.2
        assert model.backbone.config["drop_path_schedule"] == "linear"


SWIDERNET = {
    "output_stride": 16,
    "drop_path_keep_prob": 0.8,
    "drop_path_schedule": "linear",
    "stem_width_multiplier": 1.0,
    "backbone_width_multiplier": 1.0,
}
MOBILENET = {"name": "mobilenet_v3_small", "use_squeeze_and_excite": True}
AT_16 = {"rates": (6, 12, 18)}
# Presets and what their configurations say beside what all of them do.
PRESETS = {
    "mobilenet_v3_small_os32_cityscapes": {"backbone": MOBILENET},
    "mobilenet_v3_small_cityscapes": {"backbone": {**MOBILENET, "output_stride": 16}, **AT_16},
    "axial_swidernet_1_1_1_cityscapes": {
        "backbone": {"name": "axial_swidernet", "backbone_layer_multiplier": 1.0, **SWIDERNET},
        "rates": (),
    },
    "resnet50_os16_coco": {
        "backbone": {"output_stride": 16},
        "num_classes": 134,
        "dataset": "coco_panoptic",
        "crop_size": [641, 641],
        **AT_16,
    },
}


def presets():
    for name in PRESETS:
        try:
            find_entry(name)
        except ValueError:
            continue
        yield name


@pytest.mark.usefixtures("one_model_at_a_time")
@pytest.mark.parametrize("name", presets())
def test_a_configuration_builds_the_same_model_as_its_preset(name):
    preset = find_entry(name)
    message = experiment(**PRESETS[name])
    settings = {"nms_kernel": 13, "stuff_area_limit": 0, **preset.postprocessor}
    message["evaluator_options"]["nms_kernel"] = settings["nms_kernel"]
    message["evaluator_options"]["stuff_area_limit"] = settings["stuff_area_limit"]
    if "batch_norm_epsilon" in preset.backbone:
        message["trainer_options"]["solver_options"]["batchnorm_epsilon"] = 1e-5
    entry = model_entry(options_of(message), name)
    assert entry.image_size == tuple(preset.image_size)
    configs = []
    for model in (build_model(entry, **SMALL, name="same"), build_model(preset, **SMALL, name="same")):
        config = {**model.get_config(), "backbone": model.backbone.get_config()}
        del config["backbone"]["name"], config["postprocessor"], config["preprocessor"]
        settings = model.postprocessor.get_config()
        del settings["name"]
        configs.append({**config, "postprocessor": settings})
    assert configs[0] == {**configs[1], "train_crop_size": configs[0]["train_crop_size"]}
    if "train_crop_size" in preset.arguments:
        assert configs[0]["train_crop_size"] == tuple(preset.arguments["train_crop_size"])


def presets_with_manifests():
    """(source, preset, manifest) of the published models that are there and whose configuration is known."""
    for name, entry in getattr(preset_table, "preset_entries", dict)().items():
        if entry.model in ("PanopticDeepLab", "DeepLabV3", "DeepLabV3Plus") and entry.config:
            manifest = entry.config.removesuffix(".textproto").replace("/", "__")
            for source in SOURCES:
                folder = COMPACT if source == "compact" else FULL
                if (folder / "manifests" / f"{manifest}.json").is_file():
                    yield source, name, manifest


@pytest.mark.parametrize(("source", "name", "manifest"), presets_with_manifests())
def test_every_preset_says_what_its_configuration_says(source, name, manifest):
    preset = find_entry(name)
    message = published(load_manifest(manifest, source))
    for setting in ("nms_kernel", "stuff_area_limit"):
        # The manifests do not hold these two.
        message["evaluator_options"][setting] = preset.postprocessor[setting]
    if source == "compact":
        # Neither do the compact ones hold the sizes and the dataset.
        message["train_dataset_options"]["crop_size"] = preset.arguments["train_crop_size"]
        message["eval_dataset_options"]["crop_size"] = preset.image_size
    entry = model_entry(options_of(message), name, preset.label_space if source == "compact" else None)
    for field in ("model", "image_size", "output_stride", "label_space", "arguments", "postprocessor"):
        assert getattr(entry, field) == getattr(preset, field)
    assert all_backbone_arguments(entry) == all_backbone_arguments(preset)


def all_backbone_arguments(entry):
    """Those of the entry on top of the variant's, on top of the class's defaults."""
    arguments = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in variants()[entry.variant].items()
    }
    parameters = inspect.signature(getattr(keras_deeplab, arguments["backbone"])).parameters
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    return {**defaults, **arguments, **entry.backbone}


def test_an_entry_holds_what_differs_from_the_models_own_defaults():
    entry = model_entry(model_of({"output_stride": 16}), "mine")
    assert (entry.name, entry.family, entry.model) == ("mine", "panoptic_deeplab", "PanopticDeepLab")
    assert (entry.variant, entry.output_stride, entry.label_space) == ("resnet50", 16, "cityscapes")
    # At output stride 16 the rates would be others.
    assert entry.arguments == {"atrous_rates": (3, 6, 9), "train_crop_size": (1025, 2049)}
    assert entry.postprocessor == {
        "center_threshold": 0.1,
        "nms_kernel": 13,
        "top_k": 400,
        "stuff_area_limit": 2048,
    }


def test_decoders_of_other_widths():
    message = experiment()
    model = message["model_options"]
    model["decoder"] = {**decoder((3, 6, 9), 96), "aspp_channels": 64}
    instance = model["panoptic_deeplab"]["instance"]
    instance["instance_decoder_override"] = {**decoder((3, 6, 9), 48), "aspp_channels": 64}
    instance["low_level_override"] = low_levels(8, 4)
    model["panoptic_deeplab"]["low_level"] = low_levels(24, 12)
    model["panoptic_deeplab"]["semantic_head"]["head_channels"] = 96
    for head in ("center_head", "regression_head"):
        instance[head]["head_channels"] = 16
    assert model_entry(options_of(message), "mine").arguments == {
        "aspp_filters": 64,
        "semantic_filters": 96,
        "instance_filters": 48,
        "instance_head_filters": 16,
        "semantic_low_levels": (24, 12),
        "instance_low_levels": (8, 4),
        "train_crop_size": (1025, 2049),
    }
    del instance["low_level_override"]
    assert model_entry(options_of(message), "mine").arguments["instance_low_levels"] == (24, 12)


def test_a_semantic_configuration_needs_nothing_of_instances():
    message = experiment()
    message["model_options"]["panoptic_deeplab"]["instance"] = {"enable": False}
    entry = model_entry(options_of(message), "mine")
    assert entry.arguments == {"instance_branch": False, "train_crop_size": (1025, 2049)}
    assert entry.postprocessor == {}


def test_backbone_options_reach_the_backbone():
    options = model_of(
        {
            "name": "swidernet",
            "stem_width_multiplier": 0.5,
            "backbone_width_multiplier": 0.25,
            "backbone_layer_multiplier": 2.0,
            "use_sac_beyond_stride": 32,
            "use_squeeze_and_excite": True,
            "drop_path_keep_prob": 0.9,
            "drop_path_schedule": "linear",
        }
    )
    assert model_entry(options, "mine").backbone == {
        "stem_width_multiplier": 0.5,
        "width_multiplier": 0.25,
        "depth_multiplier": 2.0,
        "switchable_from_stride": 32,
        "squeeze_excite": True,
        "drop_path_rate": 0.1,
        "drop_path_schedule": "linear",
    }


def test_a_wide_network_without_drop_path_has_none():
    # Unlike the published ones, whose variants drop paths.
    entry = model_entry(model_of({"name": "wide_resnet41"}), "mine")
    assert entry.backbone == {"drop_path_rate": 0.0, "drop_path_schedule": "constant"}


def test_the_guide_to_converting_runs_as_written(tmp_path, monkeypatch):
    page = pathlib.Path(__file__).parents[2].joinpath("docs", "converting.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(\w+)\n(.*?)```", page, re.DOTALL)
    (configuration,) = [text for language, text in blocks if language == "textproto"]
    (classes,) = [text for language, text in blocks if language == "toml"]
    monkeypatch.chdir(tmp_path)
    pathlib.Path("my.textproto").write_text(configuration)
    names = {}
    # The first piece of Python needs a converted checkpoint.
    exec([text for language, text in blocks if language == "python"][1], names)
    assert names["model"].image_shape == (257, 257, 3)
    assert names["model"].label_space == names["pets"] == LabelSpace("pets", **tomllib.loads(classes))
    assert names["options"]["trainer_options"]["solver_options"]["base_learning_rate"] == 0.001


@pytest.mark.parametrize("name", backbone_options._known_backbones())
def test_the_table_of_backbones_agrees_with_the_variants(name):
    known = backbone_options._known_backbones()[name]
    if known.model is None or known.variant != name:
        variant = variants()[known.variant]
        assert known.attends == (variant.get("axial_from_stride") is not None)
        assert known.fixed == (variant["backbone"] == "MobileNetV3Backbone")


def test_every_network_has_a_name_in_configurations():
    # The others are SWideRNets of certain sizes, which configurations give as multipliers.
    variants = {known.variant for known in backbone_options._known_backbones().values()}
    assert {name for name in Backbone.variants() if "_1_1_" not in name} <= variants


@pytest.mark.parametrize(
    ("dataset", "label_space"),
    [
        ("cityscapes_panoptic", "cityscapes"),
        ("kitti_step", "kitti_step"),
        ("cityscapes_dvps", "cityscapes_dvps"),
        ("semkitti_dvps", "semkitti_dvps"),
        ("coco_panoptic", "coco_panoptic"),
        ("ade20k_panoptic", "ade20k_panoptic"),
        ("motchallenge_step", "motchallenge_step"),
        ("wod_pvps_image_panoptic_seg", "waymo"),
        ("wod_pvps_depth_video_panoptic_seg_multicam", "waymo"),
    ],
)
def test_datasets_have_their_label_spaces(dataset, label_space):
    num_classes = LABEL_SPACES[label_space].num_classes
    entry = model_entry(model_of(num_classes=num_classes, dataset=dataset), "mine")
    assert (entry.label_space, entry.dataset) == (label_space, label_space)


PETS = LabelSpace("pets", ["background", "cat", "dog"], things=[1, 2])


def test_own_classes():
    options = model_of(MOBILENET, num_classes=3, dataset="pets_panoptic")
    with pytest.raises(
        ValueError, match=r"mine:\d+: the classes of the dataset 'pets_panoptic' are not known"
    ):
        model_entry(options, "mine")
    entry = model_entry(options, "mine", PETS)
    assert json.loads(json.dumps(entry.label_space))["classes"] == ["background", "cat", "dog"]
    model = build_model(entry, **SMALL)
    assert model.label_space == PETS
    assert model.postprocessor.things == (1, 2)
    assert model_entry(options, "mine", PETS.to_dict()) == entry


def test_the_dataset_of_the_evaluation_will_do():
    message = experiment()
    del message["train_dataset_options"]
    entry = model_entry(options_of(message), "mine")
    assert (entry.label_space, entry.image_size, entry.arguments) == ("cityscapes", (1025, 2049), {})


def test_without_crops_a_convolutional_network_takes_any_size():
    message = experiment()
    del message["train_dataset_options"]["crop_size"], message["eval_dataset_options"]["crop_size"]
    assert model_entry(options_of(message), "mine").image_size is None
    message["model_options"]["backbone"]["name"] = "axial_swidernet"
    with pytest.raises(ValueError, match=r"^mine:\d+: axial_swidernet needs to know the size of the image"):
        model_entry(options_of(message), "mine")


def change(path, value, **kwargs):
    """A configuration with one field changed; without, for `None`."""
    message = inner = experiment(**kwargs)
    *parents, name = path.split(".")
    for parent in parents:
        inner = inner[parent]
    if value is None:
        del inner[name]
    else:
        inner[name] = value
    return message


PANOPTIC = "model_options.panoptic_deeplab"


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (
            change("model_options.backbone.name", "resnet101"),
            "unknown backbone 'resnet101'. Backbones: resnet50, resnet50_beta, ",
        ),
        (
            change("model_options.decoder.feature_key", "res4"),
            "feature_key must be 'res5', the feature that the decoder here takes. Found: 'res4'.",
        ),
        (
            change("model_options.decoder.decoder_conv_type", "standard_conv"),
            "decoder_conv_type must be 'depthwise_separable_conv', the only kind that is there.",
        ),
        (
            change("model_options.decoder.atrous_rates", [3, 6]),
            "atrous_rates must be three. Found: [3, 6].",
        ),
        (
            change(f"{PANOPTIC}.instance.instance_decoder_override.atrous_rates", [6, 12, 18]),
            "atrous_rates must be [3, 6, 9], as in the semantic decoder. Found: [6, 12, 18].",
        ),
        (
            change(f"{PANOPTIC}.instance.instance_decoder_override", None),
            "instance needs an instance_decoder_override",
        ),
        (
            change(f"{PANOPTIC}.instance.regression_head.head_channels", 64),
            "head_channels must be 32, as in the center_head. Found: 64.",
        ),
        (
            change(f"{PANOPTIC}.instance.center_head.output_channels", 2),
            "output_channels must be 1, in a center_head. Found: 2.",
        ),
        (
            change(f"{PANOPTIC}.semantic_head.head_channels", 128),
            "head_channels must be 256, as many as decoder_channels. Found: 128.",
        ),
        (
            change(f"{PANOPTIC}.semantic_head.output_channels", 20),
            "output_channels must be 19, the classes of the label space 'cityscapes'. Found: 20.",
        ),
        (
            change(f"{PANOPTIC}.low_level", low_levels(64, 32)[::-1]),
            "low_level must be given for 'res3' and then for 'res2'. Found: ['res2', 'res3'].",
        ),
        (
            change("train_dataset_options.crop_size", [1025]),
            "crop_size must be a height and a width. Found: [1025].",
        ),
        (
            change("model_options.deeplab_v3", {"num_classes": 19}),
            "model_options must hold one of deeplab_v3, deeplab_v3_plus, panoptic_deeplab, motion_deeplab, "
            "vip_deeplab, max_deeplab. Found: deeplab_v3 and panoptic_deeplab.",
        ),
        (change(PANOPTIC, None), "Found: none."),
        (
            change("model_options.deeplab_v3_plus.low_level.feature_key", "res3", family="deeplab_v3_plus"),
            "feature_key must be 'res2', the feature that the decoder here takes. Found: 'res3'.",
        ),
        (
            change("model_options.deeplab_v3.num_classes", 21, family="deeplab_v3"),
            "num_classes must be 19, the classes of the label space 'cityscapes'. Found: 21.",
        ),
        (
            change("model_options.backbone.drop_path_keep_prob", 0.8, backbone=MOBILENET),
            "drop_path_keep_prob must be 1.0, with mobilenet_v3_small. Found: 0.8.",
        ),
    ],
)
def test_what_no_model_here_can_do_is_said_by_line(message, complaint):
    text = write(message)
    with pytest.raises(ValueError, match=r"^mine:\d+: ") as error:
        model_entry(read(text), "mine")
    assert complaint in str(error.value)
    # The line is the one of the field, or of the message that lacks it.
    line = text.splitlines()[int(str(error.value).split(":")[1]) - 1]
    assert complaint.split()[0] in line or line.endswith("{") or "unknown" in complaint


def test_all_problems_come_at_once():
    message = change("model_options.decoder.feature_key", "res4")
    message["train_dataset_options"]["crop_size"] = [1, 2, 3]
    message["model_options"]["decoder"]["atrous_rates"] = []
    with pytest.raises(ValueError, match=r"feature_key(.*\n)+.*atrous_rates(.*\n)+.*crop_size"):
        model_entry(options_of(message), "mine")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "model_options {\n max_deeplab {} }",
            "mine:2: max_deeplab is planned: this version has no MaXDeepLab",
        ),
        (
            'model_options { backbone { name: "kmax_convnext_large" }\n\n max_deeplab {} }',
            "mine:3: max_deeplab is planned: this version has no KMaXDeepLab yet.",
        ),
        (
            "model_options { motion_deeplab {} }",
            "mine:1: motion_deeplab is planned: this version has no MotionDeepLab",
        ),
        (
            "model_options { vip_deeplab {} }",
            "mine:1: vip_deeplab is planned: this version has no ViPDeepLab yet.",
        ),
        (
            'model_options {\n backbone {\n name: "max_deeplab_s" } panoptic_deeplab {} }',
            "mine:3: max_deeplab_s is planned: this version has no MaXDeepLab yet.",
        ),
    ],
)
def test_planned_models_say_so_in_one_line(text, complaint):
    with pytest.raises(ValueError, match="is planned") as error:
        model_entry(read(text), "mine")
    assert str(error.value).startswith(complaint)
    assert "\n" not in str(error.value)
