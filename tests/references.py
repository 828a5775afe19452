"""What DeepLab2 computed, for tests: compact samples in `tests/reference/`, the full sets when present.

The compact files are written by `tools/compact_references.py`. A checkout with the full reference
folder beside it (or named by `KERAS_DEEPLAB_REFERENCE`) is tested against both.
"""

import json
import os
import pathlib

import numpy as np

COMPACT = pathlib.Path(__file__).parent / "reference"
_BESIDE = pathlib.Path(__file__).parents[2] / "shared" / "reference"
FULL = pathlib.Path(os.environ.get("KERAS_DEEPLAB_REFERENCE", _BESIDE))
DATA = FULL.parent / "data"

SOURCES = ["compact", "full"] if (FULL / "components").is_dir() else ["compact"]


def load_component(name, source="compact"):
    """One file of component references.

    Returns:
        Dict from `"case/(in|out|grad|w)/name"` to an array in its original dtype, and the metadata, whose
        `"cases"` hold each case's parameters.
    """
    folder = COMPACT if source == "compact" else FULL / "components"
    with np.load(folder / f"{name}.npz") as archive:
        meta = json.loads(archive["__meta__"].tobytes().decode())
        arrays = {key: archive[key] for key in archive.files if key != "__meta__"}
    return {key: value.astype(meta["dtypes"].get(key, value.dtype)) for key, value in arrays.items()}, meta


def load_golden(name, source="compact"):
    """The outputs of one DeepLab2 model with reference weights, as a dict of arrays."""
    folder = COMPACT / "goldens" if source == "compact" else FULL / "goldens"
    with np.load(folder / f"{name}.npz") as archive:
        return {key: archive[key] for key in archive.files if key != "meta"}


def load_manifest(name, source="compact"):
    """What a DeepLab2 checkpoint holds: `{"checkpoint": [[key, shape, dtype], ...], ...}`."""
    folder = COMPACT / "manifests" if source == "compact" else FULL / "manifests"
    with open(folder / f"{name}.json") as file:
        return json.load(file)
