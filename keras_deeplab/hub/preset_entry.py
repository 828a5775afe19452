"""What one table of `presets/*.toml` says, and reading a file of them."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import tomllib

import keras_deeplab
from keras_deeplab.labels import LABEL_SPACES

_BYTES_PER_WEIGHT = 4


@dataclasses.dataclass(frozen=True)
class PresetEntry:
    """The facts about a preset.

    Attributes:
        name: str.
        family: str. The file of the table, e.g. `"panoptic_deeplab"`; `"imagenet"` for backbones.
        model: str. Class of the model; `"Backbone"` for a backbone alone.
        variant: str. Backbone, a name of `backbones/variants.toml` once the package has it; of a preset that
            is part of the package, the backbone's class.
        dataset: str. What it was trained on; `None` if the preset does not say.
        archive: str. File name of DeepLab2's archive; `None` for a preset that is part of the package.
        label_space: str. Built-in label space; `None` for backbones.
        image_size: `(height, width)` of the published evaluation; `None` for any.
        output_stride: int, or `None` for the variant's own.
        backbone: dict of further arguments of the backbone.
        arguments: dict of further arguments of the model.
        postprocessor: dict of arguments of its postprocessor.
        normalization: dict with `mean` and `std` (red, green, blue) of the pixels that the network was
            trained on; empty for this package's own, `x / 127.5 - 1`.
        metrics: tuple of dicts with `"metric"`, `"value"` (percent; AbsRel: a ratio), `"evaluator"`, and
            `"split"` where there are several. From images of one scale, not mirrored.
        eval_split: str. Where the metrics were measured.
        training: dict of what is published about the training: `split`, `steps`, `recipe`, and `pretraining`,
            the preset that it started from.
        parameters: int. Number of trainable ones; `None` if it is not known.
        config: str. DeepLab2's experiment file, below its folder `configs`.
        paper: str. arXiv number.
        license: str. SPDX name.
        note: str. What else a user should know.
        aliases: tuple of str. Other names.
    """

    name: str
    family: str
    model: str
    variant: str
    dataset: str | None
    archive: str | None = None
    label_space: str | None = None
    image_size: tuple[int, int] | None = None
    output_stride: int | None = None
    backbone: dict = dataclasses.field(default_factory=dict)
    arguments: dict = dataclasses.field(default_factory=dict)
    postprocessor: dict = dataclasses.field(default_factory=dict)
    normalization: dict = dataclasses.field(default_factory=dict)
    metrics: tuple[dict, ...] = ()
    eval_split: str | None = None
    training: dict = dataclasses.field(default_factory=dict)
    parameters: int | None = None
    config: str | None = None
    paper: str | None = None
    license: str = "Apache-2.0"
    note: str | None = None
    aliases: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """`"available"`, or `"planned"` while the package lacks the model's class or its backbone."""
        return "planned" if self.missing else "available"

    @property
    def missing(self) -> str | None:
        """What the package lacks to build a published preset, `None` for nothing."""
        if self.model not in keras_deeplab.__all__:
            return self.model
        if self.archive is not None and self.variant not in _variants():
            return f"backbone {self.variant!r}"
        return None

    @property
    def size(self) -> int | None:
        """Bytes of the trainable weights in float32; `None` if their number is not known."""
        return None if self.parameters is None else _BYTES_PER_WEIGHT * self.parameters

    def to_dict(self) -> dict:
        """Everything as plain values, ready for JSON, with `status` and `size`."""
        return {**dataclasses.asdict(self), "status": self.status, "size": self.size}


# Field of a table -> its type. A published preset has the first ones, or its file's `[defaults]` do.
_REQUIRED = {"model": str, "variant": str, "dataset": str, "archive": str, "paper": str}
_FIELDS = {
    **_REQUIRED,
    **dict.fromkeys(("label_space", "eval_split", "config", "license", "note"), str),
    **dict.fromkeys(("output_stride", "parameters"), int),
    **dict.fromkeys(("backbone", "arguments", "postprocessor", "normalization", "training"), dict),
    **dict.fromkeys(("image_size", "metrics"), list),
}
_TYPE_NAMES = {str: "a string", int: "a whole number", dict: "a table", list: "an array"}


def read_tables(path: pathlib.Path) -> tuple[dict[str, PresetEntry], dict[str, str]]:
    """Reads one family's file.

    Args:
        path: path of a TOML file. `[defaults]` holds fields for all of its tables, `[aliases]` other names.

    Returns:
        Entries by name, and names by alias.

    Raises:
        ValueError: if a table is malformed; the message names the file, the table and the field.
    """
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"Cannot read the presets in {str(path)!r}: {error}") from error
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ValueError(f"{path}: {name!r} stands outside of a table.")
    aliases = tables.pop("aliases", {})
    defaults = tables.pop("defaults", {})
    for alias, name in aliases.items():
        if not isinstance(name, str) or name not in tables or alias in tables:
            raise ValueError(
                f"{path}, [aliases]: {alias!r} must be a new name for one of the file's presets."
            )
    others = {name: tuple(alias for alias in aliases if aliases[alias] == name) for name in tables}
    return {
        name: _entry(name, path, {**defaults, **table}, others[name]) for name, table in tables.items()
    }, aliases


def _entry(name, path, table, aliases):
    where = f"{path}, [{name}]"
    if unknown := table.keys() - _FIELDS.keys():
        raise ValueError(f"{where}: unknown field {min(unknown)!r}. Fields: {', '.join(_FIELDS)}.")
    if absent := [field for field in _REQUIRED if field not in table]:
        raise ValueError(f"{where}: the field {absent[0]!r} is missing.")
    for field, value in table.items():
        if not isinstance(value, _FIELDS[field]) or isinstance(value, bool):
            raise ValueError(f"{where}: {field!r} must be {_TYPE_NAMES[_FIELDS[field]]}. Received: {value!r}")
    if table.get("label_space", "cityscapes") not in LABEL_SPACES:
        spaces = ", ".join(LABEL_SPACES)
        raise ValueError(f"{where}: unknown label space {table['label_space']!r}. Built-in ones: {spaces}.")
    if "image_size" in table and not _is_size(table["image_size"]):
        raise ValueError(f"{where}: 'image_size' must be [height, width]. Received: {table['image_size']!r}")
    for metric in table.get("metrics", []):
        if not isinstance(metric, dict) or not {"metric", "value", "evaluator"} <= metric.keys():
            raise ValueError(
                f"{where}: each of 'metrics' needs 'metric', 'value' and 'evaluator'. Received: {metric!r}"
            )
    return PresetEntry(name=name, family=path.stem, aliases=aliases, **_frozen(table))


def _is_size(value):
    return len(value) == 2 and all(type(n) is int and n > 0 for n in value)


def _frozen(value):
    """Arrays as tuples, as constructors have them in their configurations."""
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


@functools.cache
def _variants():
    """Names of the backbones that the package has, without loading one."""
    path = pathlib.Path(keras_deeplab.__file__).parent / "backbones" / "variants.toml"
    return frozenset(tomllib.loads(path.read_text("utf-8")))
