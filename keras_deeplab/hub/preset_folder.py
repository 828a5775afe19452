"""Writes and reads preset folders in keras-hub's format.

`config.json` holds the backbone, `task.json` the whole model, `model.weights.h5` and `task.weights.h5`
the weights of the backbone and of what the task adds. The class to build is the one the file names.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import functools
import os
import pathlib
import shutil
import tempfile
import warnings
from collections.abc import Callable

import keras
import numpy as np

from keras_deeplab.hub.preset_files import (
    CONFIG_FILE,
    METADATA_FILE,
    PREPROCESSOR_FILE,
    SHARDED_WEIGHTS_FILE,
    TASK_FILE,
    TASK_WEIGHTS_FILE,
    WEIGHTS_FILE,
    preset_files,
    read_json,
    require_file,
    write_json,
)
from keras_deeplab.hub.weights_file import cast_weights, check_weights_dtype
from keras_deeplab.labels import LabelSpace
from keras_deeplab.version import __version__

# Arguments that a user changes on the model but that belong to its backbone's configuration.
BACKBONE_ARGUMENTS = ("image_shape", "output_stride")


def save_backbone(
    backbone: keras.Model,
    folder: str | os.PathLike,
    max_shard_size: float = 10,
    weights_dtype: str | None = None,
) -> None:
    """Writes a backbone as a preset folder.

    Args:
        backbone: the model.
        folder: path. Created, or its preset files replaced.
        max_shard_size: float. Largest weights file in GB, as float32.
        weights_dtype: str. `"float16"` or `"bfloat16"` stores kernels in that type; see `cast_preset`.
    """

    def write(target):
        _write_backbone(backbone, target, max_shard_size)
        cast_preset(target, weights_dtype)

    check_weights_dtype(weights_dtype)
    _write_folder(folder, _estimate_size(backbone), write)


def save_task(
    task: keras.Model,
    folder: str | os.PathLike,
    max_shard_size: float = 10,
    weights_dtype: str | None = None,
) -> None:
    """Writes a task, its backbone and its preprocessor as a preset folder, without optimizer state.

    Args:
        task: the model.
        folder: path. Created, or its preset files replaced.
        max_shard_size: float. Largest weights file in GB, as float32.
        weights_dtype: str. `"float16"` or `"bfloat16"` stores kernels in that type; see `cast_preset`.
    """

    def write(target):
        write_json(target / TASK_FILE, _serialize(task))
        _write_backbone(task.backbone, target, max_shard_size)
        if task.preprocessor is not None:
            write_json(target / PREPROCESSOR_FILE, _serialize(task.preprocessor))
        with _without_optimizer(task):
            task.save_task_weights(str(target / TASK_WEIGHTS_FILE))
        cast_preset(target, weights_dtype)

    check_weights_dtype(weights_dtype)
    _write_folder(folder, _estimate_size(task), write)


def cast_preset(folder: pathlib.Path, weights_dtype: str | None) -> None:
    """Stores a preset's kernels in half precision, and says so in its `metadata.json`.

    Half as large on disk; loading casts back to the network's own type, so that only rounding remains.
    Biases, batch normalisation, and what would overflow keep float32.

    Args:
        folder: path of a preset folder.
        weights_dtype: str. `"float16"` or `"bfloat16"`; `None` changes nothing.
    """
    if weights_dtype is None:
        return
    for path in folder.glob("*.weights.h5"):
        cast_weights(path, weights_dtype)
    metadata = read_json(folder / METADATA_FILE)
    write_json(folder / METADATA_FILE, {**metadata, "weights_dtype": weights_dtype})


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
    config = read_json(folder / CONFIG_FILE)
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
    config = read_json(folder / TASK_FILE)
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
    write_json(target / CONFIG_FILE, _serialize(backbone))
    write_json(
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


def _write_folder(folder, size, write: Callable[[pathlib.Path], None]):
    """Lets `write` fill a temporary folder and moves the files into place once all of them are complete."""
    folder = pathlib.Path(folder).expanduser()
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"Cannot save a preset to {str(folder)!r}: it is not a folder.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
            _require_space(temporary, size)
            temporary = pathlib.Path(temporary) / "preset"
            temporary.mkdir()
            write(temporary)
            _move(temporary, folder)
    except OSError as error:
        raise OSError(
            error.errno, f"Cannot write the preset {str(folder)!r}: {error.strerror or error}"
        ) from error


def _move(source, folder):
    """Moves the files of a preset into place, where there may be another one."""
    if not folder.exists():
        shutil.move(source, folder)
        return
    written = {path.name for path in source.iterdir()}
    for name in sorted(written):
        os.replace(source / name, folder / name)
    # A model in one file leaves no shards of the one before, nor a backbone an old head.
    for path in preset_files(folder):
        if path.name not in written:
            path.unlink()


def _estimate_size(model):
    """Bytes of a model's weights in HDF5, which takes two kilobytes for the name of each array."""
    return 4 * model.count_params() + 4096 * (len(model.weights) + 16)


def _require_space(folder, size):
    """Raises the error of a full disk before anything is written: HDF5 may end the process instead."""
    if shutil.disk_usage(folder).free < size:
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}, it needs {size / 1e6:,.1f} MB")
    if hasattr(os, "posix_fallocate"):
        # Quotas show only so.
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, size)


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
    require_file(path)
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
