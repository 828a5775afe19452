"""The tables of published presets: complete, readable, and each builds DeepLab2's network."""

import gc
import json
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_deeplab.backbones import Backbone, MobileNetV3Backbone
from keras_deeplab.hub import preset_entry, preset_table, registry
from keras_deeplab.hub.deeplab2 import checkpoint_keys
from keras_deeplab.hub.preset_entry import read_tables
from keras_deeplab.hub.preset_table import build_model, find_entry
from keras_deeplab.labels import LABEL_SPACES
from keras_deeplab.models import DeepLabV3, PanopticDeepLab, Segmenter
from tests.models.published import start_with_zeros
from tests.references import COMPACT, SOURCES, load_manifest

SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
ENTRIES = preset_table.preset_entries()
PUBLISHED = json.loads((COMPACT / "published_checkpoints.json").read_text())
# Where no experiment file is published, the network is that of another one.
LIKE = {
    "resnet50_crowd_cityscapes": "cityscapes__panoptic_deeplab__resnet50_os32_merge_with_pure_tf_func",
    "resnet50_crowd_7class_cityscapes": "motchallenge__panoptic_deeplab__resnet50_os32",
}
# One of each kind where the full set is not there.
SAMPLE = (
    "mobilenet_v3_small_cityscapes", "resnet50_crowd_cityscapes", "max_deeplab_s_backbone_cityscapes",
    "axial_resnet50_imagenet22k_1k", "max_deeplab_l_backbone_imagenet1k",
)  # fmt: skip


def manifest_name(entry):
    if entry.config:
        return entry.config.removesuffix(".textproto").replace("/", "__")
    return LIKE.get(entry.name, f"imagenet__{entry.variant}")


def built_presets():
    """(source, name) of the presets whose variables are compared."""
    full = [name for name, entry in ENTRIES.items() if entry.status == "available"]
    return [(source, name) for source in SOURCES for name in (SAMPLE if source == "compact" else full)]


@pytest.fixture
def one_model_at_a_time(monkeypatch):
    start_with_zeros(monkeypatch)
    yield
    keras.backend.clear_session()
    gc.collect()


def test_there_is_a_table_for_every_published_checkpoint():
    assert len(ENTRIES) == 91
    assert {name: entry.archive for name, entry in ENTRIES.items()} == {
        name: facts["archive"] for name, facts in PUBLISHED.items()
    }


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_table_holds_the_published_facts(name):
    entry, facts = ENTRIES[name], PUBLISHED[name]
    assert [[m["metric"], m["value"], m["evaluator"]] for m in entry.metrics] == facts["metrics"]
    assert entry.training.items() >= facts["training"].items()
    assert entry.postprocessor.items() >= facts["postprocessor"].items()


def test_what_this_version_builds_is_available_and_the_rest_planned():
    planned = {name for name, entry in ENTRIES.items() if entry.status == "planned"}
    assert planned == {
        name
        for name, entry in ENTRIES.items()
        if entry.model in ("MaXDeepLab", "KMaXDeepLab", "MotionDeepLab", "ViPDeepLab")
        or entry.variant.startswith(("convnext", "moat", "tiny_moat"))
    }


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=lambda entry: entry.name)
def test_a_table_is_sound(entry):
    assert (entry.label_space is None) == (entry.model == "Backbone")
    assert entry.archive.endswith(".tar.gz")
    assert entry.output_stride in (None, 16, 32)
    assert entry.training["split"]
    assert entry.training.get("pretraining") in (None, *ENTRIES)
    assert all(0 < metric["value"] < 100 for metric in entry.metrics)
    assert bool(entry.metrics) == bool(entry.eval_split)
    # The label space is the dataset's; two initial checkpoints have those of the next dataset.
    assert entry.label_space in (
        None, "motchallenge_step", *(space for space in LABEL_SPACES if space.startswith(entry.dataset)),
    )  # fmt: skip


@pytest.mark.parametrize(("source", "name"), built_presets())
@pytest.mark.usefixtures("one_model_at_a_time")
def test_a_preset_has_exactly_its_checkpoints_variables(source, name):
    entry = find_entry(name)
    manifest = load_manifest(manifest_name(entry), source)
    model = build_model(entry, image_shape=(97, 193, 3))
    ours = {key: tuple(variable.shape) for key, variable in checkpoint_keys(model).items()}
    assert ours == {key.removesuffix(SUFFIX): tuple(shape) for key, shape, _ in manifest["checkpoint"]}
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == entry.parameters
    backbone = getattr(model, "backbone", model)
    epsilon = manifest.get("batchnorm", {}).get("epsilon", backbone.batch_norm_epsilon)
    assert backbone.batch_norm_epsilon == pytest.approx(epsilon, rel=1e-6)
    keep = manifest.get("backbone_options", {}).get("drop_path_keep_prob", 1.0)
    assert getattr(backbone, "config", {}).get("drop_path_rate", 0.0) == pytest.approx(1 - keep, abs=1e-6)


