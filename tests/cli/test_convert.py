"""The command `convert`, with a stand-in for what reads TensorFlow's checkpoints."""

import importlib.util
import json
import sys
import types

import keras
import numpy as np
import pytest

from keras_deeplab.cli import main
from keras_deeplab.hub import preset_table, registry
from keras_deeplab.hub.deeplab2 import checkpoint_keys, load_weights
from keras_deeplab.hub.preset_folder import save_task
from keras_deeplab.hub.preset_table import PresetEntry, build_model
from keras_deeplab.labels import LABEL_SPACES, LabelSpace
from keras_deeplab.models import Segmenter
from tests.hub.configurations import experiment, write
from tests.reference_weights import reference_checkpoint
from tests.references import FULL, load_manifest

MOBILENET = {"name": "mobilenet_v3_small", "use_squeeze_and_excite": True}
SMALL = [33, 65]
HAS_CONVERTER = importlib.util.find_spec("keras_deeplab.hub.convert") is not None


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def conversions(monkeypatch):
    """What was asked of the stand-in: entries and checkpoints. It writes a preset without weights."""
    asked = []

    def convert_checkpoint(entry, checkpoint, folder):
        asked.append((entry, checkpoint))
        folder.mkdir()
        (folder / "config.json").write_text('{"class_name": "MobileNetV3Backbone"}')
        (folder / "task.json").write_text(json.dumps({"class_name": entry.model}))

    replace_converter(monkeypatch, convert_checkpoint)
    return asked


def replace_converter(monkeypatch, convert_checkpoint):
    module = types.SimpleNamespace(convert_checkpoint=convert_checkpoint)
    monkeypatch.setitem(sys.modules, "keras_deeplab.hub.convert", module)


def write_configuration(name="mine.textproto", **changes):
    with open(name, "w") as file:
        file.write(write(experiment(**{"backbone": MOBILENET, "crop_size": SMALL, **changes})))


def check_weights(model, arrays):
    """Compares every variable with the checkpoint's array."""
    variables = checkpoint_keys(model)
    assert len(variables) == len(arrays)
    for key, variable in variables.items():
        expected = arrays[f"{key}/.ATTRIBUTES/VARIABLE_VALUE"]
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), expected, err_msg=key)


def convert(*words):
    return main(["convert", *words])


FROM_CONFIG = ("--config", "mine.textproto", "--checkpoint", "run/ckpt-7", "--output", "out")


def test_a_configuration_and_a_checkpoint_become_a_preset(monkeypatch, tmp_path, capsys):
    arrays = reference_checkpoint(load_manifest("cityscapes__panoptic_deeplab__mobilenet_v3_small_os32"))

    def convert_checkpoint(entry, checkpoint, folder):
        assert str(checkpoint) == "run/ckpt-7"
        model = build_model(entry)
        load_weights(model, arrays)
        save_task(model, folder)

    replace_converter(monkeypatch, convert_checkpoint)
    write_configuration()
    assert convert(*FROM_CONFIG) == 0
    assert capsys.readouterr().out == "out: a preset with a PanopticDeepLab, from run/ckpt-7\n"
    model = Segmenter.from_preset("./out")
    assert model.image_shape == (33, 65, 3)
    assert model.label_space == LABEL_SPACES["cityscapes"]
    check_weights(model, arrays)


def test_a_preset_is_named_after_its_configuration(conversions):
    write_configuration("street_v2.textproto")
    assert convert("--config", "street_v2.textproto", "--checkpoint", "run", "--output", "out") == 0
    ((entry, checkpoint),) = conversions
    assert (entry.name, entry.variant, entry.output_stride) == ("street_v2", "mobilenet_v3_small", 32)
    assert str(checkpoint) == "run"


def test_json_is_all_that_is_printed(conversions, capsys):
    write_configuration()
    assert convert(*FROM_CONFIG, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "output": "out",
        "model": "PanopticDeepLab",
        "source": "run/ckpt-7",
    }


def test_a_name_with_a_checkpoint_gives_the_model_of_the_name(conversions, monkeypatch):
    entry = PresetEntry("mine", "panoptic_deeplab", "PanopticDeepLab", "resnet50", "cityscapes")
    monkeypatch.setattr(preset_table, "find_entry", {"tuned": entry}.__getitem__)
    assert convert("tuned", "--checkpoint", "run/ckpt-7", "--output", "out") == 0
    ((asked, checkpoint),) = conversions
    assert asked is entry
    assert str(checkpoint) == "run/ckpt-7"


@pytest.fixture
def known_preset(monkeypatch, tmp_path):
    """The preset that `tiny` resolves to: a link, as in the Hub's cache."""
    folder = tmp_path / "cache" / "tiny"
    folder.mkdir(parents=True)
    (tmp_path / "blob").write_text('{"class_name": "MobileNetV3Backbone"}')
    (folder / "config.json").symlink_to(tmp_path / "blob")
    (folder / "model.weights.h5").write_bytes(b"weights")
    monkeypatch.setattr(registry, "SOURCES", [("test", lambda preset: folder)])
    return folder


@pytest.mark.usefixtures("known_preset")
def test_a_name_alone_copies_the_published_weights(tmp_path, capsys):
    assert convert("tiny", "--output", "deep/out") == 0
    assert capsys.readouterr().out == "deep/out: a preset with a MobileNetV3Backbone, from tiny\n"
    copied = tmp_path / "deep" / "out"
    assert {p.name: p.is_symlink() for p in copied.iterdir()} == {
        "config.json": False,
        "model.weights.h5": False,
    }
    assert (copied / "model.weights.h5").read_bytes() == b"weights"
    assert [p.name for p in copied.parent.iterdir()] == ["out"]


