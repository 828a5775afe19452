"""Finding presets, and the error when there is none."""

import pytest

from keras_deeplab.hub import registry


def preset(folder):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def test_a_folder_is_found_by_path(tmp_path):
    folder = preset(tmp_path / "mine")
    assert registry.resolve(folder) == folder
    assert registry.resolve(str(folder)) == folder


def test_an_embedded_preset_is_found_by_name(tmp_path, monkeypatch):
    folder = preset(tmp_path / "presets" / "tiny")
    monkeypatch.setattr(registry, "embedded_presets", lambda: {"tiny": folder})
    assert registry.resolve("tiny") == folder


def test_the_error_lists_what_was_tried(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"has no config\.json") as error:
        registry.resolve(tmp_path / "empty")
    assert "package: not among the built-in presets" in str(error.value)
    assert "save_to_preset" in str(error.value)


def test_an_unknown_name_names_the_known_ones(tmp_path, monkeypatch):
    folder = preset(tmp_path / "tiny")
    monkeypatch.setattr(registry, "embedded_presets", lambda: {"tiny": folder})
    with pytest.raises(ValueError, match=r"(?s)'huge' was not found.*Built-in presets: tiny"):
        registry.resolve("huge")


def test_every_embedded_preset_is_complete():
    for name, folder in registry.embedded_presets().items():
        for file in ("config.json", "task.json", "preprocessor.json", "metadata.json", "model.weights.h5"):
            assert (folder / file).is_file(), (name, file)
