"""The section of a report that shows images with their labels, predictions and errors."""

from __future__ import annotations

import base64
from collections.abc import Iterable

import cv2
import numpy as np

from keras_deeplab.data.resize import resize_nearest
from keras_deeplab.data.resize_rules import fit_size
from keras_deeplab.data.writers import encode_image
from keras_deeplab.evaluation.report.error_picture import draw_errors, find_errors
from keras_deeplab.evaluation.report.markup import Markup, element
from keras_deeplab.evaluation.report.number_format import format_number, name_number, number_and_unit
from keras_deeplab.evaluation.report.parts import class_label, section
from keras_deeplab.labels import LabelSpace
from keras_deeplab.results import Segmentation
from keras_deeplab.segments import check_classes
from keras_deeplab.visualization import overlay

_FIELDS = ("name", "image", "truth", "prediction", "score", "metric")
_LARGEST = (640, 640)
_JPEG = {"quality": 80, "optimize": True}


def example_section(examples: Iterable[dict], label_space: LabelSpace) -> Markup | None:
    """Each example as a row of pictures; `None` where there are none.

    Raises:
        ValueError: when an example lacks a field, or its maps do not fit its image or the label space; the
            message names it.
    """
    rows, classes = [], set()
    for example in examples:
        try:
            maps = _read_maps(example, label_space)
            rows.append(_example(example, *maps, label_space))
        except ValueError as error:
            raise ValueError(f"Example {example.get('name')!r}: {error}") from error
        classes.update(np.unique(np.stack(maps) // label_space.label_divisor).tolist())
    if not rows:
        return None
    legend = [
        element("li", class_label(class_id, label_space))
        for class_id in sorted(classes - {label_space.ignore_label})
    ]
    return section(
        "examples",
        "Examples",
        "In the last picture, pixels of a wrong class are orange and pixels without a label are dark. "
        "Select a picture to enlarge it.",
        element("ul", legend, class_="legend", aria_label="Colours of the classes"),
        *rows,
    )


def _read_maps(example, label_space):
    """The panoptic maps of truth and prediction."""
    missing = [field for field in _FIELDS if field not in example]
    if missing:
        raise ValueError(f"An example must have {_FIELDS}. Missing: {', '.join(missing)}")
    image, prediction = example["image"], example["prediction"]
    truth = Segmentation(example["truth"], label_space, image=image)
    if isinstance(prediction, Segmentation):
        prediction = _panoptic_map(prediction)
    prediction = Segmentation(prediction, label_space, image=image)
    if truth.panoptic.size == 0:
        raise ValueError(f"The image has no pixels: its shape is {np.shape(image)}.")
    for key, value in (("truth", truth), ("prediction", prediction)):
        check_classes(key, np.unique(value.semantic), label_space)
    return truth.panoptic, prediction.panoptic


def _panoptic_map(segmentation):
    if segmentation.panoptic is not None:
        return segmentation.panoptic
    return segmentation.semantic.astype(np.int32) * segmentation.label_space.label_divisor


def _example(example, truth, prediction, label_space):
    name, image = example["name"], example["image"]
    size = fit_size(image.shape[:2], _LARGEST)
    small = _shrink(image, size)
    pictures = {
        "Image": small,
        "Truth": overlay(resize_nearest(truth, size), label_space, small),
        "Prediction": overlay(resize_nearest(prediction, size), label_space, small),
        _describe_errors(truth, prediction, label_space): _shrink(
            draw_errors(image, truth, prediction, label_space), size
        ),
    }
    metric = example["metric"]
    score = " ".join([name_number(metric).short, *number_and_unit(metric, example["score"])]).rstrip()
    return element(
        "article",
        element("h3", element("span", name, class_="name"), element("span", score, class_="score")),
        element("div", [_figure(caption, p, name) for caption, p in pictures.items()], class_="pictures"),
    )


def _describe_errors(truth, prediction, label_space):
    labelled = np.count_nonzero(truth // label_space.label_divisor != label_space.ignore_label)
    wrong = np.count_nonzero(find_errors(truth, prediction, label_space))
    if not labelled:
        return "Errors: no pixel is labelled"
    return f"Errors: {format_number(wrong / labelled, 'percent')} % of the labelled pixels"


def _figure(caption, picture, name):
    height, width = picture.shape[:2]
    data = base64.b64encode(encode_image(picture, "JPEG", **_JPEG)).decode()
    return element(
        "figure",
        element(
            "img",
            src=f"data:image/jpeg;base64,{data}",
            alt=f"{caption} ({name})",
            width=width,
            height=height,
        ),
        element("figcaption", caption),
        tabindex="0",
    )


def _shrink(picture, size):
    height, width = size
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
