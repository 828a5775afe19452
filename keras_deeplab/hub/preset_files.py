"""The files of a preset folder: their names, and whether all of them are there."""

from __future__ import annotations

import fnmatch
import json
import os
import pathlib

import h5py

CONFIG_FILE = "config.json"
TASK_FILE = "task.json"
PREPROCESSOR_FILE = "preprocessor.json"
METADATA_FILE = "metadata.json"
WEIGHTS_FILE = "model.weights.h5"
SHARDED_WEIGHTS_FILE = "model.weights.json"
TASK_WEIGHTS_FILE = "task.weights.h5"

# Every file of a preset matches one of these; `model_00000.weights.h5` and so on are the shards.
FILE_PATTERNS = (
    CONFIG_FILE, TASK_FILE, PREPROCESSOR_FILE, METADATA_FILE,
    WEIGHTS_FILE, SHARDED_WEIGHTS_FILE, "model_[0-9]*.weights.h5", TASK_WEIGHTS_FILE,
)  # fmt: skip


def preset_files(folder: str | os.PathLike) -> list[pathlib.Path]:
    """The files of a folder that belong to its preset, in order of their names."""
    return sorted(path for path in pathlib.Path(folder).iterdir() if is_preset_file(path.name))


def is_preset_file(name: str) -> bool:
    """Whether a file of this name belongs to a preset."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in FILE_PATTERNS)


def check_complete(folder: str | os.PathLike) -> None:
    """Checks that a preset's files are there and can be read. No model is built.

    Args:
        folder: path of a preset folder.

    Raises:
        ValueError: if a file is missing, no JSON, or no whole HDF5 file; the message names it.

    Example:
    ```python
    check_complete("./my_preset")
    ```
    """
    folder = pathlib.Path(folder).expanduser()
    if not folder.is_dir():
        raise ValueError(f"There is no folder {str(folder)!r}.")
    for name in (CONFIG_FILE, METADATA_FILE):
        read_json(folder / name)
    weights = _backbone_weights(folder)
    if (folder / TASK_FILE).is_file():
        task = read_json(folder / TASK_FILE)
        if task.get("config", {}).get("preprocessor"):
            read_json(folder / PREPROCESSOR_FILE)
        weights.append(folder / TASK_WEIGHTS_FILE)
    for path in weights:
        require_file(path)
        try:
            h5py.File(path).close()
        except OSError as error:
            raise ValueError(f"Cannot read the weights in {str(path)!r}: {error}") from error


def require_file(path: pathlib.Path) -> None:
    """Raises a `ValueError` when a preset's file is not there."""
    if not path.is_file():
        raise ValueError(f"The preset {str(path.parent)!r} is incomplete: {path.name} is missing.")


def read_json(path: pathlib.Path) -> dict:
    """The object in a preset's JSON file.

    Raises:
        ValueError: if it is missing or holds no JSON object.
    """
    require_file(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"Cannot read {str(path)!r}: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"Cannot read {str(path)!r}: it holds no JSON object.")
    return content


def write_json(path: pathlib.Path, content: dict) -> None:
    """Writes a preset's JSON file."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _backbone_weights(folder):
    """The files that hold a backbone's weights: one, or the shards that an index names."""
    if (folder / WEIGHTS_FILE).is_file() or not (folder / SHARDED_WEIGHTS_FILE).is_file():
        return [folder / WEIGHTS_FILE]
    places = read_json(folder / SHARDED_WEIGHTS_FILE).get("weight_map", {}).values()
    names = {name for place in places for name in ([place] if isinstance(place, str) else place)}
    return [folder / name for name in sorted(names)]