@pytest.mark.skipif("full" not in SOURCES, reason="needs the full reference set")
@pytest.mark.parametrize(
    "entry", [entry for entry in ENTRIES.values() if entry.config], ids=lambda entry: entry.name
)
def test_a_table_says_what_the_experiment_file_says(entry):
    manifest = load_manifest(manifest_name(entry), "full")
    space = LABEL_SPACES[entry.label_space]
    assert (space.num_classes, space.ignore_label) == (manifest["num_classes"], manifest["ignore_label"])
    assert (list(space.things), space.label_divisor) == (
        manifest["class_has_instances_list"], manifest["label_divisor"],
    )  # fmt: skip
    single_frame = manifest["model_class"] == "DeepLab"
    assert entry.model == manifest["decoder_class" if single_frame else "model_class"]
    assert list(entry.image_size) == manifest["eval_crop_size"]
    assert entry.output_stride == manifest["output_stride"]
    crop = entry.arguments.get("train_crop_size", entry.image_size)
    assert list(crop) == manifest["train_crop_size"]
    assert entry.parameters == manifest["trainable_parameter_count"]


def test_a_published_name_builds_without_files_and_network(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "resolve", lambda preset: pytest.fail(f"looked for {preset}"))
    model = Segmenter.from_preset(
        "mobilenet_v3_small_cityscapes",
        load_weights=False,
        image_shape=(65, 129, 3),
        label_space="kitti_step",
    )
    assert isinstance(model, PanopticDeepLab)
    assert model.image_shape == (65, 129, 3)
    assert model.backbone.output_stride == 16
    assert model.label_space == LABEL_SPACES["kitti_step"]
    assert model.options["train_crop_size"] == (1025, 2049)
    settings = model.postprocessor.get_config()
    assert (settings["nms_kernel"], settings["stuff_area_limit"], settings["top_k"]) == (7, 2048, 400)
    assert settings["things"] == LABEL_SPACES["kitti_step"].things
    assert model.preprocessor.image_size == (65, 129)
    assert isinstance(
        Backbone.from_preset("mobilenet_v3_small_cityscapes", load_weights=False, output_stride=32),
        MobileNetV3Backbone,
    )


def test_a_preset_that_was_built_is_saved_and_read_again(tmp_path):
    model = build_model(find_entry("mobilenet_v3_small_cityscapes"), image_shape=(65, 129, 3))
    model.save_to_preset(tmp_path / "mine")
    again = Segmenter.from_preset(tmp_path / "mine")
    assert again.postprocessor.get_config() == model.postprocessor.get_config()
    assert tuple(again.options["train_crop_size"]) == (1025, 2049)
    for old, new in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (old, new)))


def test_a_precision_is_that_of_the_whole_network():
    model = build_model(
        find_entry("mobilenet_v3_small_cityscapes"), image_shape=(65, 129, 3), dtype="mixed_bfloat16"
    )
    assert model.backbone.dtype_policy.name == "mixed_bfloat16"
    assert model.get_layer("semantic_decoder").dtype_policy.name == "mixed_bfloat16"


def test_a_postprocessor_of_the_users_own_is_kept():
    from keras_deeplab.postprocessing.panoptic import PanopticPostprocessor

    mine = PanopticPostprocessor(things=[11], nms_kernel=3)
    model = build_model(
        find_entry("mobilenet_v3_small_cityscapes"), image_shape=(65, 129, 3), postprocessor=mine
    )
    assert model.postprocessor is mine


@pytest.mark.parametrize(
    ("cls", "name", "missing"),
    [
        (Segmenter, "kmax_convnext_large_coco", "no KMaXDeepLab yet"),
        (PanopticDeepLab, "vip_resnet50_beta_semkitti_dvps", "no ViPDeepLab yet"),
        (Backbone, "moat0_224_imagenet1k", "no backbone 'moat0' yet"),
        (Backbone, "convnext_tiny_imagenet22k_1k_384", "no backbone 'convnext_tiny' yet"),
    ],
)
@pytest.mark.parametrize("load_weights", [True, False])
def test_a_planned_preset_says_so_in_one_line(cls, name, missing, load_weights):
    with pytest.raises(ValueError, match="is planned") as error:
        cls.from_preset(name, load_weights=load_weights)
    assert str(error.value) == f"The preset {name!r} is planned: this version has {missing}."


