"""Finds the local folder of a preset.

A preset is asked for by folder or by name. Sources are tried in order; each one is a function from the
name to a folder, or raises `LookupError` with the reason it has none.
"""

from __future__ import annotations

import importlib
import pathlib
from collections.abc import Callable

from keras_deeplab.hub import cache

CONFIG_FILE = "config.json"
FOLDER, HUB = "folder", "Hugging Face"


def resolve(preset: str | pathlib.Path) -> pathlib.Path:
    """The folder that holds a preset's files.

    Args:
        preset: str or path. A preset's name or alias, or a folder written by `save_to_preset`. Published
            ones are downloaded and converted on first use, and kept in the cache.

    Returns:
        Path of an existing folder with a `config.json`.

    Raises:
        ValueError: if no source has the preset; the message lists what was tried and why it failed. Also for
            a planned preset, whose model this version does not have yet.

    Example:
    ```python
    resolve("./my_preset")
    ```
    """
    reasons, last = [], None
    for label, find in SOURCES:
        try:
            return find(preset)
        except LookupError as reason:
            reasons.append(f"  {label}: {reason.args[0]}")
            last = reason
    raise ValueError(
        f"Preset {str(preset)!r} was not found. Tried:\n" + "\n".join(reasons) + "\n"
        f"Built-in presets: {', '.join(embedded_presets()) or 'none'}. "
        "A folder written by `model.save_to_preset(folder)` works too."
    ) from last


def embedded_presets() -> dict[str, pathlib.Path]:
    """Presets that are part of the package: name -> folder."""
    package = pathlib.Path(__file__).parents[1]
    # Installed from a wheel they lie inside the package, in a checkout beside it.
    for folder in (package / "presets", package.parent / "presets"):
        if folder.is_dir():
            return {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{CONFIG_FILE}"))}
    return {}


def _folder(preset):
    folder = pathlib.Path(preset).expanduser()
    if not folder.is_dir():
        raise LookupError(f"no folder {str(folder)!r}")
    if not (folder / CONFIG_FILE).is_file():
        raise LookupError(f"the folder {str(folder)!r} has no {CONFIG_FILE}")
    return folder


def _embedded(preset):
    presets = embedded_presets()
    if str(preset) not in presets:
        raise LookupError("not among the built-in presets")
    return presets[str(preset)]


def _cached(preset):
    # Imported here, as the sources below: the tables build models, which rest on this file.
    from keras_deeplab.hub import preset_table

    try:
        entry = preset_table.find_entry(str(preset))
    except ValueError:
        raise LookupError("not the name of a published preset") from None
    if entry.status == "planned":
        preset_table.build_model(entry)  # raises the error that says what this version lacks
    folder = cache.cached_folder(entry.name)
    if folder is None:
        raise LookupError(f"not in {str(cache.cache_root() / 'presets')!r}")
    return folder


def _module(name):
    """The source that is a module's function `find`."""
    return lambda preset: importlib.import_module(f"keras_deeplab.hub.{name}").find(str(preset))


SOURCES: list[tuple[str, Callable]] = [
    (FOLDER, _folder),
    ("package", _embedded),
    ("cache", _cached),
    (HUB, _module("hugging_face")),
    ("DeepLab2's archives", _module("published")),
]
