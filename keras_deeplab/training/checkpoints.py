"""Checkpoints of a training run: all that decides how it goes on, in one file each."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pathlib
import re
import time
import uuid
import zipfile
from collections.abc import Callable

import keras
import ml_dtypes
import numpy as np

from keras_deeplab.ops.random_state import get_random_state, set_random_state
from keras_deeplab.training.settings import find_differences
from keras_deeplab.version import __version__

_LOGGER = logging.getLogger("keras_deeplab")
_FORMAT = 1
_PATTERN = re.compile(r"step_(\d{8,})\.npz")


class Checkpoints:
    """The checkpoints of one run in a folder: `step_00001000.npz` and so on.

    A file holds the weights, the state of layers that draw random numbers (drop path, dropout) and of
    torch's generators, the variables of the optimizer (its step, moments, average of the weights,
    accumulated gradients, loss scale), the step, the place in the data, and the settings of the run. It is
    plain NumPy and JSON: no pickled objects.

    A file is written under a temporary name, brought to the disk and renamed, so that a file with its final
    name is whole, whenever the process or the machine stops. Only then are older ones removed.

    Args:
        folder: path. Made with the first checkpoint.
        keep: int. How many to keep, newest first.

    Raises:
        ValueError: when `keep` is not a whole number above 0.

    Example:
    ```python
    checkpoints = Checkpoints("run/checkpoints")
    checkpoints.save(model, step=1000, settings=describe_run(model, pipeline))
    checkpoints.load(model, settings=describe_run(model, pipeline))  # {"step": 1000, ...}
    ```
    """

    def __init__(self, folder: str | os.PathLike, keep: int = 2):
        if isinstance(keep, bool) or not isinstance(keep, int) or keep < 1:
            raise ValueError(f"`keep` must be a whole number above 0. Received: keep={keep!r}")
        self.folder = pathlib.Path(folder)
        self.keep = keep

    @property
    def steps(self) -> list[int]:
        """The steps that there are checkpoints of, in order."""
        if not self.folder.is_dir():
            return []
        matches = (_PATTERN.fullmatch(path.name) for path in self.folder.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def path(self, step: int) -> pathlib.Path:
        """The file of a step."""
        return self.folder / f"step_{step:08d}.npz"

    def save(self, model: keras.Model, step: int, settings: dict, position: dict | None = None) -> None:
        """Writes a checkpoint and removes the oldest ones beyond `keep`.

        Args:
            model: compiled model, with a built optimizer.
            step: int. Number of steps trained.
            settings: dict of `describe_run`.
            position: JSON values that say where in the data the run is; `None` where the step says it.

        Raises:
            ValueError: when a variable is not finite: nothing could be trained from it.
            OSError: when it cannot be written. Earlier checkpoints are as they were.
        """
        variables = _variables(model)
        arrays = {key: keras.ops.convert_to_numpy(variable) for key, variable in variables.items()}
        for key, array in arrays.items():
            if not _is_finite(array):
                raise ValueError(
                    f"{variables[key].path} is not finite after step {step}, so no checkpoint is written. "
                    f"{self.newest_in_words()} Try a lower learning rate or `global_clipnorm`."
                )
        content = {
            "format": _FORMAT,
            "version": __version__,
            "step": step,
            "position": position,
            "settings": settings,
            "variables": {key: [variables[key].path, arrays[key].dtype.name] for key in arrays},
        }
        stored = {key: _storable(array) for key, array in arrays.items()}
        stored |= {f"random_{name}": state for name, state in get_random_state().items()}
        try:
            self._write(self.path(step), stored | {"run": np.array(json.dumps(content))})
        except OSError as error:
            raise OSError(
                error.errno, f"Cannot write {str(self.path(step))!r}: {error.strerror or error}"
            ) from error
        for old in self.steps[: -self.keep]:
            self.path(old).unlink(missing_ok=True)

    def load(self, model: keras.Model, settings: dict) -> dict | None:
        """Brings a model and its optimizer to the newest whole checkpoint, and removes unfinished files.

        A damaged file is passed over with a warning in the log of `keras_deeplab`.

        Args:
            model: compiled model.
            settings: dict of `describe_run`, of this run.

        Returns:
            dict with `"step"`, `"position"` and `"random_state"` (that of `get_random_state`, which is not
            set yet), or `None` when there is no checkpoint.

        Raises:
            ValueError: when the checkpoint is that of another model, other data or other settings; the
                message names what differs. Or when there are files, but none is whole.
        """
        if self.folder.is_dir():
            for path in self.folder.glob(".step_*"):
                path.unlink(missing_ok=True)
        steps = self.steps
        for step in reversed(steps):
            try:
                content, arrays, random_state = _read(self.path(step))
            except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
                _LOGGER.warning("Passed over the checkpoint %s: %s", self.path(step), error)
                continue
            self._check(content, settings)
            _assign(model, arrays)
            start = {key: content[key] for key in ("step", "position")}
            return {**start, "random_state": random_state}
        if steps:
            raise ValueError(f"None of the checkpoints in {str(self.folder)!r} is whole. Remove the folder.")
        return None

    def _check(self, content, settings):
        differences = find_differences(content["settings"], settings)
        if differences:
            raise ValueError(
                f"{str(self.folder)!r} holds checkpoints of another run: {'; '.join(differences)}. "
                "Use the settings from before, or another folder."
            )

    def _write(self, path, arrays):
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            with open(temporary, "wb") as file:
                np.savez(file, **arrays)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(self.folder)

    def newest_in_words(self) -> str:
        """A sentence about the newest checkpoint, for messages."""
        steps = self.steps
        return (
            f"The newest checkpoint is {str(self.path(steps[-1]))!r}."
            if steps
            else "There is no checkpoint yet."
        )


class CheckpointWriter(keras.callbacks.Callback):
    """Writes a checkpoint at the first end of an epoch of `fit` after some minutes, and at the last one.

    The logs must have the step, as those of `train` do.

    Args:
        checkpoints: `Checkpoints`.
        minutes: float. Time from one to the next; 0 for one after every epoch.
        last_step: int. The step that the run ends with.
        settings: dict of `describe_run`.
        find_position: callable from the step to the place in the data, as `Checkpoints.save` takes it.
        random_state: what `Checkpoints.load` gave, set before the first step: making iterators over data
            draws random numbers too.

    Example:
    ```python
    CheckpointWriter(Checkpoints("run/checkpoints"), 10, 60_000, describe_run(model, pipeline))
    ```
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        minutes: float,
        last_step: int,
        settings: dict,
        find_position: Callable[[int], dict | None] = lambda step: None,
        random_state: dict | None = None,
    ):
        super().__init__()
        self.checkpoints = checkpoints
        self.minutes = minutes
        self.last_step = last_step
        self.settings = settings
        self.find_position = find_position
        self._random_state = random_state

    def on_train_batch_begin(self, batch, logs=None):
        if self._random_state is not None:
            set_random_state(self._random_state)
            self._random_state = None

    def on_train_begin(self, logs=None):
        self._written_at = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        step = int(logs["step"])
        is_last = step >= self.last_step or self.model.stop_training
        if is_last or time.monotonic() - self._written_at >= 60 * self.minutes:
            self.checkpoints.save(self.model, step, self.settings, self.find_position(step))
            self._written_at = time.monotonic()


