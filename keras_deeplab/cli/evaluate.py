"""Measure panoptic quality and mean IoU on a labelled dataset."""

from __future__ import annotations

import argparse

from keras_deeplab.cli.arguments import add_data, add_json, load_model, open_dataset, print_json

EXAMPLES = (
    "--preset ./my_preset --data /data/cityscapes",
    "--preset ./my_preset --data /data/cityscapes --save predictions --json",
)
_COLUMNS = ("pq", "sq", "rq", "iou")


def add_arguments(command: argparse.ArgumentParser):
    command.add_argument("--preset", required=True, help="name or folder of a preset")
    add_data(command)
    command.add_argument("--split", choices=("train", "val", "test"), default="val", help="(default: val)")
    command.add_argument("--save", metavar="DIR", help="also write the predictions in the official formats")
    add_json(command)


def run(options: argparse.Namespace) -> int:
    import keras_deeplab

    reader = open_dataset(options.data, options.split)
    model = load_model(options.preset)
    results = keras_deeplab.evaluate(model, reader, save_to=options.save)
    if options.json:
        print_json(results)
    else:
        _print_table(results)
    return 0


def _print_table(results):
    from rich.console import Console
    from rich.table import Table

    rows = {name: [scores.get(c) for c in _COLUMNS] for name, scores in results["per_class"].items()}
    for name, ending in (("things", "_things"), ("stuff", "_stuff"), ("all", "")):
        rows[name] = [results.get(c + ending) for c in ("pq", "sq", "rq")] + [None]
    rows["all"][-1] = results.get("miou")
    table = Table("class", title=f"{results['images']} images")
    for column in _COLUMNS:
        table.add_column(column.upper() if column != "iou" else "IoU", justify="right")
    for name, scores in rows.items():
        if name == "things":
            table.add_section()
        table.add_row(
            name, *("-" if score is None or score != score else f"{100 * score:.1f}" for score in scores)
        )
    Console().print(table)
