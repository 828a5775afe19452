"""Whether an evaluation makes sense: there are images, metrics, and labels that mean the same."""

from __future__ import annotations

from collections.abc import Sequence

from keras_deeplab.evaluation.tally import MEASURES
from keras_deeplab.labels import LabelSpace
from keras_deeplab.metrics.segment_matching import check_convention

_CODING = ("num_classes", "things", "ignore_label", "label_divisor")


def check_task(reader: Sequence[dict], metrics, convention: str) -> None:
    """Raises a ValueError when the dataset is empty, or a metric or the convention is unknown."""
    if len(reader) == 0:
        raise ValueError("There is nothing to evaluate: the dataset has no images.")
    if metrics != "auto" and (isinstance(metrics, str) or not metrics or set(metrics) - set(MEASURES)):
        raise ValueError(
            f'`metrics` must be "auto" or a list of {tuple(MEASURES)}. Received: metrics={metrics!r}'
        )
    check_convention(convention)


def common_label_space(kind: str, predictor, reader) -> LabelSpace:
    """The dataset's label space, when the predictor's maps are coded as it says.

    Args:
        kind: str. What the error calls the predictor: `"model has"` or `"predictions have"`.
        predictor: what has or makes predictions, with a `label_space`.
        reader: the dataset; without a `label_space` it has the predictor's.

    Raises:
        ValueError: when the label spaces differ; the message names the field.
    """
    theirs = LabelSpace.create(getattr(reader, "label_space", predictor.label_space))
    ours = LabelSpace.create(getattr(predictor, "label_space", theirs))
    for field in _CODING:
        if getattr(ours, field) != getattr(theirs, field):
            raise ValueError(
                f"The {kind} the label space {ours.name!r} with {field}={getattr(ours, field)}, but the "
                f"dataset has {theirs.name!r} with {field}={getattr(theirs, field)}. Open both with one "
                "label space: readers and `from_preset` take it as label_space=..."
            )
    return theirs
