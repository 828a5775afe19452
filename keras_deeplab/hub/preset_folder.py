"""Writes and reads preset folders in keras-hub's format.

`config.json` holds the backbone, `task.json` the whole model, `model.weights.h5` and `task.weights.h5`
the weights of the backbone and of what the task adds. The class to build is the one the file names.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import json
import os
import pathlib
import shutil
import tempfile
import warnings
from collections.abc import Callable

import keras
import numpy as np

from keras_deeplab.labels import LabelSpace
from keras_deeplab.version import __version__

CONFIG_FILE = "config.json"
TASK_FILE = "task.json"
PREPROCESSOR_FILE = "preprocessor.json"
METADATA_FILE = "metadata.json"
WEIGHTS_FILE = "model.weights.h5"
SHARDED_WEIGHTS_FILE = "model.weights.json"
TASK_WEIGHTS_FILE = "task.weights.h5"

# Arguments that a user changes on the model but that belong to its backbone's configuration.
BACKBONE_ARGUMENTS = ("image_shape", "output_stride")


def save_backbone(backbone: keras.Model, folder: str | os.PathLike, max_shard_size: float = 10) -> None:
    """Writes a backbone as a preset folder.

    Args:
        backbone: the model.
        folder: path. Created, or its preset files replaced.
        max_shard_size: float. Largest weights file in GB.
    """
    _write_folder(folder, lambda target: _write_backbone(backbone, target, max_shard_size))


def save_task(task: keras.Model, folder: str | os.PathLike, max_shard_size: float = 10) -> None:
    """Writes a task, its backbone and its preprocessor as a preset folder, without optimizer state.

    Args:
        task: the model.
        folder: path. Created, or its preset files replaced.
        max_shard_size: float. Largest weights file in GB.
    """

    def write(target):
        _write_json(target / TASK_FILE, _serialize(task))
        _write_backbone(task.backbone, target, max_shard_size)
        if task.preprocessor is not None:
            _write_json(target / PREPROCESSOR_FILE, _serialize(task.preprocessor))
        with _without_optimizer(task):
            task.save_task_weights(str(target / TASK_WEIGHTS_FILE))

    _write_folder(folder, write)


def load_backbone(folder: pathlib.Path, cls: type, load_weights: bool, overrides: dict) -> keras.Model:
    """Builds a preset's backbone.

    Args:
        folder: path of a preset folder.
        cls: the class that the caller expects.
        load_weights: bool.
        overrides: constructor arguments to replace.

    Returns:
        An instance of `cls`.

    Raises:
        ValueError: if the folder holds another class or is damaged.
    """
    config = _read_json(folder / CONFIG_FILE)
    config["config"].update(overrides)
    backbone = _deserialize(config, cls, folder)
    if load_weights:
        _load_backbone_weights(backbone, folder)
    return backbone


def load_task(folder: pathlib.Path, cls: type, load_weights: bool, overrides: dict) -> keras.Model:
    """Builds a preset's task, of the class that its `task.json` names.

    Args:
        folder: path of a preset folder.
        cls: the class that the caller expects, or a base class of it.
        load_weights: bool.
        overrides: constructor arguments to replace; `image_shape` and `output_stride` reach the backbone,
            a `label_space` the postprocessor. With other classes, weights that do not fit start fresh, and
            a warning names their layers.

    Returns:
        An instance of `cls`.

    Raises:
        ValueError: if the folder holds no task, another class, or is damaged.
    """
    if not (folder / TASK_FILE).is_file():
        raise ValueError(f"The preset {str(folder)!r} has no {TASK_FILE}: it holds a backbone alone.")
    config = _read_json(folder / TASK_FILE)
    arguments = config["config"]
    overrides = dict(overrides)
    for name in BACKBONE_ARGUMENTS:
        if name in overrides:
            arguments["backbone"]["config"][name] = overrides.pop(name)
            if name == "image_shape" and arguments.get("preprocessor"):
                height, width, _ = arguments["backbone"]["config"][name]
                size = None if None in (height, width) else (height, width)
                arguments["preprocessor"]["config"]["image_size"] = size
    if "dtype" in overrides:
        arguments["backbone"]["config"]["dtype"] = overrides["dtype"]
    if "label_space" in overrides:
        space = overrides["label_space"] = LabelSpace.create(overrides["label_space"])
        arguments["postprocessor"]["config"].update(
            things=space.things, label_divisor=space.label_divisor, ignore_label=space.ignore_label
        )
    arguments.update(overrides)
    task = _deserialize(config, cls, folder)
    if load_weights:
        _load_backbone_weights(task.backbone, folder)
        with _damage_named(folder / TASK_WEIGHTS_FILE), _without_optimizer(task):
            _load_task_weights(task, folder / TASK_WEIGHTS_FILE, "label_space" in overrides)
    return task


def _write_backbone(backbone, target, max_shard_size):
    _write_json(target / CONFIG_FILE, _serialize(backbone))
    _write_json(
        target / METADATA_FILE,
        {
            "keras_version": keras.version(),
            "keras_deeplab_version": __version__,
            "parameter_count": backbone.count_params(),
            "date_saved": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d@%H:%M:%S"),
        },
    )
    gigabytes = backbone.count_params() * 4 / 2**30
    if gigabytes > max_shard_size:
        backbone.save_weights(str(target / SHARDED_WEIGHTS_FILE), max_shard_size=max_shard_size)
    else:
        backbone.save_weights(str(target / WEIGHTS_FILE))


def _write_folder(folder, write: Callable[[pathlib.Path], None]):
    """Lets `write` fill a temporary folder and moves the files into place once all of them are complete."""
    folder = pathlib.Path(folder).expanduser()
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"Cannot save a preset to {str(folder)!r}: it is not a folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        temporary = pathlib.Path(temporary) / "preset"
        temporary.mkdir()
        write(temporary)
        if folder.exists():
            for path in sorted(temporary.iterdir()):
                os.replace(path, folder / path.name)
        else:
            shutil.move(temporary, folder)


def _serialize(layer):
    config = keras.saving.serialize_keras_object(layer)
    _remove(config, ("compile_config", "build_config"))
    return config


def _remove(config, names):
    if isinstance(config, dict):
        for name in names:
            config.pop(name, None)
        for value in config.values():
            _remove(value, names)


def _deserialize(config, cls, folder):
    registered = config.get("registered_name")
    found = keras.saving.get_registered_object(registered)
    if found is None:
        raise ValueError(f"The preset {str(folder)!r} holds an unknown class {registered!r}.")
    if not issubclass(found, cls):
        raise ValueError(
            f"The preset {str(folder)!r} holds a {found.__name__}, not a {cls.__name__}. "
            f"Use {found.__name__}.from_preset."
        )
    try:
        return keras.saving.deserialize_keras_object(config)
    except TypeError as error:
        # Keras quotes the whole configuration twice; its last words say what is wrong.
        reason = str(error).rsplit("Exception encountered:", 1)[-1].split("Full object config")[0].strip()
        raise ValueError(
            f"Cannot build the {found.__name__} of the preset {str(folder)!r}: {reason}"
        ) from error


def _load_backbone_weights(backbone, folder):
    path = folder / WEIGHTS_FILE
    if not path.is_file() and (folder / SHARDED_WEIGHTS_FILE).is_file():
        path = folder / SHARDED_WEIGHTS_FILE
    with _damage_named(path):
        backbone.load_weights(str(path))


def _load_task_weights(task, path, other_classes):
    load = functools.partial(
        keras.saving.load_weights, task, str(path), objects_to_skip=list(task.backbone._flatten_layers())
    )
    if not other_classes:
        load()
        return
    kernels = [v for v in task.weights if v.name == "kernel"]
    before = [keras.ops.convert_to_numpy(v) for v in kernels]
    with warnings.catch_warnings():
        # Keras prints the numbers of the first layer that does not fit, and no layer's place.
        warnings.simplefilter("ignore")
        load(skip_mismatch=True)
    in_backbone = {id(v) for v in task.backbone.weights}
    fresh = [
        v.path.removesuffix("/kernel")
        for v, old in zip(kernels, before, strict=True)
        if id(v) not in in_backbone and np.array_equal(old, keras.ops.convert_to_numpy(v))
    ]
    if fresh:
        warnings.warn(f"Layers that start fresh, for other classes: {', '.join(fresh)}", stacklevel=4)


@contextlib.contextmanager
def _damage_named(path):
    if not path.is_file():
        raise ValueError(f"The preset {str(path.parent)!r} is incomplete: {path.name} is missing.")
    try:
        yield
    except (OSError, KeyError) as error:
        raise ValueError(f"Cannot read the weights in {str(path)!r}: {error}") from error


@contextlib.contextmanager
def _without_optimizer(task):
    optimizer, task.optimizer = task.optimizer, None
    try:
        yield
    finally:
        task.optimizer = optimizer


def _write_json(path, content):
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _read_json(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"Cannot read {str(path)!r}: {error}") from error
