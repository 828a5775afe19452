"""Puts the fields of a DeepLab2 configuration file into the messages of `experiment_options.toml`."""

from __future__ import annotations

import difflib
import functools
import pathlib
import tomllib

from keras_deeplab.hub.textproto import Field, Identifier

_WORDS = {"true": True, "True": True, "t": True, "false": False, "False": False, "f": False}
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a string in quotes"}


class Options(dict):
    """A message's fields by name: those that a file sets, and DeepLab2's defaults for all others.

    Messages that the file leaves out are there with their defaults, repeated fields are lists.

    Attributes:
        lines: dict from the name of every field that the file sets to the line where it first does.
        line: int. Where the message begins, or the one around it when the file leaves it out.
        source: str. What errors call the file.

    Example:
    ```python
    options["model_options"]["backbone"]["output_stride"]  # 32
    options["model_options"]["backbone"].lines.get("output_stride")  # 5, or None for the default
    ```
    """

    def __init__(self, values: dict, lines: dict[str, int], line: int, source: str):
        super().__init__(values)
        self.lines = lines
        self.line = line
        self.source = source

    def line_of(self, name: str) -> int:
        """The line of a field, or that of the message when the file does not set the field."""
        return self.lines.get(name, self.line)


def read_options(fields: list[Field], source: str, allow_unknown: bool = False) -> Options:
    """Checks fields against ExperimentOptions and fills in the defaults.

    Args:
        fields: what `textproto.load` gives.
        source: str. What errors call the file.
        allow_unknown: bool. Leave unknown fields out instead of refusing them.

    Returns:
        `Options` of ExperimentOptions.

    Raises:
        ValueError: if fields are unknown, of another type, or set twice. The message lists all of them, by
            line.

    Example:
    ```python
    options = read_options(textproto.parse("experiment_name: 'mine'"), "mine.textproto")
    options["experiment_name"]  # "mine"
    ```
    """
    reader = _Reader(source, allow_unknown)
    options = reader.message(fields, "ExperimentOptions", (), 1)
    way_out = "`allow_unknown` (`--allow-unknown` of the command) leaves unknown fields out."
    raise_problems(source, reader.problems, way_out if reader.found_unknown else None)
    return options


def raise_problems(source: str, problems: list[tuple[int, str]], way_out: str | None = None) -> None:
    """Raises one `ValueError` for all `(line, message)`, with a last line; nothing when there are none."""
    if problems:
        lines = [f"{source}:{line}: {message}" for line, message in sorted(problems)]
        raise ValueError("\n".join(lines if way_out is None else [*lines, way_out]))


def require(problems: list, options: Options, name: str, expected, reason: str) -> None:
    """Adds a problem when a field has another value than the one that the models here can do."""
    if options[name] != expected:
        message = f"{name} must be {expected!r}, {reason}. Found: {options[name]!r}."
        problems.append((options.line_of(name), message))


class _Reader:
    def __init__(self, source, allow_unknown):
        self.source = source
        self.allow_unknown = allow_unknown
        self.problems = []
        self.found_unknown = False

    def message(self, fields, name, path, line):
        """The options of the message `name` at `path`, a tuple of field names."""
        schema = _schema()[name]
        values, lines = {}, {}
        for field in fields:
            if field.name not in schema:
                if not self.allow_unknown:
                    self.found_unknown = True
                    self.problems.append((field.line, _describe_unknown(field.name, name, path)))
                continue
            kind = schema[field.name]
            repeated = isinstance(kind, list)
            if field.name in lines and not repeated:
                first = lines[field.name]
                self.problems.append((field.line, f"{field.name} is set a second time, after line {first}."))
                continue
            lines.setdefault(field.name, field.line)
            value = self._value(field, kind[0] if repeated else kind, (*path, field.name))
            values[field.name] = [*values.get(field.name, ()), value] if repeated else value
        defaults = {field: self._default(kind, line) for field, kind in schema.items() if field not in values}
        return Options({**defaults, **values}, lines, line, self.source)

    def _default(self, kind, line):
        if isinstance(kind, list):
            return []
        if isinstance(kind, dict):
            return kind["choice"] if "choice" in kind else self.message((), kind["message"], (), line)
        return kind

    def _value(self, field, kind, path):
        if isinstance(kind, dict) and "message" in kind:
            if isinstance(field.value, list):
                return self.message(field.value, kind["message"], path, field.line)
            expected = "a message in { }"
        elif isinstance(kind, dict):
            if isinstance(field.value, str):
                return str(field.value)
            expected = "a name"
        else:
            value = _as(type(kind), field.value)
            if value is not None:
                return value
            expected = _KINDS[type(kind)]
        found = "a message in { }" if isinstance(field.value, list) else repr(field.value)
        self.problems.append((field.line, f"{'.'.join(path)} is {expected}. Found: {found}."))
        return self._default(kind, field.line)


def _as(kind, value):
    """A value as one of the field's type; `None` if it is none."""
    if kind is bool:
        return (
            _WORDS.get(value) if isinstance(value, Identifier) else {0: False, 1: True}.get(_as(int, value))
        )
    if kind is float:
        if isinstance(value, Identifier) and value.lower() in ("inf", "infinity", "nan"):
            return float(value)
        return float(value) if isinstance(value, int | float) else None
    is_plain = isinstance(value, kind) and not isinstance(value, Identifier)
    return value if is_plain else None


def _describe_unknown(name, message, path):
    text = f"{'.'.join(path) or message} has no field {name!r}."
    if similar := difflib.get_close_matches(name, _schema()[message], n=2):
        return f"{text} Similar: {', '.join(similar)}."
    if owners := [owner for owner, fields in _schema().items() if name in fields]:
        return f"{text} It belongs to {' or '.join(owners)}."
    return text


@functools.cache
def _schema():
    return tomllib.loads(pathlib.Path(__file__).with_name("experiment_options.toml").read_text("utf-8"))
