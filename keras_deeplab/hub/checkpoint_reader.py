"""Reads TensorFlow's checkpoints as mappings from keys to arrays.

| written by | keys in the file | keys here |
| --- | --- | --- |
| `tf.train.Checkpoint`, Keras' `save_weights` | `a/b/kernel/.ATTRIBUTES/VARIABLE_VALUE` | `a/b/kernel` |
| `tf.compat.v1.train.Saver` | `a/b/kernel`, its average and its optimizer slots | `a/b/kernel` |
| Keras' `save_weights` in HDF5 | `layer/a/b/kernel:0` | `a/b/kernel` |
"""

from __future__ import annotations

import math
import os
import pathlib
import re
from collections.abc import Iterator, Mapping

import numpy as np

_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_AVERAGE = "/ExponentialMovingAverage"
_TF1_COUNTERS = re.compile(r"(^|/)(global_step|beta[12]_power)$")
_HDF5_ENDINGS = (".h5", ".hdf5")
_PARTS = re.compile(r"\.(index|data-\d{5}-of-\d{5})$")


def open_checkpoint(path: str | os.PathLike) -> CheckpointReader:
    """Opens a checkpoint of any kind; arrays are read when they are asked for.

    Args:
        path: a checkpoint's prefix (`"run/ckpt-60000"`), one of its files, an HDF5 file, or a folder with one
            of these in it or in a folder below.

    Returns:
        Mapping from key to array.

    Raises:
        ValueError: when there is no checkpoint, or it is incomplete or damaged. Damage inside of an array
            shows when that is read.
        ImportError: when TensorFlow is not installed; HDF5 files need none.

    Example:
    ```python
    load_weights(model, open_checkpoint("run/ckpt-60000"))
    ```
    """
    path = find_checkpoint(path)
    return CheckpointReader(_HDF5File(path) if path.suffix in _HDF5_ENDINGS else _TensorFlowFiles(path))


def find_checkpoint(path: str | os.PathLike) -> pathlib.Path:
    """The checkpoint that a path means.

    In a folder it is the one that TensorFlow's file `checkpoint` names, if that is there; else the one of the
    highest step, of equal ones the newest.

    Returns:
        Path of an HDF5 file, or the prefix of `<prefix>.index`.

    Raises:
        ValueError: when there is none, or several folders have one.
    """
    path = pathlib.Path(path).expanduser()
    if path.is_dir():
        return _find_in_folder(path)
    if path.suffix in _HDF5_ENDINGS and path.is_file():
        return path
    prefix = path.with_name(_PARTS.sub("", path.name))
    if not _index(prefix).is_file():
        raise ValueError(f"There is no checkpoint {str(prefix)!r}: {prefix.name}.index is missing.")
    return prefix


class CheckpointReader(Mapping):
    """A checkpoint's weights.

    Args:
        file: what has `path`, `keys` (dict from key to the name in the file) and `read(name)`.
    """

    def __init__(self, file):
        self._file = file

    @property
    def path(self) -> pathlib.Path:
        """The HDF5 file, or the prefix of TensorFlow's files."""
        return self._file.path

    def __getitem__(self, key: str) -> np.ndarray:
        return self._file.read(self._file.keys[key])

    def __contains__(self, key) -> bool:
        return key in self._file.keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._file.keys)

    def __len__(self) -> int:
        return len(self._file.keys)

    def __repr__(self) -> str:
        return f"CheckpointReader({str(self.path)!r}, {len(self)} arrays)"


class _TensorFlowFiles:
    """`<prefix>.index` and `<prefix>.data-*`."""

    def __init__(self, path):
        try:
            import tensorflow as tf
        except ImportError as error:
            raise ImportError(
                'Reading a TensorFlow checkpoint needs TensorFlow: pip install "keras-deeplab[tensorflow]"'
            ) from error
        self.path = path
        # Some of its errors arrive untranslated: of an array that ends too early, an IndexError.
        self._damage = (tf.errors.OpError, RuntimeError, IndexError)
        shards = _find_shards(path)
        try:
            self._reader = tf.train.load_checkpoint(str(path))
            shapes = self._reader.get_variable_to_shape_map()
            dtypes = self._reader.get_variable_to_dtype_map()
        except self._damage as error:
            raise ValueError(f"The checkpoint {str(_index(path))!r} is damaged: {error}") from error
        self.keys = _object_graph_keys(shapes) if _OBJECT_GRAPH in shapes else _name_based_keys(shapes)
        if not self.keys:
            raise ValueError(f"The checkpoint {str(path)!r} holds no weights.")
        needed = sum(math.prod(shapes[name]) * dtypes[name].size for name in self.keys.values())
        there = sum(shard.stat().st_size for shard in shards)
        if there < needed:
            raise ValueError(
                f"The checkpoint {str(path)!r} is truncated: its data files have {there} bytes, "
                f"its weights take {needed}. Copy or download it again."
            )
        if _OBJECT_GRAPH in shapes:
            # No weights, but the end of the data.
            self.read(_OBJECT_GRAPH)

    def read(self, name):
        try:
            return self._reader.get_tensor(name)
        except self._damage as error:
            raise ValueError(f"The checkpoint {str(self.path)!r} is damaged at {name!r}: {error}") from error


