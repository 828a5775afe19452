"""Show everything about one model: its network, scores, training, paper and licence."""

from __future__ import annotations

import argparse

from keras_deeplab.cli.arguments import add_json, print_json
from keras_deeplab.cli.presets_list import megabytes, millions

EXAMPLES = ("axial_swidernet_cityscapes", "resnet50_imagenet1k --json")
_ARXIV = "https://arxiv.org/abs/"


def add_arguments(command: argparse.ArgumentParser):
    command.add_argument(
        "name", metavar="NAME", help="name or alias of a preset, as `presets list` shows them"
    )
    add_json(command)


def run(options: argparse.Namespace) -> int:
    from keras_deeplab.hub import preset_table

    embedded = preset_table.embedded_entries()
    entry = embedded.get(options.name) or preset_table.find_entry(options.name)
    preset = {**preset_table.describe(entry), "usage": _usage(entry)}
    if options.json:
        print_json(preset)
        return 0
    for label, text in _lines(preset):
        for part in text if isinstance(text, list) else [text]:
            print(f"{label:<16}{part}")
            label = ""
    return 0


def _usage(entry):
    return f'keras_deeplab.{entry.model}.from_preset("{entry.name}")'


def _lines(preset):
    """(label, text or several texts) of everything that the preset says."""
    yield "name", preset["name"]
    yield "status", _status(preset)
    for field, write in _WRITERS.items():
        if preset[field] not in (None, (), {}):
            yield field.replace("_", " "), write(preset[field])
    yield "usage", preset["usage"]


def _status(preset):
    if preset["status"] == "planned":
        return "planned: this version cannot load it yet"
    return f"{preset['status']}, {'on this machine' if preset['cached'] else 'not on this machine yet'}"


def _pairs(values):
    return ", ".join(f"{name} {_pair_value(value)}" for name, value in values.items())


def _pair_value(value):
    return "x".join(map(str, value)) if isinstance(value, tuple) else value


def _metric(metric):
    split = f", {metric['split']}" if "split" in metric else ""
    return f"{metric['metric']} {metric['value']} ({metric['evaluator']}{split})"


# Field -> how it is written, in the order of printing.
_WRITERS = {
    "aliases": ", ".join,
    "family": str,
    "model": str,
    "variant": str,
    "dataset": str,
    "label_space": str,
    "image_size": _pair_value,
    "output_stride": str,
    "parameters": millions,
    "size": megabytes,
    "metrics": lambda metrics: [_metric(metric) for metric in metrics],
    "eval_split": str,
    "training": _pairs,
    "backbone": _pairs,
    "arguments": _pairs,
    "postprocessor": _pairs,
    "normalization": _pairs,
    "archive": str,
    "config": str,
    "paper": lambda paper: _ARXIV + paper,
    "license": str,
    "note": str,
}
