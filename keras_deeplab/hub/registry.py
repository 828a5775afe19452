"""Finds the local folder of a preset.

A preset is asked for by folder or by name. Sources are tried in order; each one is a function from the
name to a folder, or raises `LookupError` with the reason it has none.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable

CONFIG_FILE = "config.json"


def resolve(preset: str | pathlib.Path) -> pathlib.Path:
    """The folder that holds a preset's files.

    Args:
        preset: str or path. A preset's name, or a folder written by `save_to_preset`.

    Returns:
        Path of an existing folder with a `config.json`.

    Raises:
        ValueError: if no source has the preset; the message lists what was tried and why it failed.

    Example:
    ```python
    resolve("./my_preset")
    ```
    """
    reasons = []
    for label, find in SOURCES:
        try:
            return find(preset)
        except LookupError as reason:
            reasons.append(f"  {label}: {reason.args[0]}")
    raise ValueError(
        f"Preset {str(preset)!r} was not found. Tried:\n" + "\n".join(reasons) + "\n"
        f"Built-in presets: {', '.join(embedded_presets()) or 'none'}. "
        "A folder written by `model.save_to_preset(folder)` works too."
    )


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


SOURCES: list[tuple[str, Callable]] = [("folder", _folder), ("package", _embedded)]