class _HDF5File:
    """What Keras' `save_weights` and `save` write into one file."""

    def __init__(self, path):
        self.path = path
        with self._open() as file:
            root = file.get("model_weights", file)
            self.keys = dict(_hdf5_keys(root))
        if not self.keys:
            raise ValueError(f"The file {str(path)!r} holds no weights.")

    def read(self, name):
        with self._open() as file:
            try:
                return file[name][()]
            except OSError as error:
                raise ValueError(f"The file {str(self.path)!r} is damaged at {name!r}: {error}") from error

    def _open(self):
        import h5py

        try:
            return h5py.File(self.path, "r")
        except OSError as error:
            raise ValueError(f"The file {str(self.path)!r} is damaged, or not HDF5: {error}") from error


def _object_graph_keys(names):
    return {name.removesuffix(_VALUE): name for name in sorted(names) if name.endswith(_VALUE)}


def _name_based_keys(names):
    """Variables only, as their moving averages where there are some.

    Averages and optimizers' slots are named as if they lay in the folder of their variable.
    """
    names = set(names)
    variables = {
        name
        for name in names
        if not name.endswith(_AVERAGE)
        and os.path.dirname(name) not in names
        and not _TF1_COUNTERS.search(name)
    }
    # An exported checkpoint may hold the averages alone.
    variables |= {name.removesuffix(_AVERAGE) for name in names if name.endswith(_AVERAGE)}
    return {name: name + _AVERAGE if name + _AVERAGE in names else name for name in sorted(variables)}


def _hdf5_keys(root):
    """(key, path in the file) of every weight."""
    import h5py

    found = []
    root.visititems(lambda _, item: found.append(item.name) if isinstance(item, h5py.Dataset) else None)
    layers = {
        name.decode() if isinstance(name, bytes) else name for name in root.attrs.get("layer_names", ())
    }
    for path in found:
        key = path.removeprefix(root.name).strip("/")
        first, _, rest = key.partition("/")
        # Keras 2 has a group per layer around names that are complete without it, Keras 3 has not.
        if first in layers:
            key = rest
        if not first.startswith("optimizer"):
            yield key.removesuffix(":0"), path


def _find_in_folder(folder):
    found = [p for p in folder.rglob("*.index") if not p.name.startswith(".")]
    folders = {p.parent for p in found}
    if folder in folders:
        folders = {folder}
    if len(folders) > 1:
        raise ValueError(
            f"{str(folder)!r} has checkpoints in several folders. Name one: "
            + ", ".join(sorted(map(str, folders)))
        )
    if folders:
        (parent,) = folders
        return _named_checkpoint(parent) or max(
            (p.with_suffix("") for p in found if p.parent == parent), key=_age
        )
    files = [p for p in folder.rglob("*") if p.suffix in _HDF5_ENDINGS and not p.name.startswith(".")]
    if len(files) != 1:
        raise ValueError(
            f"There is no checkpoint in {str(folder)!r}: no file *.index, and {len(files)} HDF5 files."
        )
    return files[0]


def _named_checkpoint(folder):
    """The prefix that the file `checkpoint` names. Absolute ones are of the machine that trained."""
    state = folder / "checkpoint"
    text = state.read_text(encoding="utf-8", errors="replace") if state.is_file() else ""
    name = re.search(r'^model_checkpoint_path: "(.*)"', text, re.MULTILINE)
    prefix = name and folder / pathlib.PurePosixPath(name[1]).name
    return prefix if prefix and _index(prefix).is_file() else None


def _age(prefix):
    step = re.search(r"(\d+)$", prefix.name)
    return int(step[1]) if step else -1, _index(prefix).stat().st_mtime


def _find_shards(prefix):
    pattern = re.compile(re.escape(prefix.name) + r"\.data-\d{5}-of-(\d{5})")
    shards = {p: m for p in prefix.parent.iterdir() if (m := pattern.fullmatch(p.name))}
    count = max((int(match[1]) for match in shards.values()), default=1)
    missing = [
        name
        for i in range(count)
        if (name := f"{prefix.name}.data-{i:05d}-of-{count:05d}") not in {p.name for p in shards}
    ]
    if missing:
        raise ValueError(f"The checkpoint {str(prefix)!r} is incomplete. Missing: {', '.join(missing)}")
    return list(shards)


def _index(prefix):
    return prefix.with_name(f"{prefix.name}.index")
