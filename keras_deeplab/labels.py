"""Label spaces: what the values of a semantic or panoptic map mean."""

from __future__ import annotations

import colorsys
import dataclasses
import pathlib
import tomllib
from collections.abc import Mapping, Sequence

import numpy as np

_MAX_INT32 = np.iinfo(np.int32).max


@dataclasses.dataclass(frozen=True)
class LabelSpace:
    """The classes of a dataset and how they are coded in a panoptic map.

    A panoptic map holds `class * label_divisor + instance` for every pixel. Instance 0 stands for
    stuff, and for crowd regions of thing classes; `ignore_label * label_divisor` is void.

    Args:
        name: str. Name of the label space, e.g. `"cityscapes"`.
        classes: sequence of str. Class names; the position is the training class.
        things: sequence of int. Indices of the classes that have instances.
        colors: sequence of `(red, green, blue)` in 0..255, one per class. Generated when `None`.
        ignore_label: int. Class of void pixels. May lie outside of `classes` (Cityscapes: 255) or
            be one of them (COCO: 0).
        label_divisor: int. Number of instance ids per class, including 0.
        category_ids: sequence of int. The dataset's own id of each class; of a class that is void, the id
            that means void. `None` when they are the class indices themselves.

    Raises:
        ValueError: when a field is malformed; the message names it.

    Example:
    ```python
    space = LabelSpace("pets", classes=("background", "cat", "dog"), things=(1, 2))
    space.is_thing  # array([False,  True,  True])
    space.void  # 255000
    ```
    """

    name: str
    classes: tuple[str, ...]
    things: tuple[int, ...] = ()
    colors: tuple[tuple[int, int, int], ...] | None = None
    ignore_label: int = 255
    label_divisor: int = 1000
    category_ids: tuple[int, ...] | None = None

    def __post_init__(self):
        def freeze(field, value):
            object.__setattr__(self, field, value)

        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"`name` must be a non-empty string. Received: name={self.name!r}")
        freeze("classes", _names(self.classes))
        freeze("ignore_label", _integer("ignore_label", self.ignore_label, minimum=0))
        freeze("label_divisor", _integer("label_divisor", self.label_divisor, minimum=1))
        freeze("things", _thing_indices(self.things, len(self.classes)))
        if self.ignore_label in self.things:
            raise ValueError(f"`ignore_label` must not be a thing class. Received: {self.ignore_label}")
        if self.things and self.label_divisor < 2:
            raise ValueError("`label_divisor` must be at least 2 when there are `things`.")
        if (max(self.ignore_label, len(self.classes) - 1) + 1) * self.label_divisor - 1 > _MAX_INT32:
            raise ValueError(
                f"Panoptic ids do not fit into int32: `label_divisor` {self.label_divisor} is too large for "
                f"{len(self.classes)} classes and `ignore_label` {self.ignore_label}."
            )
        freeze("colors", _colors(self.colors, len(self.classes)))
        freeze("category_ids", _category_ids(self.category_ids, len(self.classes)))

    @property
    def num_classes(self) -> int:
        """Number of training classes."""
        return len(self.classes)

    @property
    def stuff(self) -> tuple[int, ...]:
        """Indices of the classes without instances, without `ignore_label`."""
        return tuple(c for c in range(self.num_classes) if c not in self.things and c != self.ignore_label)

    @property
    def void(self) -> int:
        """The panoptic value of void pixels."""
        return self.ignore_label * self.label_divisor

    @property
    def is_thing(self) -> np.ndarray:
        """bool `[num_classes]`, true for classes that have instances."""
        return np.isin(np.arange(self.num_classes), self.things)

    def category_id(self, class_id: int) -> int:
        """The dataset's own id of a training class."""
        return class_id if self.category_ids is None else self.category_ids[class_id]

    def classes_from_categories(self, categories: np.ndarray) -> np.ndarray:
        """Translates the dataset's own ids to training classes; unknown ids become `ignore_label`.

        Args:
            categories: integer array of any shape, of ids >= 0.

        Returns:
            int32 array of the same shape.
        """
        ids = range(self.num_classes) if self.category_ids is None else self.category_ids
        table = np.full(max(ids) + 2, self.ignore_label, np.int32)
        table[list(ids)] = np.arange(self.num_classes)
        return np.take(table, categories, mode="clip")

    def to_dict(self) -> dict:
        """The constructor's arguments as plain values, ready for JSON."""
        config = dataclasses.asdict(self)
        return {k: [list(c) for c in v] if k == "colors" else v for k, v in config.items()}

    @classmethod
    def create(cls, value: LabelSpace | Mapping | str) -> LabelSpace:
        """A label space from itself, from `to_dict`'s result or from the name of a built-in one.

        Raises:
            ValueError: for an unknown name.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, Mapping):
            return cls(**value)
        if value in LABEL_SPACES:
            return LABEL_SPACES[value]
        raise ValueError(
            f"Unknown label space {value!r}. Built-in label spaces: {', '.join(sorted(LABEL_SPACES))}."
        )

    @classmethod
    def from_coco(
        cls, categories: Sequence[Mapping], name: str = "coco_categories", label_divisor: int = 1000
    ) -> LabelSpace:
        """The label space of a dataset in the COCO panoptic format.

        Classes are numbered from 0 in the order of their ids, void is outside of them.

        Args:
            categories: sequence of dict, the `"categories"` of the dataset's JSON: each with `"id"`, `"name"`
                and `"isthing"`, and optionally `"color"`.
            name: str. Name of the label space.
            label_divisor: int. One more than the largest number of instances of a class in an image.

        Raises:
            ValueError: when there are no categories or one is incomplete.

        Example:
        ```python
        cat = {"id": 17, "name": "cat", "isthing": 1, "color": [255, 77, 255]}
        space = LabelSpace.from_coco([cat])
        space.category_ids, space.things, space.ignore_label  # (17,), (0,), 255
        ```
        """
        if not categories:
            raise ValueError("There are no categories to make a label space of.")
        for category in categories:
            if not isinstance(category, Mapping) or not {"id", "name", "isthing"} <= category.keys():
                raise ValueError(f'A category needs "id", "name" and "isthing". Received: {category!r}')
        categories = sorted(categories, key=lambda category: category["id"])
        colors = [category.get("color") for category in categories]
        return cls(
            name,
            classes=[category["name"] for category in categories],
            things=[i for i, category in enumerate(categories) if category["isthing"]],
            colors=colors if all(colors) else None,
            ignore_label=max(255, len(categories)),
            label_divisor=label_divisor,
            category_ids=[category["id"] for category in categories],
        )


def check_same_classes(known: LabelSpace, labels: LabelSpace) -> None:
    """Checks that a model can be trained on data: that a class means the same to both.

    Names of label spaces, colours, `category_ids` and `label_divisor` make no difference.

    Args:
        known: `LabelSpace` of the model.
        labels: `LabelSpace` of the data.

    Raises:
        ValueError: when classes, things or `ignore_label` differ; the message says which.

    Example:
    ```python
    check_same_classes(model.label_space, pipeline.label_space)
    ```
    """
    fields = ("classes", "things", "ignore_label")
    differing = [field for field in fields if getattr(known, field) != getattr(labels, field)]
    if not differing:
        return
    lacking = [repr(name) for name in labels.classes if name not in known.classes]
    which = f"the model lacks {', '.join(lacking[:5])}" if lacking else f"{', '.join(differing)} differ"
    raise ValueError(
        f"The model has the labels {known.name!r}, the data {labels.name!r}; {which}. Build the model with "
        "`label_space=` of the data: `from_preset(..., label_space=)` keeps every weight that fits, see "
        "docs/fine_tuning.md."
    )


def _integer(field, value, minimum):
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < minimum:
        raise ValueError(f"`{field}` must be an integer >= {minimum}. Received: {field}={value!r}")
    return int(value)


def _names(classes):
    if isinstance(classes, str) or not classes or not all(isinstance(c, str) and c for c in classes):
        raise ValueError(f"`classes` must be a sequence of class names. Received: classes={classes!r}")
    repeated = sorted({c for c in classes if list(classes).count(c) > 1})
    if repeated:
        raise ValueError(f"`classes` must be unique. Repeated: {', '.join(repeated)}")
    return tuple(classes)


def _thing_indices(things, num_classes):
    things = tuple(_integer("things", t, minimum=0) for t in things)
    if len(set(things)) != len(things):
        raise ValueError(f"`things` must be unique. Received: things={things}")
    if things and max(things) >= num_classes:
        raise ValueError(
            f"`things` must be indices of the {num_classes} `classes`. Received: things={things}"
        )
    return tuple(sorted(things))


def _colors(colors, num_classes):
    if colors is None:
        return generate_colors(num_classes)
    colors = tuple(tuple(int(v) for v in color) for color in colors)
    if len(colors) != num_classes or any(len(c) != 3 or min(c) < 0 or max(c) > 255 for c in colors):
        raise ValueError(f"`colors` must hold {num_classes} (red, green, blue) in 0..255. Received: {colors}")
    return colors


def _category_ids(category_ids, num_classes):
    if category_ids is None:
        return None
    category_ids = tuple(_integer("category_ids", c, minimum=0) for c in category_ids)
    if len(category_ids) != num_classes or len(set(category_ids)) != num_classes:
        raise ValueError(f"`category_ids` must hold {num_classes} different ids. Received: {category_ids}")
    return category_ids


def generate_colors(count: int) -> tuple[tuple[int, int, int], ...]:
    """`count` well-separated colours: hues a golden angle apart, alternating in lightness.

    Args:
        count: int. Number of colours.

    Returns:
        Tuple of `(red, green, blue)` in 0..255, the same for the same `count`.

    Example:
    ```python
    generate_colors(2)  # ((235, 61, 61), (37, 173, 76))
    ```
    """
    golden_angle = 0.38196601125
    return tuple(
        tuple(
            round(255 * channel)
            for channel in colorsys.hls_to_rgb(
                i * golden_angle % 1.0, (0.58, 0.41, 0.72)[i % 3], 0.81 - 0.16 * (i % 2)
            )
        )
        for i in range(count)
    )


def _read_label_spaces():
    """The label spaces of `label_spaces.toml` by name."""
    tables = tomllib.loads(pathlib.Path(__file__).with_name("label_spaces.toml").read_text("utf-8"))
    spaces = {}
    for name, table in tables.items():
        classes, kinds, colors, *category_ids = zip(*table.pop("classes"), strict=True)
        things = [i for i, kind in enumerate(kinds) if kind == "thing"]
        spaces[name] = LabelSpace(
            name, classes, things, colors, category_ids=next(iter(category_ids), None), **table
        )
    return spaces


LABEL_SPACES = _read_label_spaces()
CITYSCAPES = LABEL_SPACES["cityscapes"]
