"""What the fields of a recipe can be, and how they are written as text."""

from __future__ import annotations

import math
import re

from keras_deeplab.data.resize_rules import check_range, check_scales, check_size

_WORDS = {"none": None, "true": True, "false": False}


def parse_text(value):
    """The value that a text stands for; anything else than text is returned as it is.

    Args:
        value: str as on a command line: `"none"`, `"true"`, `"3"`, `"1e-4"`, numbers between commas or
            `"x"`, or a word. Or any other value.

    Returns:
        `None`, bool, int, float, tuple of numbers, or str.

    Example:
    ```python
    parse_text("513x1025"), parse_text("0.5, 2, 0.1"), parse_text("adam")
    # (513, 1025), (0.5, 2, 0.1), "adam"
    ```
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    numbers = [_number(word) for word in re.split("[x,]", text.strip("()[] "))]
    if None in numbers:
        return text
    return numbers[0] if len(numbers) == 1 else tuple(numbers)


def check_field(recipe: str, field: str, value):
    """The value of a recipe's field in its own type.

    Args:
        recipe: str. Name of the recipe, for the message.
        field: str.
        value: anything.

    Returns:
        The value: whole numbers as int, other numbers as float, sequences as tuples.

    Raises:
        ValueError: when the field cannot have the value.
    """
    what, convert = _FIELDS[field]
    try:
        return convert(value)
    except (TypeError, ValueError):
        raise ValueError(f"Recipe {recipe!r}: `{field}` must be {what}. Received: {value!r}") from None


def _number(word):
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            pass
    return None


def _require(is_right, value):
    if not is_right:
        raise ValueError
    return value


def _text(value):
    return _require(isinstance(value, str) and value, value)


def _flag(value):
    return _require(isinstance(value, bool), value)


def _real(value):
    return _require(not isinstance(value, (bool, str)) and math.isfinite(value), float(value))


def _whole(least):
    def convert(value):
        return int(_require(_real(value) == int(value) and value >= least, value))

    return f"a whole number of at least {least}", convert


def _share(value):
    return _require(0 < _real(value) <= 1, float(value))


def _below_one(value):
    return _require(0 <= _real(value) < 1, float(value))


def _one_of(*names):
    return f"one of {', '.join(map(repr, names))}", lambda value: _require(value in names, value)


def _or_none(what, convert):
    return f"{what}, or none", lambda value: None if value is None else convert(value)


def _range(value):
    return check_range((*value, None)[:3])


_NAME = ("a name", _text)
_FLAG = ("true or false", _flag)
_POSITIVE = ("a positive number", lambda value: _require(_real(value) > 0, float(value)))
_NOT_NEGATIVE = ("a number of at least 0", lambda value: _require(_real(value) >= 0, float(value)))
_COUNT, _COUNT_OR_0 = _whole(1), _whole(0)

# Field -> what it must be in words, and function that returns a value in the field's type or raises.
_FIELDS = {
    "name": _NAME,
    "image_size": ("(height, width)", check_size),
    "batch_size": _COUNT,
    "steps": _COUNT,
    "learning_rate": _POSITIVE,
    "model": _or_none(*_NAME),
    "schedule": _one_of("polynomial", "cosine"),
    "warmup_steps": _COUNT_OR_0,
    "optimizer": _one_of("adam", "adamw", "sgd"),
    "weight_decay": _NOT_NEGATIVE,
    "backbone_multiplier": _NOT_NEGATIVE,
    "clipnorm": _or_none(*_POSITIVE),
    "global_clipnorm": _or_none(*_POSITIVE),
    "gradient_accumulation_steps": _COUNT,
    "use_ema": _FLAG,
    "ema_momentum": ("a number of at least 0 and below 1", _below_one),
    "freeze": _or_none(*_one_of("backbone", "batch_norm", "backbone_batch_norm")),
    "semantic_weight": _or_none(*_NOT_NEGATIVE),
    "center_weight": _or_none(*_NOT_NEGATIVE),
    "offset_weight": _or_none(*_NOT_NEGATIVE),
    "semantic_top_k": _or_none("a number above 0 and at most 1", _share),
    "small_instance_weight": _or_none(*_NOT_NEGATIVE),
    "center_sigma": _COUNT,
    "scales": _or_none("(smallest, largest, step)", check_scales),
    "flip": _FLAG,
    "resize": _or_none("(min_size, max_size) or (min_size, max_size, factor)", _range),
    "autoaugment": _or_none(*_NOT_NEGATIVE),
    "config": _or_none(*_NAME),
}
