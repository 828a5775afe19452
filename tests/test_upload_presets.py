"""The tool that publishes all presets: what it would do, does, and leaves alone."""

import io
import json

import h5py
import numpy as np
import pytest
from PIL import Image

from keras_deeplab.hub import preset_table, registry
from keras_deeplab.version import __version__
from tools import upload_presets

NAMES = ("mobilenet_v3_small_imagenet1k", "resnet50_imagenet1k", "resnet50_beta_imagenet1k")
PUBLISHED = preset_table.preset_entries()
ENTRIES = {name: PUBLISHED[name] for name in NAMES}


@pytest.fixture
def converted(hub, tmp_path, monkeypatch):
    """Stands for DeepLab2's archives. The names that were asked for."""
    asked = []

    def find(name):
        asked.append(name)
        folder = tmp_path / "converted" / name
        if not folder.is_dir():
            raise LookupError("the archive is damaged")
        return folder

    monkeypatch.setattr(preset_table, "preset_entries", lambda: ENTRIES)
    monkeypatch.setattr(registry, "SOURCES", [*registry.SOURCES, ("archives", find)])
    for name, entry in ENTRIES.items():
        folder = tmp_path / "converted" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text('{"class_name": "Net", "config": {"image_shape": [33, 33, 3]}}')
        metadata = {"preset": name, "archive": entry.archive, "keras_deeplab_version": __version__}
        (folder / "metadata.json").write_text(json.dumps(metadata))
        with h5py.File(folder / "model.weights.h5", "w") as file:
            file["layer/vars/0"] = np.ones((64, 64), "float32")
    return asked


def run(*arguments):
    return upload_presets.main(arguments)


def states(output):
    return {line.split()[0]: line.split()[1] for line in output.splitlines() if line.startswith(NAMES)}


def test_a_dry_run_changes_nothing(hub, converted, capsys):
    assert run() == 0
    output = capsys.readouterr().out
    assert states(output) == dict.fromkeys(NAMES, "new")
    assert "3 new" in output
    assert "--upload does it" in output
    assert hub.repositories == {}
    assert converted == []


def test_presets_are_uploaded_with_their_cards(hub, converted, capsys, monkeypatch):
    monkeypatch.setenv("KERAS_DEEPLAB_ORG", "zoo")
    assert run("--upload", "--only", "*50_imagenet*", "--private") == 0
    assert states(capsys.readouterr().out) == {NAMES[1]: "uploaded"}
    repository = hub.repositories[f"zoo/{NAMES[1]}"]
    assert repository.private
    assert repository.titles == ["initial commit", "Upload preset"]
    card = repository.files["README.md"].decode()
    assert ENTRIES[NAMES[1]].archive in card
    assert "license: apache-2.0" in card


def test_a_second_run_leaves_alone_what_is_there(hub, converted, capsys):
    assert run("--upload") == 0
    converted.clear()
    capsys.readouterr()
    assert run("--upload") == 0
    output = capsys.readouterr().out
    assert output.count("up to date") == len(NAMES) + 1
    assert converted == []
    assert hub.repositories[f"keras-deeplab/{NAMES[0]}"].titles.count("Upload preset") == 1


def test_what_another_version_converted_is_replaced_and_not_taken_from_the_hub(hub, converted, capsys):
    assert run("--upload", "--only", NAMES[0]) == 0
    repository = hub.repositories[f"keras-deeplab/{NAMES[0]}"]
    old = json.dumps({"archive": ENTRIES[NAMES[0]].archive, "keras_deeplab_version": "0.0.1"}).encode()
    repository.commit({**repository.files, "metadata.json": old, "README.md": b"old"}, "Older")
    converted.clear()
    assert run("--only", NAMES[0]) == 0
    assert "outdated" in capsys.readouterr().out
    assert run("--upload", "--only", NAMES[0]) == 0
    assert converted == [NAMES[0]]
    assert json.loads(repository.files["metadata.json"])["keras_deeplab_version"] == __version__
    assert repository.files["README.md"] != b"old"


def test_weights_in_half_precision(hub, converted, tmp_path):
    assert run("--upload", "--only", NAMES[0], "--weights-dtype", "float16") == 0
    files = hub.repositories[f"keras-deeplab/{NAMES[0]}"].files
    assert json.loads(files["metadata.json"])["weights_dtype"] == "float16"
    path = tmp_path / "uploaded.h5"
    path.write_bytes(files["model.weights.h5"])
    with h5py.File(path) as file:
        assert file["layer/vars/0"].dtype == "float16"
    with h5py.File(tmp_path / "converted" / NAMES[0] / "model.weights.h5") as file:
        assert file["layer/vars/0"].dtype == "float32"


def test_cards_of_models_for_streets_have_a_picture(hub, converted, monkeypatch):
    entry = PUBLISHED["mobilenet_v3_small_cityscapes"]
    monkeypatch.setattr(preset_table, "preset_entries", lambda: {entry.name: entry})
    folder = registry.embedded_presets()["street_synthetic"]
    monkeypatch.setattr(registry, "SOURCES", [("archives", lambda name: folder)])
    assert run("--upload") == 0
    files = hub.repositories[f"keras-deeplab/{entry.name}"].files
    assert Image.open(io.BytesIO(files["picture.png"])).size[0] > 257
    assert b"](picture.png)" in files["README.md"]
    assert not (folder / "picture.png").exists()


def test_a_folder_of_the_same_name_is_not_taken(hub, converted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAMES[0]).mkdir()
    (tmp_path / NAMES[0] / "config.json").write_text("{}")
    assert run("--upload", "--only", NAMES[0]) == 0
    assert converted == [NAMES[0]]


def test_a_preset_that_fails_does_not_keep_the_others(hub, converted, tmp_path, capsys):
    (tmp_path / "converted" / NAMES[1]).rename(tmp_path / "elsewhere")
    assert run("--upload") == 1
    output = capsys.readouterr()
    assert states(output.out) == {NAMES[0]: "uploaded", NAMES[1]: "failed", NAMES[2]: "uploaded"}
    assert f"error: {NAMES[1]}: " in output.err
    assert "the archive is damaged" in output.err
    (tmp_path / "elsewhere").rename(tmp_path / "converted" / NAMES[1])
    assert run("--upload") == 0
    assert f"keras-deeplab/{NAMES[1]}" in hub.repositories


def test_an_unreachable_hub_is_said(hub, converted, capsys, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert run("--only", NAMES[0]) == 1
    assert f"Cannot ask the Hub about 'keras-deeplab/{NAMES[0]}'" in capsys.readouterr().err


def test_an_unknown_pattern_is_wrong_usage(hub, converted, capsys):
    with pytest.raises(SystemExit):
        run("--only", "nothing*")
    assert "no preset matches 'nothing*'" in capsys.readouterr().err
