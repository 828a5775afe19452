"""Measures predictions that are there already, made by whatever tool."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Literal

from keras_deeplab.data.writers import image_stem
from keras_deeplab.evaluation.processes import map_in_order
from keras_deeplab.evaluation.tally import Tally, add_up, choose_metrics, count_image, naming_image
from keras_deeplab.evaluation.task import check_task, common_label_space
from keras_deeplab.results import Segmentation


def compare(
    reader: Sequence[dict],
    predictions: Sequence[dict],
    metrics: Literal["auto"] | Sequence[str] = "auto",
    convention: Literal["deeplab2", "official"] = "deeplab2",
    processes: int = 0,
    progress: bool = True,
) -> dict:
    """Compares predictions with the labels of a dataset, both read from files.

    Args:
        reader: the dataset, with labels; made with `images=False` it reads nothing else. It has `names`.
        predictions: a reader of the predictions, e.g. `CocoPanoptic(None, "mine/panoptic.json")`. It has
            a sample with `"panoptic"` (and `"depth"`, where that is measured) for each name of the dataset;
            images of other names are not looked at. See `match_names`.
        metrics: as for `evaluate`.
        convention: as for `evaluate`.
        processes: int. Processes that read and count; 0 works in this one.
        progress: bool. Whether to show a progress bar on a terminal.

    Returns:
        Dict as `evaluate` gives it.

    Raises:
        ValueError: when the dataset is empty, predictions are missing, the label spaces differ, or maps
            cannot be compared (the message names the image).

    Example:
    ```python
    truth = CocoPanoptic(None, "annotations/panoptic_val2017.json")
    compare(truth, CocoPanoptic(None, "mine.json"), convention="official", processes=4)["pq"]
    ```
    """
    label_space = common_label_space("predictions have", predictions, reader)
    check_task(reader, metrics, convention)
    pairs = list(enumerate(match_names(reader.names, predictions.names)))
    if metrics == "auto":
        metrics = choose_metrics(*_read(reader, predictions, label_space, pairs[0]), label_space)
    tally = Tally(metrics, label_space, convention)
    function = functools.partial(_count_pair, tally, reader, predictions)
    return add_up(tally, map_in_order(function, pairs, processes), len(pairs), progress)


def match_names(names: Sequence[str], predicted: Sequence[str]) -> list[int]:
    """Where the prediction of each image is.

    Files of predictions have flat names, so that `"0002/000005"` is found as `"0002_000005"`.

    Args:
        names: sequence of str, the images.
        predicted: sequence of str, the predictions.

    Returns:
        For each of `names`, its position in `predicted`.

    Raises:
        ValueError: when an image has no prediction; the message names the first.

    Example:
    ```python
    match_names(["a/1", "a/2"], ["a_2", "a_1"])  # [1, 0]
    ```
    """
    positions = {image_stem(name): position for position, name in enumerate(predicted)}
    missing = [name for name in names if image_stem(name) not in positions]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(names)} images have no prediction, the first is {missing[0]!r}. "
            f"The predictions' first name is {next(iter(predicted), None)!r}."
        )
    return [positions[image_stem(name)] for name in names]


def _count_pair(tally, reader, predictions, pair):
    name = reader.names[pair[0]]
    with naming_image(name):
        inputs = tally.gather(*_read(reader, predictions, tally.label_space, pair))
    return count_image(tally, (pair[0], name, inputs))


def _read(reader, predictions, label_space, pair):
    sample, prediction = reader[pair[0]], predictions[pair[1]]
    segmentation = Segmentation(prediction.get("panoptic"), label_space, depth=prediction.get("depth"))
    return sample, segmentation
