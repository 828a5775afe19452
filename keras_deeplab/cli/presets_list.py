"""List the published and built-in models."""

from __future__ import annotations

import argparse
import sys

from keras_deeplab.cli.arguments import add_json, print_json

EXAMPLES = ("", "--dataset cityscapes --status available", "--family kmax_deeplab --json")
_COLUMNS = ("name", "family", "backbone", "dataset", "scores", "parameters", "size", "status", "cached")
_NUMBERS = ("parameters", "size")
# What a narrow terminal does without.
_LEFT_OUT_FIRST = ("backbone", "family", "size", "cached", "parameters")
_HEADLINES = ("PQ", "mIoU", "STQ", "VPQ", "top-1")


def add_arguments(command: argparse.ArgumentParser):
    for name, example in (("family", "panoptic_deeplab"), ("dataset", "cityscapes"), ("status", "available")):
        command.add_argument(f"--{name}", metavar="NAME", help=f"only those of this {name}, e.g. {example}")
    add_json(command)


def run(options: argparse.Namespace) -> int:
    from keras_deeplab.hub import preset_table

    entries = {**preset_table.embedded_entries(), **preset_table.preset_entries()}
    presets = [preset_table.describe(entry) for entry in entries.values()]
    for field in ("family", "dataset", "status"):
        presets = _of(presets, field, getattr(options, field))
    if options.json:
        print_json(presets)
    else:
        _print_table(presets)
    return 0


def _of(presets, field, wanted):
    """The presets whose field has the value that was asked for, all where none was."""
    if wanted is None:
        return presets
    found = [preset for preset in presets if preset[field] == wanted]
    if not found:
        values = ", ".join(dict.fromkeys(preset[field] for preset in presets if preset[field]))
        raise ValueError(f"No preset has the {field} {wanted!r}. There are: {values}.")
    return found


def _print_table(presets):
    from rich.console import Console

    console = Console(highlight=False)
    columns, table = _COLUMNS, _table(presets, _COLUMNS)
    if not sys.stdout.isatty():
        # A file or another program gets whole lines.
        console.width = _width(console, table)
    for column in _LEFT_OUT_FIRST:
        if _width(console, table) > console.width:
            columns = tuple(name for name in columns if name != column)
            table = _table(presets, columns)
    if len(columns) < len(_COLUMNS):
        table.caption = "a wider terminal, `presets show NAME` or `--json` shows more"
    console.print(table)


def _width(console, table):
    return console.measure(table, options=console.options.update(max_width=1000)).maximum


def _table(presets, columns):
    from rich import box
    from rich.table import Table

    planned = sum(preset["status"] == "planned" for preset in presets)
    table = Table(title=f"{len(presets)} presets, {planned} of them planned", box=box.SIMPLE_HEAD)
    for column in columns:
        justify = "right" if column in _NUMBERS else "left"
        table.add_column(column, justify=justify, overflow="fold", no_wrap=column == "name")
    families = [preset["family"] for preset in presets]
    for preset, following in zip(presets, [*families[1:], families[-1]], strict=True):
        cells = (_cell(preset, column) for column in columns)
        table.add_row(*cells, end_section=preset["family"] != following)
    return table


def _cell(preset, column):
    value = {"backbone": preset["variant"], "scores": headline(preset)}.get(column, preset.get(column))
    if value is None or value == "":
        return "-"
    formats = {"parameters": millions, "size": megabytes, "cached": lambda cached: "yes" if cached else "no"}
    return formats.get(column, str)(value)


def headline(preset: dict) -> str:
    """The scores that a preset is known by, e.g. `"PQ 34.1 (official), mIoU 54.75 (deeplab2)"`.

    Of each metric, the first in the table counts; the official evaluation stands there first.
    """
    first = {metric["metric"]: metric for metric in reversed(preset["metrics"])}
    scores = [first[name] for name in _HEADLINES if name in first]
    evaluators = dict.fromkeys(score["evaluator"] for score in scores)
    return ", ".join(f"{_of_evaluator(scores, evaluator)} ({evaluator})" for evaluator in evaluators)


def _of_evaluator(scores, evaluator):
    return " ".join(f"{s['metric']} {s['value']}" for s in scores if s["evaluator"] == evaluator)


def millions(count: int) -> str:
    """`10_484_198` -> `"10.5 M"`."""
    return f"{count / 1e6:.1f} M"


def megabytes(size: int) -> str:
    """`41_936_792` -> `"42 MB"`."""
    return f"{size / 1e6:,.0f} MB"
