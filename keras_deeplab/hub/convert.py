"""Turns DeepLab2's checkpoints into preset folders."""

from __future__ import annotations

import json
import os
import pathlib

import keras
import numpy as np

from keras_deeplab.backbones.backbone import Backbone
from keras_deeplab.hub import preset_folder
from keras_deeplab.hub.checkpoint_reader import open_checkpoint
from keras_deeplab.hub.deeplab2 import checkpoint_keys, load_weights
from keras_deeplab.hub.preset_table import PresetEntry, build_model
from keras_deeplab.version import __version__


def convert_checkpoint(
    entry: PresetEntry,
    checkpoint: str | os.PathLike,
    folder: str | os.PathLike,
    source: dict | None = None,
) -> None:
    """Writes the preset folder of a checkpoint.

    Args:
        entry: `PresetEntry`, the model.
        checkpoint: path of the checkpoint, as for `open_checkpoint`.
        folder: path of the preset folder. Created, or its preset files replaced.
        source: dict of JSON values that `metadata.json` gets on top: where the checkpoint comes from.

    Raises:
        ValueError: when the entry is planned; when the checkpoint is missing, damaged, has other variables
            than the model, or numbers that are not finite. Nothing is written then.
        ImportError: when TensorFlow is not installed.

    Example:
    ```python
    convert_checkpoint(find_entry("resnet50_cityscapes"), "run/ckpt-60000", "./my_preset")
    ```
    """
    reader = open_checkpoint(checkpoint)
    model = build_model(entry)
    try:
        load_weights(model, reader)
        _check_finite(model)
    except ValueError as error:
        raise ValueError(f"Cannot convert {str(reader.path)!r} to {entry.name!r}. {error}") from error
    save = preset_folder.save_backbone if isinstance(model, Backbone) else preset_folder.save_task
    save(model, folder)
    facts = {"checkpoint": reader.path.name, **(source or {})}
    _add_metadata(pathlib.Path(folder).expanduser(), {**_describe(entry), **facts})


def _describe(entry):
    facts = {
        "preset": entry.name,
        "family": entry.family,
        "dataset": entry.dataset,
        "label_space": entry.label_space,
        "metrics": [dict(metric) for metric in entry.metrics],
        "paper": entry.paper,
        "converter": f"keras-deeplab {__version__}",
    }
    return {name: value for name, value in facts.items() if value is not None}


def _check_finite(model):
    wrong = [
        key
        for key, variable in checkpoint_keys(model).items()
        if not np.isfinite(keras.ops.convert_to_numpy(variable)).all()
    ]
    if wrong:
        raise ValueError(f"Not finite ({len(wrong)}):\n  " + "\n  ".join(wrong))


def _add_metadata(folder, facts):
    path = folder / preset_folder.METADATA_FILE
    metadata = json.loads(path.read_text(encoding="utf-8"))
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(json.dumps({**metadata, **facts}, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)
