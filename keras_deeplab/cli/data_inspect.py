"""Recognise a dataset, check all of its files, count its classes and draw a contact sheet."""

from __future__ import annotations

import argparse
import sys

from keras_deeplab.cli.arguments import add_json, add_output, count, print_json

EXAMPLES = ("/data/cityscapes", "/data/coco --split val --output report", "/data/kitti-step --json")
_PROBLEMS_SHOWN = 20


def add_arguments(command: argparse.ArgumentParser):
    command.add_argument("path", metavar="PATH", help="the folder of the dataset")
    command.add_argument("--split", help="look at this split only (default: all that are there)")
    command.add_argument(
        "--samples", metavar="N", type=count, default=12, help="samples on a contact sheet (default: 12)"
    )
    add_output(command)
    add_json(command)


def run(options: argparse.Namespace) -> int:
    from keras_deeplab.data.layouts import detect_layout

    layout = detect_layout(options.path)
    splits = (options.split,) if options.split else layout.splits
    reports = {}
    for split in splits:
        reports[split] = report = _inspect_split(options, split)
        if not options.json:
            _print_report(layout.name, split, report)
    if options.json:
        print_json({"layout": layout.name, "splits": reports})
    return int(any(report["problems"] for report in reports.values()))


def _inspect_split(options, split):
    """The counts of a split as plain values, and the path of its contact sheet."""
    from keras_deeplab.contact_sheet import contact_sheet
    from keras_deeplab.data.inspection import inspect_dataset
    from keras_deeplab.data.writers import encode_image, write_file

    try:
        reader = _open_split(options.path, split)
    except ValueError as error:
        return {"problems": [str(error)]}
    inspection = inspect_dataset(reader)
    report = inspection.to_dict(reader.label_space)
    if len(inspection.problems) < len(reader):
        sheet = options.output / f"contact_sheet_{split}.png"
        write_file(sheet, encode_image(contact_sheet(reader, options.samples)))
        report["contact_sheet"] = str(sheet)
    return report


def _open_split(path, split):
    """The reader of a split; without labels where a test split has none."""
    from keras_deeplab.data.layouts import open_dataset

    try:
        return open_dataset(path, split)
    except ValueError:
        if split != "test":
            raise
        return open_dataset(path, split, labels=None)


def _print_report(layout, split, report):
    from rich.console import Console

    console = Console(highlight=False)
    console.print(f"[bold]{layout}, {split}[/bold]")
    if "samples" in report:
        sizes = ", ".join(f"{size} ({number})" for size, number in report["sizes"].items())
        videos = f", {report['sequences']} videos" if report["sequences"] else ""
        console.print(f"{report['samples']} images, {report['labelled']} with labels{videos}; sizes: {sizes}")
        if report["labelled"]:
            console.print(_class_table(report))
    for problem in report["problems"][:_PROBLEMS_SHOWN]:
        print(f"problem: {problem}", file=sys.stderr)
    if len(report["problems"]) > _PROBLEMS_SHOWN:
        print(f"and {len(report['problems']) - _PROBLEMS_SHOWN} problems more; see --json", file=sys.stderr)
    if "contact_sheet" in report:
        console.print(f"{report['contact_sheet']}: a contact sheet", soft_wrap=True)


def _class_table(report):
    from rich.table import Table

    table = Table("class", title=f"label space {report['label_space']}")
    for column in ("pixels", "images", "instances"):
        table.add_column(column, justify="right")
    total = sum(row["pixels"] for row in report["classes"].values()) + report["void_pixels"]
    for name, row in report["classes"].items():
        if row["pixels"]:
            counts = (f"{row['images']:,}", f"{row['instances']:,}" if row["instances"] else "-")
            table.add_row(name, _share(row["pixels"], total), *counts)
    absent = sum(not row["pixels"] for row in report["classes"].values())
    table.add_section()
    table.add_row("void", _share(report["void_pixels"], total), "", "")
    table.add_row("crowd (among the classes)", _share(report["crowd_pixels"], total), "", "")
    table.caption = f"{absent} classes do not occur" if absent else None
    return table


def _share(pixels, total):
    return f"{100 * pixels / total:.2f} %"
