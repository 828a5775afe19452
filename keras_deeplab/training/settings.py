"""What decides the result of a training run, as plain values that two runs can be compared by."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import json

import keras
import numpy as np

from keras_deeplab.data.pipeline import Pipeline
from keras_deeplab.labels import LabelSpace

_MOST_DIFFERENCES = 5
_ABSENT = "absent"


def describe_run(model: keras.Model, pipeline: Pipeline) -> dict:
    """The settings of a run: the network, the data and how one trains on the other.

    Number of steps, threads and logs are no part of it: they do not change what comes out of a step.

    Args:
        model: compiled model.
        pipeline: `data.Pipeline`.

    Returns:
        Nested dict with `"model"`, `"training"` and `"data"`, ready for JSON.

    Example:
    ```python
    describe_run(model, pipeline)["data"]["batch_size"]  # 8
    ```
    """
    weights = [[*variable.shape, variable.dtype] for variable in model.weights]
    # Keras numbers the layers of a process, so that names differ where networks are the same.
    names = {layer.name: f"layer {number}" for number, layer in enumerate(model._flatten_layers())}
    settings = {
        "model": {
            **_renamed(_plain(model), names),
            "weights": f"{len(weights)} arrays, {_digest(json.dumps(weights).encode())}",
            "trainable_weights": len(model.trainable_weights),
        },
        "training": {
            "optimizer": _plain(model.optimizer),
            "loss": _plain(getattr(model, "training_loss", model.loss)),
        },
        "data": _describe_data(pipeline),
    }
    return json.loads(json.dumps(settings))


def find_differences(before: dict, now: dict) -> list[str]:
    """Where two descriptions differ, in words.

    Args:
        before: dict of `describe_run`.
        now: dict of `describe_run`.

    Returns:
        list of str, e.g. `["data.batch_size was 8 and is 4"]`; at most five.

    Example:
    ```python
    find_differences({"seed": 0}, {"seed": 1})  # ["seed was 0 and is 1"]
    ```
    """
    return [
        f"{path} was {_short(old)} and is {_short(new)}" for path, old, new in _differences(before, now, "")
    ][:_MOST_DIFFERENCES]


def _describe_data(pipeline):
    reader = pipeline.reader
    names = getattr(reader, "names", None)
    settings = {
        "reader": type(reader).__name__,
        "samples": len(reader),
        "names": _digest("\n".join(map(str, names)).encode()) if names else None,
        "batch_size": pipeline.batch_size,
        "seed": pipeline.seed,
        "shard": list(pipeline.shard),
        **{key: value for key, value in _plain(pipeline.loader).items() if key not in ("class", "reader")},
    }
    if pipeline.loader.on_error == "skip":
        # The place in the data is then Grain's, which is one of so many processes.
        settings["num_workers"] = pipeline.num_workers
    return settings


def _plain(value):
    """A value as JSON holds it: objects by class and settings, arrays by a digest."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        is_named = "trainable" in value or "learning_rate" in value
        left_out = {"name", "shared_object_id"} if is_named else {"shared_object_id"}
        return {str(key): _plain(item) for key, item in value.items() if key not in left_out}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, LabelSpace):
        return {"class": value.name, "digest": _digest(json.dumps(value.to_dict()).encode())}
    if isinstance(value, functools.partial):
        return {"class": _plain(value.func), "args": _plain(value.args), **_plain(value.keywords)}
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)} {_digest(np.ascontiguousarray(value).tobytes())}"
    if inspect.isroutine(value) or inspect.isclass(value):
        return f"{value.__module__}.{value.__qualname__}"
    return {"class": type(value).__name__, **_settings_of(value)}


def _settings_of(value):
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return _plain(fields)
    if hasattr(value, "get_config"):
        return _plain(value.get_config())
    public = {key: item for key, item in getattr(value, "__dict__", {}).items() if not key.startswith("_")}
    return _plain({key: item for key, item in public.items() if key != "reader"})


def _renamed(tree, names):
    if isinstance(tree, dict):
        return {key: _renamed(item, names) for key, item in tree.items()}
    if isinstance(tree, list):
        return [_renamed(item, names) for item in tree]
    return names.get(tree, tree) if isinstance(tree, str) else tree


def _differences(before, now, path):
    """`(dotted path, value before, value now)` of what differs."""
    if isinstance(before, list) and isinstance(now, list) and _is_nested(before):
        before, now = dict(enumerate(before)), dict(enumerate(now))
    if not (isinstance(before, dict) and isinstance(now, dict)):
        if before != now:
            yield path, before, now
        return
    for key in {**before, **now}:
        inner = f"{path}.{key}" if path else str(key)
        yield from _differences(before.get(key, _ABSENT), now.get(key, _ABSENT), inner)


def _is_nested(values):
    return any(isinstance(value, (dict, list)) for value in values)


def _short(value):
    text = value if value is _ABSENT else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _digest(content):
    return hashlib.sha256(content).hexdigest()[:12]
