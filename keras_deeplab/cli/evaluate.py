"""Measure how well a preset, or predictions on disk, do on a labelled dataset."""

from __future__ import annotations

import argparse
import datetime
import json
import pathlib
import sys

from keras_deeplab.cli.arguments import (
    add_data,
    add_json,
    add_output,
    count,
    load_model,
    open_dataset,
    open_predictions,
    plain_values,
    positive,
    print_json,
)

EXAMPLES = (
    "--preset ./my_preset --data /data/cityscapes",
    "--preset ./my_preset --data /data/cityscapes --save predictions --layout cityscapes",
    "--preset ./my_preset --data /data/kitti-step --metrics pq miou stq --resume",
    "--predictions predictions/panoptic.json --data /data/coco --convention official --processes 4",
)
_METRICS = ("pq", "miou", "ap", "stq", "vpq", "depth", "dstq", "dvpq")
_COLUMNS = ("pq", "sq", "rq", "iou", "ap")
_IN_THE_TABLE = {f"{name}{group}" for name in ("pq", "sq", "rq") for group in ("", "_things", "_stuff")}
_IN_THE_TABLE |= {"miou", "ap", "images"}


def add_arguments(command: argparse.ArgumentParser):
    judged = command.add_mutually_exclusive_group(required=True)
    judged.add_argument("--preset", help="name or folder of a preset")
    judged.add_argument(
        "--predictions", metavar="PATH", help="a COCO panoptic JSON file, or a folder of predictions"
    )
    add_data(command)
    command.add_argument("--split", choices=("train", "val", "test"), default="val", help="(default: val)")
    command.add_argument(
        "--metrics", nargs="+", choices=_METRICS, metavar="NAME", help=f"of {', '.join(_METRICS)}"
    )
    command.add_argument(
        "--convention",
        choices=("deeplab2", "official"),
        default="deeplab2",
        help="how crowd regions and void count (default: deeplab2)",
    )
    command.add_argument("--batch-size", type=count, default=1, help="images at once (default: 1)")
    command.add_argument("--flip", action="store_true", help="average over mirrored images too")
    command.add_argument(
        "--scales", type=positive, nargs="+", metavar="FACTOR", help="average over images of these scales"
    )
    command.add_argument("--processes", type=int, default=0, help="processes that count (default: this one)")
    command.add_argument("--save", metavar="DIR", help="also write the predictions")
    command.add_argument("--layout", default="auto", help="for whose scripts to write them (default: auto)")
    command.add_argument(
        "--resume", action="store_true", help="go on where the last run into --output stopped"
    )
    add_output(command)
    add_json(command)


def run(options: argparse.Namespace) -> int:
    evaluate = _evaluate_files if options.predictions else _evaluate_preset
    results, reader, label_space, predict = evaluate(options)
    results |= {
        "model": options.preset or options.predictions,
        "dataset": f"{options.data}, {options.split}",
        "date": datetime.date.today().isoformat(),
    }
    _write(options.output, results, reader, label_space, predict)
    if options.json:
        print_json(results)
    else:
        _print_tables(results)
    print(f"The report is {options.output / 'report.html'}.", file=sys.stderr)
    return 0


def _evaluate_preset(options):
    import keras_deeplab

    reader = open_dataset(options.data, options.split)
    model = load_model(options.preset)
    views = {"flip": True} if options.flip else {}
    views |= {"scales": tuple(options.scales)} if options.scales else {}
    store = options.output / "evaluation.sqlite"
    if not options.resume:
        store.unlink(missing_ok=True)
    results = keras_deeplab.evaluate(
        model,
        reader,
        metrics=options.metrics or "auto",
        batch_size=options.batch_size,
        convention=options.convention,
        save_to=options.save,
        layout=options.layout,
        resume=store,
        processes=options.processes,
        **views,
    )
    store.unlink()
    return results, reader, model.label_space, lambda sample: model.segment(sample["image"], **views)


def _evaluate_files(options):
    import keras_deeplab
    from keras_deeplab.evaluation.compare import match_names

    if options.save or options.resume or options.flip or options.scales:
        raise ValueError("--save, --resume, --flip and --scales are for presets, not for --predictions.")
    labels = open_dataset(options.data, options.split, images=False)
    predictions = open_predictions(options.predictions, options.split, labels.label_space)
    results = keras_deeplab.compare(
        labels,
        predictions,
        metrics=options.metrics or "auto",
        convention=options.convention,
        processes=options.processes,
    )
    position = dict(zip(labels.names, match_names(labels.names, predictions.names), strict=True))
    reader = open_dataset(options.data, options.split)
    return (
        results,
        reader,
        labels.label_space,
        lambda sample: predictions[position[sample["name"]]]["panoptic"],
    )


def _write(folder: pathlib.Path, results, reader, label_space, predict):
    from keras_deeplab.data.writers import write_file
    from keras_deeplab.evaluation.report import load_examples, write_report

    content = json.dumps(plain_values(results), indent=2)
    write_file(folder / "results.json", content.encode())
    examples = load_examples(results, reader, predict)
    write_report(folder / "report.html", results, label_space, examples, title=results["model"])


def _print_tables(results):
    from rich.console import Console
    from rich.table import Table

    from keras_deeplab.evaluation.report.number_format import name_number, number_and_unit

    rows = {name: [scores.get(c) for c in _COLUMNS] for name, scores in results["per_class"].items()}
    for name, ending in (("things", "_things"), ("stuff", "_stuff"), ("all", "")):
        rows[name] = [results.get(c + ending) for c in ("pq", "sq", "rq")] + [None, None]
    rows["all"][3:] = [results.get("miou"), results.get("ap")]
    table = Table("class", title=f"{results['images']} images")
    for column in _COLUMNS:
        table.add_column(name_number(column).short, justify="right")
    for name, scores in rows.items():
        if name == "things":
            table.add_section()
        texts = (number_and_unit(c, score)[0] for c, score in zip(_COLUMNS, scores, strict=True))
        table.add_row(name, *texts)
    console = Console()
    console.print(table)

    others = {k: v for k, v in results.items() if isinstance(v, float) and k not in _IN_THE_TABLE}
    if others:
        table = Table("metric", "value")
        for key, value in others.items():
            table.add_row(name_number(key).short, " ".join(number_and_unit(key, value)))
        console.print(table)
