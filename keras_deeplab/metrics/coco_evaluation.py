"""COCO's evaluation of masks, by pycocotools."""

from __future__ import annotations

import contextlib
import hashlib
import io

import numpy as np


def import_pycocotools():
    """The classes `COCO` and `COCOeval` of pycocotools.

    Raises:
        ImportError: when it is not installed.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise ImportError('COCO\'s evaluation needs pycocotools: pip install "keras-deeplab[ap]"') from error
    return COCO, COCOeval


def evaluate_masks(counts: dict[str, np.ndarray], classes: np.ndarray) -> dict[str, np.ndarray]:
    """Precision and recall of predicted masks.

    Args:
        counts: what `InstanceAP.count` returns.
        classes: int `[K]`, ascending, the classes to evaluate.

    Returns:
        Dict with float64 `"precision"` `[10, 101, K, 4, 3]` by IoU threshold, recall, class, area range and
        number of detections, and `"recall"` `[10, K, 4, 3]`; -1 where the truth has nothing to find.
    """
    COCO, COCOeval = import_pycocotools()  # noqa: N806
    truths = _list_annotations(counts, "truth", iscrowd=counts["truth_crowd"].astype(int))
    predictions = _list_annotations(counts, "prediction", score=counts["prediction_score"])
    order = _number_by_content(truths + predictions, len(counts["sizes"]))
    images = [
        {"id": image, "height": height, "width": width}
        for image, (height, width) in enumerate(counts["sizes"][order].tolist())
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        sides = [_index(COCO(), images, classes, side) for side in (truths, predictions)]
        evaluation = COCOeval(*sides, iouType="segm")
        evaluation.evaluate()
        evaluation.accumulate()
    return {name: evaluation.eval[name] for name in ("precision", "recall")}


def _list_annotations(counts, side, **extra):
    """The instances of one side in COCO's format. `"image_id"` is the index of the image."""
    names = {"image_id": "image", "category_id": "class", "area": "area"}
    columns = {key: counts[f"{side}_{name}"] for key, name in names.items()} | extra
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    sizes, codes = counts["sizes"].tolist(), counts[f"{side}_codes"].tobytes()
    ends = np.cumsum(counts[f"{side}_code_length"])
    starts = ends - counts[f"{side}_code_length"]
    annotations = []
    for identifier, (row, start, end) in enumerate(zip(rows, starts, ends, strict=True), start=1):
        annotation = dict(zip(columns, row, strict=True))
        mask = {"size": sizes[annotation["image_id"]], "counts": codes[start:end]}
        # 0 would mean "no match" to pycocotools.
        annotations.append(annotation | {"segmentation": mask, "id": identifier})
    return annotations


def _number_by_content(annotations, num_images):
    """Gives the images numbers that follow from their annotations, not from the order of arrival.

    Returns:
        int `[num_images]`, the former number of each image.
    """
    digests = [hashlib.blake2b() for _ in range(num_images)]
    for annotation in annotations:
        content = [value for key, value in annotation.items() if key not in ("image_id", "id")]
        digests[annotation["image_id"]].update(repr(content).encode())
    order = sorted(range(num_images), key=lambda image: digests[image].digest())
    number = dict(zip(order, range(num_images), strict=True))
    for annotation in annotations:
        annotation["image_id"] = number[annotation["image_id"]]
    return np.array(order, np.int64)


def _index(coco, images, classes, annotations):
    """Fills an empty `COCO`."""
    coco.dataset = {
        "images": images,
        "categories": [{"id": class_id} for class_id in classes.tolist()],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco
