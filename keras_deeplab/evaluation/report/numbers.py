"""The numbers of a report: headline tiles and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Number

from keras_deeplab.evaluation.report.markup import Markup, element
from keras_deeplab.evaluation.report.number_format import format_number, name_number, number_and_unit
from keras_deeplab.evaluation.report.parts import bar, class_label, scrolling_table, section
from keras_deeplab.labels import LabelSpace

# The numbers of each tile: the first one that the results have is the large one. A tile also shows the
# numbers whose keys go on where that one's ends: "vpq_2" with "vpq".
_TILES = (
    ("pq", "pq_things", "pq_stuff", "sq", "rq"),
    ("miou",),
    ("ap",),
    ("stq", "aq", "iou"),
    ("vpq",),
    ("dstq", "dq"),
    ("dvpq",),
    ("abs_rel", "sq_rel", "rmse", "rmse_log", "silog", "inlier"),
)
_FIRST_COLUMNS = ("pq", "iou", "sq", "rq", "ap")
_LAST_COLUMNS = ("tp", "fp", "fn")
# Means of the class table: the row's title and what its keys end in.
_MEANS = (("All classes", ""), ("Things", "_things"), ("Stuff", "_stuff"))
_MEAN_KEYS = {"iou": "miou"}  # "iou" itself is a part of STQ


def headline(results: Mapping) -> Markup | None:
    """The main numbers as tiles; `None` where there are none."""
    tiles = [tile for keys in _TILES if (tile := _tile(keys, results)) is not None]
    return element("div", tiles, class_="tiles") if tiles else None


def _tile(keys, results):
    keys = [key for key in keys if key in results]
    keys += [key for key in results if keys and key.startswith(f"{keys[0]}_") and key not in keys]
    if not keys:
        return None
    main, *parts = keys
    name = name_number(main)
    return element(
        "div",
        element("h3", name.short, class_="metric"),
        element("p", *_number_with_unit(main, results[main]), class_="value"),
        element("p", name.meaning, class_="meaning"),
        element("dl", [_part(key, results[key]) for key in parts]) if parts else None,
        class_=f"tile {main}",
    )


def _part(key, value):
    name = name_number(key)
    return element("div", element("dt", name.short), element("dd", *_number_with_unit(key, value)))


def _number_with_unit(key, value):
    number, unit = number_and_unit(key, value)
    return number, element("span", f" {unit}", class_="unit") if unit else None


def class_section(results: Mapping, label_space: LabelSpace) -> Markup | None:
    """The table of classes; `None` where there are no numbers of classes.

    Raises:
        ValueError: when there are numbers of classes that the label space lacks.
    """
    rows = results.get("per_class")
    if not rows:
        return None
    unknown = [name for name in rows if name not in label_space.classes]
    if unknown:
        raise ValueError(
            f"The results have classes that the label space {label_space.name!r} lacks: {', '.join(unknown)}"
        )
    columns = _order_columns(rows.values())
    body = [
        _class_row(class_id, rows[name], columns, label_space)
        for class_id, name in enumerate(label_space.classes)
        if name in rows and class_id != label_space.ignore_label
    ]
    means = [_mean_row(title, suffix, columns, results) for title, suffix in _MEANS]
    head = element("tr", _heading("Class"), _heading("Kind"), [_number_heading(key) for key in columns])
    table = scrolling_table(
        "Quality of each class", head, body, [row for row in means if row], class_="numbers"
    )
    return section(
        "classes",
        "Classes",
        "Qualities are in percent. A dash stands where there is nothing to measure.",
        table,
    )


def _order_columns(rows: Iterable[Mapping]):
    found = dict.fromkeys(key for row in rows for key in row)
    others = [key for key in found if key not in (*_FIRST_COLUMNS, *_LAST_COLUMNS)]
    return [key for key in (*_FIRST_COLUMNS, *others, *_LAST_COLUMNS) if key in found]


def _class_row(class_id, row, columns, label_space):
    is_thing = class_id in label_space.things
    return element(
        "tr",
        element("th", class_label(class_id, label_space), scope="row"),
        element("td", "thing" if is_thing else "stuff", class_="kind"),
        [_cell(key, row.get(key), with_bar=key in ("pq", "iou")) for key in columns],
    )


def _mean_row(title, suffix, columns, results):
    means = {key: results.get(_MEAN_KEYS.get(key, key) + suffix) for key in columns}
    if all(value is None for value in means.values()):
        return None
    cells = [
        element("td") if value is None else _cell(key, value, with_bar=key in ("pq", "iou"))
        for key, value in means.items()
    ]
    return element("tr", element("th", title, scope="row"), element("td"), cells)


def sequence_section(results: Mapping) -> Markup | None:
    """The table of sequences; `None` where there are none."""
    rows = results.get("per_sequence")
    if not rows:
        return None
    columns = list(dict.fromkeys(key for row in rows.values() for key in row))
    body = [
        element(
            "tr",
            element("th", name, scope="row"),
            [_cell(key, row.get(key), with_bar=key == columns[0]) for key in columns],
        )
        for name, row in rows.items()
    ]
    head = element("tr", _heading("Sequence"), [_number_heading(key) for key in columns])
    return section(
        "sequences",
        "Sequences",
        "Qualities are in percent.",
        scrolling_table("Quality of each sequence", head, body, class_="numbers"),
    )


def all_numbers(results: Mapping) -> Markup:
    """All single numbers of the results with their keys, folded up."""
    rows = [
        element("tr", element("th", element("code", key), scope="row"), _exact_cell(value))
        for key, value in results.items()
        if value is None or isinstance(value, Number)
    ]
    head = element("tr", _heading("Key"), _heading("Value", class_="number"))
    table = scrolling_table("All single numbers of the results", head, rows, class_="numbers")
    return element("details", element("summary", "All numbers as they are in the results"), table)


def _heading(text, **attributes):
    return element("th", text, scope="col", **attributes)


def _number_heading(key):
    name = name_number(key)
    return _heading(name.short, class_="number", title=name.meaning or None)


def _cell(key, value, with_bar=False):
    style = name_number(key).style
    if with_bar and style == "percent":
        return element("td", bar(value, key), class_="with-bar")
    return element("td", format_number(value, style), class_="number")


def _exact_cell(value):
    return element("td", format_number(value, "exact"), class_="number")
