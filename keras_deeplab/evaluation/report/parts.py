"""The small parts that the sections of a report share."""

from __future__ import annotations

from collections.abc import Iterable

from keras_deeplab.evaluation.report.markup import Markup, element
from keras_deeplab.evaluation.report.number_format import format_number, is_missing
from keras_deeplab.labels import LabelSpace


def section(name: str, title: str, explanation: str, *content: Markup | None) -> Markup:
    """A section of the page, which links reach as `#name`."""
    return element(
        "section",
        element("h2", title, id=f"{name}-title"),
        element("p", explanation, class_="explanation"),
        *content,
        id=name,
        aria_labelledby=f"{name}-title",
    )


def swatch(color: tuple[int, int, int]) -> Markup:
    """A little square of a colour."""
    return element("span", class_="swatch", style=f"background:#{bytes(color).hex()}", aria_hidden="true")


def class_label(class_id: int, label_space: LabelSpace) -> Markup:
    """A class's name beside its colour; `num_classes` is void."""
    if class_id == label_space.num_classes:
        return element("span", element("i", "void"), class_="class")
    name = label_space.classes[class_id]
    return element("span", swatch(label_space.colors[class_id]), name, class_="class")


def bar(value: float | None, hue: str) -> Markup:
    """A percentage behind a bar of its length; only the number is read aloud. Nothing measured has no bar.

    Args:
        value: number in 0..1, NaN or `None`.
        hue: str, the class of the style sheet that colours it.
    """
    number = element("span", format_number(value, "percent"), class_="number")
    if is_missing(value):
        return element("span", number, class_="bar")
    fill = element("span", style=f"width:{100 * min(max(value, 0), 1):.2f}%")
    track = element("span", fill, class_="track", aria_hidden="true")
    return element("span", track, number, class_=f"bar {hue}")


def scrolling_table(caption: str, head: Markup, body: Iterable[Markup], foot: Iterable[Markup] = (), **kind):
    """A table in a frame that scrolls sideways on narrow screens."""
    foot = list(foot)
    table = element(
        "table",
        element("caption", caption),
        element("thead", head),
        element("tbody", body),
        element("tfoot", foot) if foot else None,
        **kind,
    )
    return element("div", table, class_="scroll", role="region", aria_label=caption, tabindex="0")