def _variables(model):
    """All variables that decide how training goes on, by a name of their own: paths may repeat."""
    passing = {id(variable) for metric in model.metrics for variable in metric.variables}
    state = [variable for variable in model.variables if id(variable) not in passing]
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    return {
        **{f"model_{number:05d}": variable for number, variable in enumerate(state)},
        **{f"optimizer_{number:05d}": variable for number, variable in enumerate(model.optimizer.variables)},
    }


def _assign(model, arrays):
    for key, variable in _variables(model).items():
        variable.assign(arrays[key])


def _read(path):
    with np.load(path, allow_pickle=False) as file:
        content = json.loads(file["run"].item())
        if content["format"] != _FORMAT:
            raise ValueError(f"it has the format {content['format']}, which this version does not read")
        dtypes = {key: dtype for key, (_, dtype) in content["variables"].items()}
        arrays = {key: file[key].view(_dtype(dtype)) for key, dtype in dtypes.items()}
        random_state = {key.removeprefix("random_"): file[key] for key in file if key.startswith("random_")}
        return content, arrays, random_state


def _storable(array):
    """The array as NumPy's files hold it, which know none of the types of ml_dtypes."""
    return array if array.dtype.isbuiltin == 1 else array.view(f"u{array.dtype.itemsize}")


def _dtype(name):
    return np.dtype(getattr(ml_dtypes, name, name))


def _is_finite(array):
    return array.dtype.kind in "iub" or bool(np.isfinite(array.astype(np.float32, copy=False)).all())


def _sync_folder(folder):
    """Brings names in a folder to the disk, on systems where a folder can be opened."""
    with contextlib.suppress(PermissionError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
