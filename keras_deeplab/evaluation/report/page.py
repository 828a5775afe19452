"""An evaluation as one HTML page."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Mapping

from keras_deeplab.data.writers import write_file
from keras_deeplab.evaluation.report.confusion_section import confusion_section
from keras_deeplab.evaluation.report.example_section import example_section
from keras_deeplab.evaluation.report.markup import Markup, element, join
from keras_deeplab.evaluation.report.number_format import format_number
from keras_deeplab.evaluation.report.numbers import all_numbers, class_section, headline, sequence_section
from keras_deeplab.labels import LabelSpace
from keras_deeplab.version import __version__

# What the page may load: nothing but what it contains.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_CONVENTIONS = {
    "deeplab2": "deeplab2: crowd regions count as segments",
    "official": "official: crowd regions need not be found",
}


def write_report(
    path: str | os.PathLike,
    results: Mapping,
    label_space: LabelSpace | Mapping | str,
    examples: Iterable[Mapping] = (),
    title: str = "Evaluation",
) -> None:
    """Writes an evaluation as one HTML file that needs nothing else: numbers, confusions and pictures.

    Whatever `results` lacks is left out.

    Args:
        path: path of the file. Missing folders are made.
        results: dict as `evaluate` gives it. Besides single numbers, `"per_class"`, `"per_sequence"` (dict
            from name to a dict of numbers) and `"confusion"` (pixels, `[num_classes][num_classes + 1]`, by
            true and predicted class, the last column void) are shown, as are the strings `"model"`,
            `"dataset"`, `"date"` and `"convention"`.
        label_space: `LabelSpace`, or what `LabelSpace.create` takes.
        examples: iterable of dicts, shown in this order and held one at a time: `"name"`, `"image"` (uint8
            `[H, W, 3]`, RGB), `"truth"` (int32 `[H, W]`, panoptic map), `"prediction"` (`Segmentation` or
            panoptic map), and `"score"` (number) with `"metric"` (its key in the results, e.g. `"pq"`).
        title: str. Title of the page.

    Raises:
        ValueError: when the numbers or maps do not fit the label space.

    Example:
    ```python
    results = evaluate(model, reader)
    write_report("report.html", results | {"dataset": "Cityscapes val"}, model.label_space)
    ```
    """
    label_space = LabelSpace.create(label_space)
    sections = {
        "classes": class_section(results, label_space),
        "confusion": confusion_section(results, label_space),
        "sequences": sequence_section(results),
        "examples": example_section(examples, label_space),
    }
    links = [element("a", name.capitalize(), href=f"#{name}") for name, found in sections.items() if found]
    body = element(
        "body",
        element("header", element("h1", title), _describe(results, label_space), _navigation(links)),
        element("main", headline(results), sections.values(), all_numbers(results)),
        element("footer", element("p", f"Written by keras-deeplab {__version__}.")),
    )
    page = join([Markup("<!DOCTYPE html>\n"), element("html", _head(title), body, lang="en")])
    write_file(path, page.encode())


def _head(title):
    style = pathlib.Path(__file__).with_name("page.css").read_text("utf-8")
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("link", rel="icon", href="data:,"),
        element("title", title),
        element("style", Markup(style)),
    )


def _navigation(links):
    return element("nav", links, aria_label="Sections") if links else None


def _describe(results, label_space):
    """What was evaluated, as a list of terms."""
    convention = results.get("convention")
    images = results.get("images")
    facts = {
        "Model": results.get("model"),
        "Dataset": results.get("dataset"),
        "Label space": label_space.name,
        "Classes": f"{len(label_space.things)} things, {len(label_space.stuff)} stuff",
        "Images": None if images is None else format_number(images, "count"),
        "Convention": _CONVENTIONS.get(convention, convention),
        "Date": results.get("date"),
    }
    items = [
        element("div", element("dt", name), element("dd", str(value)))
        for name, value in facts.items()
        if value is not None
    ]
    return element("dl", items, class_="facts")
