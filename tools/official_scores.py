"""Counts saved Cityscapes predictions with the official tools, beside our own numbers.

    python tools/official_scores.py CITYSCAPES_FOLDER --split train --predictions runs/first_run/predictions

Needs panopticapi (or panopticapi-lite) and cityscapesscripts. The predictions are those that
`keras_deeplab.evaluate(..., save_to=...)` wrote, at the frames' own size.
"""

import argparse
import json
import os
import pathlib


def panoptic_quality(data, split, predictions):
    """PQ of all, thing and stuff classes by panopticapi, against the official panoptic PNGs."""
    from panopticapi.evaluation import pq_compute_single_core

    name = f"cityscapes_panoptic_{split}"
    truth = json.loads((data / "gtFine" / f"{name}.json").read_text())
    saved = json.loads((predictions / "panoptic.json").read_text())
    by_image = {annotation["image_id"]: annotation for annotation in saved["annotations"]}
    pairs = [(annotation, by_image[annotation["image_id"]]) for annotation in truth["annotations"]]
    categories = {category["id"]: category for category in truth["categories"]}
    folders = str(data / "gtFine" / name), str(predictions / "panoptic")
    counts = pq_compute_single_core(0, pairs, *folders, categories)
    groups = {"pq": None, "pq_things": True, "pq_stuff": False}
    return {key: counts.pq_average(categories, isthing)[0]["pq"] for key, isthing in groups.items()}


def mean_iou(data, split, predictions):
    """Mean class IoU by cityscapesscripts, against the official labelIds PNGs."""
    os.environ["CITYSCAPES_DATASET"] = str(data)
    os.environ["CITYSCAPES_RESULTS"] = str(predictions / "semantic")
    from cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling import (
        args,
        evaluateImgLists,
        getPrediction,
    )

    # Its instance-weighted score needs a function that current numpy no longer has; the IoU does not.
    args.evalInstLevelScore = False
    args.quiet = True
    args.JSONOutput = False
    truths = sorted(map(str, (data / "gtFine" / split).glob("*/*_gtFine_labelIds.png")))
    predicted = [getPrediction(args, path) for path in truths]
    return {"miou": evaluateImgLists(predicted, truths, args)["averageScoreClasses"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path, help="Cityscapes folder")
    parser.add_argument("--split", default="val")
    parser.add_argument("--predictions", type=pathlib.Path, required=True)
    parser.add_argument("--ours", type=pathlib.Path, help="JSON file with our own numbers")
    arguments = parser.parse_args()
    official = panoptic_quality(arguments.data, arguments.split, arguments.predictions)
    official |= mean_iou(arguments.data, arguments.split, arguments.predictions)
    ours = json.loads(arguments.ours.read_text()) if arguments.ours else {}
    for key, value in official.items():
        own = f"   ours {100 * ours[key]:7.3f}" if key in ours else ""
        print(f"{key:10} official {100 * value:7.3f}{own}")


if __name__ == "__main__":
    main()
