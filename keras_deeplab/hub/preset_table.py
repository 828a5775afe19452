"""The presets that there are: one table per published checkpoint, in `presets/*.toml`.

Looking at the tables loads no backend, building a model does.
"""

from __future__ import annotations

import difflib
import functools
import os
import pathlib

import keras_deeplab
from keras_deeplab.hub import cache, registry
from keras_deeplab.hub.preset_entry import PresetEntry, read_tables
from keras_deeplab.hub.preset_files import CONFIG_FILE, METADATA_FILE, TASK_FILE, read_json
from keras_deeplab.labels import LabelSpace

BACKBONE = "Backbone"
# What is known about a preset's training and results stands in its metadata.
_FACTS_OF_METADATA = ("dataset", "license", "note", "metrics", "eval_split", "training")
# What a user changes on the model but its backbone takes; the rest of the model follows.
_OF_THE_BACKBONE = ("image_shape", "output_stride", "dtype")


def preset_entries() -> dict[str, PresetEntry]:
    """The published presets by name, family after family."""
    return dict(_published()[0])


def embedded_entries() -> dict[str, PresetEntry]:
    """The presets that are part of the package by name, with what their folders say."""
    return {name: folder_entry(name, folder) for name, folder in registry.embedded_presets().items()}


def folder_entry(name: str, folder: pathlib.Path) -> PresetEntry:
    """What a preset folder says about itself.

    `config.json` and `task.json` describe the model. `metadata.json` may have fields of `PresetEntry`, too:
    `dataset`, `license`, `note`, `metrics`, `eval_split` and `training`.

    Args:
        name: str. Name of the preset.
        folder: path.

    Raises:
        ValueError: if a JSON file is missing or broken.
    """
    config, metadata = (read_json(folder / file) for file in (CONFIG_FILE, METADATA_FILE))
    task = read_json(folder / TASK_FILE) if (folder / TASK_FILE).is_file() else None
    backbone, model = config["config"], (task or {}).get("config", {})
    height, width, _ = backbone["image_shape"]
    facts = {field: metadata[field] for field in _FACTS_OF_METADATA if field in metadata}
    return PresetEntry(
        name=name,
        family=(task or config)["module"].rpartition(".")[2],
        model=task["class_name"] if task else BACKBONE,
        variant=config["class_name"],
        label_space=model["label_space"]["name"] if task else None,
        image_size=None if None in (height, width) else (height, width),
        output_stride=backbone["output_stride"],
        postprocessor=_settings(model["postprocessor"]["config"]) if task else {},
        **{"dataset": None, **facts, "metrics": tuple(facts.get("metrics", ()))},
    )


def find_entry(name: str) -> PresetEntry:
    """The entry of a published preset's name or alias.

    Raises:
        ValueError: for an unknown name; the message lists similar ones.

    Example:
    ```python
    find_entry("axial_swidernet_cityscapes").variant  # "axial_swidernet_1_1_4.5"
    ```
    """
    entries, aliases = _published()
    entry = entries.get(aliases.get(name, name))
    if entry is None:
        similar = difflib.get_close_matches(name, [*entries, *aliases]) or sorted(entries)[:3]
        raise ValueError(f"Unknown preset {name!r}. Similar presets: {', '.join(similar)}.")
    return entry


def published_entry(preset: str | os.PathLike, cls: type) -> PresetEntry | None:
    """The entry that `from_preset` is to load, where a preset is given by a published name or alias.

    Args:
        preset: str or path, what the user gave.
        cls: the class that the user called. A backbone's class takes the backbone of any model.

    Returns:
        `PresetEntry`, or `None` for a folder, a preset that is part of the package, or an unknown name.

    Raises:
        ValueError: if the preset is planned, or of another class.
    """
    entries, aliases = _published()
    name = aliases.get(str(preset), str(preset))
    is_folder = (pathlib.Path(preset).expanduser() / registry.CONFIG_FILE).is_file()
    if name not in entries or is_folder or name in registry.embedded_presets():
        return None
    _check_available(entries[name])
    if holds := _other_class(entries[name], cls):
        raise ValueError(
            f"The preset {name!r} holds a {holds}, not a {cls.__name__}. Use {holds}.from_preset."
        )
    return entries[name]


