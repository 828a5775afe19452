"""The section of a report on which classes are taken for which."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from keras_deeplab.evaluation.report.confusion import (
    class_shares,
    classes_to_show,
    largest_confusions,
    read_confusion,
)
from keras_deeplab.evaluation.report.markup import Markup, element
from keras_deeplab.evaluation.report.number_format import format_number
from keras_deeplab.evaluation.report.parts import bar, class_label, scrolling_table, section
from keras_deeplab.labels import LabelSpace

_MOST_CLASSES = 40
_MOST_PAIRS = 10


def confusion_section(results: Mapping, label_space: LabelSpace) -> Markup | None:
    """The largest confusions and the matrix; `None` where no pixel was counted.

    Raises:
        ValueError: when the matrix does not fit the label space.
    """
    if results.get("confusion") is None:
        return None
    confusion = read_confusion(results["confusion"], label_space)
    if not confusion.any():
        return None
    return section(
        "confusion",
        "Confusion",
        "Which classes are taken for which, in percent of the pixels of the true class.",
        _list_pairs(confusion, label_space),
        _draw_matrix(confusion, label_space),
    )


def _list_pairs(confusion, label_space):
    pairs = largest_confusions(confusion, _MOST_PAIRS)
    if not pairs:
        return element("p", "Every pixel has its true class.")
    items = [
        element(
            "li",
            element(
                "span",
                "true ",
                class_label(pair.truth, label_space),
                " taken for ",
                class_label(pair.prediction, label_space),
            ),
            bar(pair.share, "wrong"),
            element(
                "span",
                f"% of its {format_number(confusion[pair.truth].sum(), 'count')} pixels",
                class_="pixels",
            ),
        )
        for pair in pairs
    ]
    return element("div", element("h3", "The largest confusions"), element("ol", items, class_="pairs"))


def _draw_matrix(confusion, label_space):
    classes = classes_to_show(confusion, _MOST_CLASSES)
    is_whole = classes == classes_to_show(confusion, label_space.num_classes)
    columns = _matrix_columns(confusion, classes, label_space)
    headings = [element("th", element("span", label), scope="col") for label, _ in columns]
    head = element("tr", element("td", "true \\ predicted", class_="corner"), headings)
    body = [
        element(
            "tr",
            element("th", class_label(class_id, label_space), scope="row"),
            _matrix_row([shares[class_id] for _, shares in columns], right=row),
        )
        for row, class_id in enumerate(classes)
    ]
    title = (
        "The matrix" if is_whole else f"The {len(classes)} classes with the smallest share of right pixels"
    )
    note = "Rows are true classes and sum to 100. Blue is right, orange is wrong; below 0.5 a cell is empty."
    return element(
        "div",
        element("h3", title),
        element("p", note, class_="explanation"),
        scrolling_table(
            "Confusion matrix in percent",
            head,
            body,
            class_="matrix" if len(columns) <= 24 else "matrix dense",
        ),
    )


def _matrix_columns(confusion, classes, label_space):
    """Labels, each with the shares of all true classes that are predicted as it: classes, others, void."""
    shares = class_shares(confusion)
    columns = [(class_label(class_id, label_space), shares[:, class_id]) for class_id in classes]
    is_other = ~np.isin(np.arange(label_space.num_classes), classes)
    if confusion[:, :-1][:, is_other].any():
        others = element("span", element("i", "others"), class_="class")
        columns.append((others, shares[:, :-1][:, is_other].sum(axis=1)))
    return [*columns, (class_label(label_space.num_classes, label_space), shares[:, -1])]


def _matrix_row(shares, right):
    if np.isnan(shares[0]):
        return element("td", "not in the truth", class_="absent", colspan=len(shares))
    return [_matrix_cell(share, is_right=place == right) for place, share in enumerate(shares)]


def _matrix_cell(share, is_right):
    text = format_number(share, "whole percent")
    # The square root lets small shares be seen beside large ones.
    opacity = round(float(share) ** 0.5, 2)
    return element(
        "td",
        "" if text == "0" else text,
        class_="right" if is_right else None,
        style=f"--share:{opacity}" if opacity else None,
    )