@pytest.mark.parametrize(
    ("cls", "name", "holds"),
    [
        (DeepLabV3, "resnet50_cityscapes", "PanopticDeepLab"),
        (Segmenter, "resnet50_imagenet1k", "Backbone"),
        (MobileNetV3Backbone, "resnet50_imagenet1k", "ResNetBackbone"),
    ],
)
def test_another_class_is_told_which_one_loads_the_preset(cls, name, holds):
    complaint = f"{name}' holds a {holds}, not a {cls.__name__}. Use {holds}.from_preset."
    for load_weights in (True, False):
        with pytest.raises(ValueError, match=complaint):
            cls.from_preset(name, load_weights=load_weights)


def test_a_class_names_what_it_can_load():
    assert {
        "street_camvid",
        "street_synthetic",
        "resnet50_cityscapes",
        "axial_swidernet_cityscapes",
    } <= Segmenter.presets.keys()
    assert "kmax_resnet50_coco" not in Segmenter.presets
    assert "resnet50_imagenet1k" not in PanopticDeepLab.presets
    assert {"resnet50_imagenet1k", "resnet50_cityscapes"} <= Backbone.presets.keys()
    assert DeepLabV3.presets == {}
    small = {name for name, facts in MobileNetV3Backbone.presets.items() if "small" in facts["variant"]}
    assert small == {"mobilenet_v3_small_cityscapes", "mobilenet_v3_small_imagenet1k"}
    assert Segmenter.presets["axial_swidernet_cityscapes"]["name"] == "axial_swidernet_1_1_4.5_cityscapes"
    json.dumps(Segmenter.presets)


def test_a_folder_wins_over_the_published_preset_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert preset_table.published_entry("resnet50_cityscapes", Segmenter) is ENTRIES["resnet50_cityscapes"]
    (tmp_path / "resnet50_cityscapes").mkdir()
    (tmp_path / "resnet50_cityscapes" / "config.json").write_text("{}")
    assert preset_table.published_entry("resnet50_cityscapes", Segmenter) is None


def test_weights_are_looked_for_under_the_name_that_an_alias_stands_for(monkeypatch):
    def resolve(preset):
        raise ValueError(f"asked for {preset}")

    monkeypatch.setattr(registry, "resolve", resolve)
    with pytest.raises(ValueError, match=r"asked for axial_swidernet_1_1_4\.5_cityscapes"):
        Segmenter.from_preset("axial_swidernet_cityscapes")


def test_an_alias_stands_for_the_best_of_its_kind():
    def quality(entry):
        return next(metric["value"] for metric in entry.metrics if metric["metric"] == "PQ")

    aliases = {alias: entry for entry in ENTRIES.values() for alias in entry.aliases}
    assert find_entry("axial_swidernet_cityscapes").name == "axial_swidernet_1_1_4.5_cityscapes"
    assert len(aliases) == 8
    for alias, best in aliases.items():
        start, _, dataset = alias.rpartition("_")
        of_its_kind = re.compile(rf"{start}(_(os)?[\d.]+k?)+_{dataset}")
        alike = [entry for name, entry in ENTRIES.items() if of_its_kind.fullmatch(name)]
        assert len(alike) > 1
        assert max(alike, key=quality) is best


def test_an_unknown_name_names_similar_ones():
    with pytest.raises(
        ValueError, match=r"Unknown preset 'resnet50_cityscape'\. Similar presets: resnet50_city"
    ):
        find_entry("resnet50_cityscape")


GOOD = '[a]\nmodel = "Backbone"\nvariant = "v"\ndataset = "d"\narchive = "a.tar.gz"\npaper = "1234.5678"\n'