def loadable_presets(cls: type) -> dict[str, dict]:
    """What a class can load by name: name or alias -> facts, those of `PresetEntry.to_dict`."""
    presets = {}
    for entry in (*embedded_entries().values(), *preset_entries().values()):
        if entry.status == "available" and not _other_class(entry, cls):
            presets |= dict.fromkeys((entry.name, *entry.aliases), entry.to_dict())
    return presets


def describe(entry: PresetEntry) -> dict:
    """Everything about a preset as plain values: `PresetEntry.to_dict`, and what is on this machine.

    Args:
        entry: `PresetEntry`.

    Returns:
        Dict with `cached`, bool, too. `size` are the weights' bytes on disk where the preset is there.
    """
    folder = registry.embedded_presets().get(entry.name) or cache.cached_folder(entry.name)
    facts = {**entry.to_dict(), "cached": folder is not None}
    if folder is not None:
        facts["size"] = sum(path.stat().st_size for path in folder.glob("*.weights*.h5"))
    return facts


def build_model(entry: PresetEntry, **overrides):
    """The model of an entry, with fresh weights.

    Args:
        entry: `PresetEntry`.
        **overrides: constructor arguments to replace; of a model, `image_shape`, `output_stride` and `dtype`
            reach the backbone, a `label_space` the postprocessor.

    Returns:
        A `Segmenter`; a `Backbone` where the preset is one.

    Raises:
        ValueError: when the entry is planned.

    Example:
    ```python
    model = build_model(find_entry("resnet50_cityscapes"), image_shape=(513, 1025, 3))
    ```
    """
    if entry.model == BACKBONE:
        return build_backbone(entry, **overrides)
    _check_available(entry)
    arguments = {"label_space": entry.label_space, **entry.arguments, **overrides}
    options = {name: arguments.pop(name) for name in _OF_THE_BACKBONE if name in arguments}
    arguments["label_space"] = LabelSpace.create(arguments["label_space"])
    model = getattr(keras_deeplab, entry.model)(build_backbone(entry, **options), **arguments)
    if arguments.get("postprocessor") is None:
        # The model made its own, for its label space; only the settings are the preset's.
        made = model.postprocessor
        model.postprocessor = type(made).from_config({**made.get_config(), **entry.postprocessor})
    return model


def build_backbone(entry: PresetEntry, **overrides):
    """The backbone of an entry, with fresh weights.

    Args:
        entry: `PresetEntry`.
        **overrides: constructor arguments to replace.

    Returns:
        A `Backbone`.

    Raises:
        ValueError: when the entry is planned.
    """
    _check_available(entry)
    options = {"image_shape": (*entry.image_size, 3) if entry.image_size else (None, None, 3)}
    if entry.output_stride is not None:
        options["output_stride"] = entry.output_stride
    return keras_deeplab.Backbone.from_variant(entry.variant, **{**options, **entry.backbone, **overrides})


def _check_available(entry):
    if entry.status == "planned":
        raise ValueError(f"The preset {entry.name!r} is planned: this version has no {entry.missing} yet.")


def _other_class(entry, cls):
    """Name of the class that loads an entry where `cls` does not, else `None`."""
    from keras_deeplab.backbones.backbone import Backbone, backbone_class

    if issubclass(cls, Backbone):
        found = backbone_class(entry.variant)
    else:
        found = getattr(keras_deeplab, entry.model)
    return None if issubclass(found, cls) else found.__name__


def _settings(config):
    """Arguments of a postprocessor beside those that come from the label space or from Keras."""
    others = {"name", "trainable", "dtype", "things", "label_divisor", "ignore_label"}
    return {name: value for name, value in config.items() if name not in others}


@functools.cache
def _published():
    """Entries by name, and names by alias, of all files."""
    entries, aliases = {}, {}
    for path in sorted(_folder().glob("*.toml")):
        found, others = read_tables(path)
        for name in (*found, *others):
            if name in entries or name in aliases:
                raise ValueError(f"{path}: there is another preset {name!r}, in another file.")
        entries |= found
        aliases |= others
    return entries, aliases


def _folder():
    package = pathlib.Path(keras_deeplab.__file__).parent
    # Installed from a wheel they lie inside the package, in a checkout beside it.
    folders = (package / "presets", package.parent / "presets")
    return next((folder for folder in folders if folder.is_dir()), folders[0])
