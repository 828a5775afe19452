"""Finding presets, and the error when there is none."""

import dataclasses

import pytest

from keras_deeplab.hub import cache, preset_table, published, registry


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
        assert "# " in (folder / "README.md").read_text("utf-8")
    assert sum(path.stat().st_size for path in folder.parent.glob("*/*")) < 8e6


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty cache, and a world without a network."""
    monkeypatch.setenv("KERAS_DEEPLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(published, "download", lambda url, path: pytest.fail(f"downloads {url}"))
    return tmp_path / "cache"


def test_a_cached_preset_is_found_by_name_and_alias(root, monkeypatch):
    entry = preset_table.find_entry("mobilenet_v3_small_imagenet1k")
    monkeypatch.setattr(preset_table, "find_entry", lambda name: entry)
    folder = preset(root / "presets" / entry.name)
    assert registry.resolve(entry.name) == folder
    assert registry.resolve("its_alias") == folder


def test_folder_and_package_come_before_the_cache(root, tmp_path, monkeypatch):
    name = "mobilenet_v3_small_imagenet1k"
    preset(root / "presets" / name)
    embedded = preset(tmp_path / "package" / name)
    monkeypatch.setattr(registry, "embedded_presets", lambda: {name: embedded})
    assert registry.resolve(name) == embedded
    monkeypatch.chdir(tmp_path)
    preset(tmp_path / name)
    assert registry.resolve(name).resolve() == tmp_path / name


def test_archives_come_last():
    labels = [label for label, _ in registry.SOURCES]
    assert [label for label in labels if label != "Hugging Face"] == [
        *("folder", "package", "cache", "DeepLab2's archives"),
    ]
    assert "Hugging Face" not in labels or labels.index("Hugging Face") == 3


def test_a_planned_preset_is_refused_even_when_something_of_it_is_cached(root, monkeypatch):
    entry = preset_table.find_entry("mobilenet_v3_small_imagenet1k")
    planned = dataclasses.replace(entry, name="future", model="FutureLab")
    monkeypatch.setattr(preset_table, "find_entry", lambda name: planned)
    preset(root / "presets" / "future")
    with pytest.raises(ValueError, match="'future' is planned: this version has no FutureLab yet") as error:
        registry.resolve("future")
    assert len(str(error.value).splitlines()) == 1


def test_the_last_reason_is_the_cause(root, monkeypatch):
    def fail(preset):
        raise LookupError("it is late") from OSError("the clock")

    monkeypatch.setattr(registry, "SOURCES", [("clock", fail)])
    with pytest.raises(ValueError, match="clock: it is late") as error:
        registry.resolve("anything")
    assert isinstance(error.value.__cause__.__cause__, OSError)


@pytest.mark.parametrize("name", ["../presets/mine", "hf://me/mine", "."])
def test_only_names_lead_into_the_cache(root, name):
    preset(root / "presets" / "mine")
    assert cache.cached_folder(name) is None
    with pytest.raises(LookupError, match="not the name of a published preset"):
        dict(registry.SOURCES)["cache"](name)