def test_defaults_hold_where_a_table_says_nothing(tmp_path):
    path = tmp_path / "family.toml"
    path.write_text(f'[defaults]\nlicense = "MIT"\npaper = "1"\n[aliases]\nb = "a"\n{GOOD}')
    entries, aliases = read_tables(path)
    entry = entries["a"]
    assert (entry.family, entry.license, entry.paper) == ("family", "MIT", "1234.5678")
    assert (entry.aliases, aliases) == (("b",), {"b": "a"})
    assert entry.size is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[a]\nb = c\n", r"Cannot read the presets in '.*family\.toml': .*line 2"),
        ('a = "b"', r"family\.toml: 'a' stands outside of a table"),
        (GOOD + 'papers = "1"', r"family\.toml, \[a\]: unknown field 'papers'\. Fields: model, "),
        (GOOD.replace("archive", "note"), r"\[a\]: the field 'archive' is missing"),
        (GOOD + 'output_stride = "16"', r"\[a\]: 'output_stride' must be a whole number\. Received: '16'"),
        (GOOD + "parameters = true", r"\[a\]: 'parameters' must be a whole number\. Received: True"),
        (GOOD + "backbone = 3", r"\[a\]: 'backbone' must be a table\. Received: 3"),
        (GOOD + 'label_space = "mars"', r"\[a\]: unknown label space 'mars'\. Built-in ones: cityscapes, "),
        (GOOD + "image_size = [1025]", r"\[a\]: 'image_size' must be \[height, width\]\. Received: \[1025\]"),
        (GOOD + "image_size = [0, 5]", r"\[a\]: 'image_size' must be \[height, width\]"),
        (GOOD + 'metrics = [{ metric = "PQ" }]', r"\[a\]: each of 'metrics' needs 'metric', 'value' and"),
        (GOOD + '[aliases]\nb = "c"', r"\[aliases\]: 'b' must be a new name for one of the file's presets"),
        (GOOD + '[aliases]\na = "a"', r"\[aliases\]: 'a' must be a new name"),
    ],
)
def test_a_malformed_table_is_named_with_file_and_field(tmp_path, text, complaint):
    path = tmp_path / "family.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=complaint):
        read_tables(path)


def test_two_files_cannot_name_the_same_preset(tmp_path, monkeypatch):
    for family in ("one", "two"):
        (tmp_path / f"{family}.toml").write_text(GOOD)
    monkeypatch.setattr(preset_table, "_folder", lambda: tmp_path)
    with pytest.raises(ValueError, match=r"two\.toml: there is another preset 'a', in another file"):
        preset_table._published.__wrapped__()


def test_a_built_in_preset_is_described_by_its_folder():
    entry = preset_table.embedded_entries()["street_camvid"]
    assert (entry.family, entry.model, entry.variant) == (
        *("panoptic_deeplab", "PanopticDeepLab", "MobileNetV3Backbone"),
    )
    assert (entry.label_space, entry.image_size, entry.status) == ("camvid", (385, 513), "available")
    assert entry.postprocessor["nms_kernel"] == 7
    assert entry.dataset == "camvid"
    assert "non-commercial research only" in entry.license
    facts = preset_table.describe(entry)
    weights = registry.embedded_presets()["street_camvid"].glob("*.h5")
    assert (facts["cached"], facts["size"]) == (True, sum(path.stat().st_size for path in weights))


def test_metadata_say_what_a_folder_was_trained_on(tmp_path):
    source = registry.embedded_presets()["street_synthetic"]
    for name in ("config.json", "task.json"):
        (tmp_path / name).write_text((source / name).read_text())
    metric = {"metric": "mIoU", "value": 61.5, "evaluator": "deeplab2"}
    facts = {"dataset": "camvid", "license": "research only", "metrics": [metric], "parameters": 3, "x": 1}
    (tmp_path / "metadata.json").write_text(json.dumps(facts))
    entry = preset_table.folder_entry("mine", tmp_path)
    assert (entry.name, entry.dataset, entry.license) == ("mine", "camvid", "research only")
    assert (entry.metrics, entry.eval_split, entry.parameters) == ((metric,), None, None)
    (tmp_path / "metadata.json").unlink()
    with pytest.raises(ValueError, match=r"incomplete: metadata\.json is missing"):
        preset_table.folder_entry("mine", tmp_path)


def test_a_preset_in_the_cache_is_known_as_such(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_DEEPLAB_CACHE", str(tmp_path))
    entry = find_entry("resnet50_cityscapes")
    assert preset_table.describe(entry)["cached"] is False
    assert preset_table.describe(entry)["size"] == 4 * 54_973_702
    folder = tmp_path / "presets" / "resnet50_cityscapes"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.weights.h5").write_bytes(b"12345")
    facts = preset_table.describe(entry)
    assert (facts["cached"], facts["size"]) == (True, 5)


def test_looking_at_the_tables_loads_no_backend():
    statement = (
        "import sys; from keras_deeplab.hub import preset_table as t; "
        "[t.describe(e) for e in (*t.preset_entries().values(), *t.embedded_entries().values())]; "
        "sys.exit(any(name in sys.modules for name in ('keras', 'torch', 'jax', 'tensorflow')))"
    )
    root = preset_entry.__file__.rpartition("keras_deeplab")[0]
    assert subprocess.run([sys.executable, "-c", statement], cwd=root).returncode == 0