@pytest.mark.usefixtures("known_preset")
def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "out").mkdir()
    assert convert("tiny", "--output", "out") == 0
    assert (tmp_path / "out" / "config.json").is_file()


def test_a_failed_copy_leaves_nothing(known_preset, tmp_path, capsys):
    (known_preset / "config.json").unlink()
    (known_preset / "config.json").symlink_to(tmp_path / "gone")
    assert convert("tiny", "--output", "out") == 1
    assert f"Cannot copy the preset '{known_preset}': [Errno 2]" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["blob", "cache"]


def test_a_folder_with_something_in_it_stays_as_it_is(conversions, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    write_configuration()
    assert convert(*FROM_CONFIG) == 1
    assert capsys.readouterr().err == "error: 'out' is no empty folder. Choose another --output.\n"
    assert convert(*FROM_CONFIG[:-1], "out/notes.txt") == 1
    assert conversions == []


TOML = 'classes = ["background", "cat", "dog"]\nthings = [1, 2]\n'


@pytest.mark.parametrize(
    ("name", "text", "space"),
    [
        ("pets.toml", TOML, LabelSpace("pets", ["background", "cat", "dog"], things=[1, 2])),
        (
            "pets.json",
            '{"name": "animals", "classes": ["background", "cat", "dog"], "label_divisor": 256}',
            LabelSpace("animals", ["background", "cat", "dog"], label_divisor=256),
        ),
    ],
)
def test_own_classes_come_from_a_file(conversions, tmp_path, name, text, space):
    (tmp_path / name).write_text(text)
    write_configuration(dataset="pets_panoptic", num_classes=3)
    assert convert(*FROM_CONFIG, "--label-space", name) == 0
    ((entry, _),) = conversions
    assert LabelSpace.create(entry.label_space) == space


def test_a_built_in_label_space_goes_by_its_name(conversions):
    write_configuration(dataset="my_kitti")
    assert convert(*FROM_CONFIG, "--label-space", "kitti_step") == 0
    assert conversions[0][0].label_space == "kitti_step"


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("nowhere", None, "Unknown label space 'nowhere'. Built-in label spaces: ade20k_panoptic, "),
        ("gone.json", None, "Cannot read a label space from 'gone.json': "),
        ("bad.json", "{", "Cannot read a label space from 'bad.json': "),
        ("bad.toml", "classes = ", "Cannot read a label space from 'bad.toml': "),
        ("list.json", "[1]", "Cannot read a label space from 'list.json': it holds no object"),
        ("typo.toml", 'clases = ["a"]', "typo.toml': "),
        ("wrong.toml", 'classes = ["a"]\nthings = [1]', "`things` must be indices of the 1 `classes`"),
    ],
)
def test_a_label_space_that_is_none(conversions, tmp_path, capsys, name, text, complaint):
    if text is not None:
        (tmp_path / name).write_text(text)
    write_configuration()
    assert convert(*FROM_CONFIG, "--label-space", name) == 1
    assert complaint in capsys.readouterr().err
    assert conversions == []


def test_problems_of_the_configuration_are_printed_by_line(conversions, capsys):
    write_configuration(dataset="pets_panoptic")
    assert convert(*FROM_CONFIG) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("error: mine.textproto:")
    assert "the classes of the dataset 'pets_panoptic' are not known here" in printed
    assert "Traceback" not in printed
    assert conversions == []


def test_unknown_fields_can_be_left_out(conversions, capsys):
    write_configuration()
    with open("mine.textproto", "a") as file:
        file.write("\nfresh { field: 1 }\n")
    assert convert(*FROM_CONFIG) == 1
    assert "ExperimentOptions has no field 'fresh'." in capsys.readouterr().err
    assert convert(*FROM_CONFIG, "--allow-unknown") == 0
    assert len(conversions) == 1


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--output", "out"), "one of the arguments NAME --config is required"),
        (("tiny",), "required: --output"),
        (("tiny", *FROM_CONFIG), "not allowed with argument"),
        (("--config", "mine.textproto", "--output", "out"), "--config needs --checkpoint"),
        (
            ("tiny", "--output", "out", "--label-space", "cityscapes"),
            "--label-space and --allow-unknown go with",
        ),
        (
            ("tiny", "--output", "out", "--allow-unknown"),
            "--label-space and --allow-unknown go with --config",
        ),
    ],
)
def test_wrong_usage_exits_with_2(words, complaint, capsys):
    with pytest.raises(SystemExit) as stopped:
        convert(*words)
    assert stopped.value.code == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.skipif(
    not (HAS_CONVERTER and (FULL / "checkpoints").is_dir()), reason="needs the full reference set"
)
def test_a_real_checkpoint_is_converted(capsys):
    pytest.importorskip("tensorflow")
    write_configuration()
    checkpoint = FULL / "checkpoints" / "panoptic_mobilenet_v3_small_os32"
    assert convert("--config", "mine.textproto", "--checkpoint", str(checkpoint), "--output", "out") == 0
    arrays = reference_checkpoint(load_manifest("cityscapes__panoptic_deeplab__mobilenet_v3_small_os32"))
    check_weights(Segmenter.from_preset("./out"), arrays)
