"""Turn a DeepLab2 checkpoint, or a preset by name, into a preset folder."""

from __future__ import annotations

import argparse
import json
import pathlib
import shutil
import tempfile
import tomllib

from keras_deeplab.cli.arguments import add_json, print_json

EXAMPLES = (
    "resnet50_cityscapes --output my_preset",
    "resnet50_cityscapes --checkpoint run/ckpt-60000 --output my_preset",
    "--config my.textproto --checkpoint run/ckpt-60000 --output my_preset",
    "--config my.textproto --checkpoint run --label-space my_classes.toml --output my_preset",
)
_FORMATS = {".json": json.loads, ".toml": tomllib.loads}


def add_arguments(command: argparse.ArgumentParser):
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument("name", metavar="NAME", nargs="?", help="a preset's name: the model and its weights")
    which.add_argument(
        "--config",
        metavar="FILE",
        type=pathlib.Path,
        help="DeepLab2's configuration of the model (textproto)",
    )
    command.add_argument(
        "--checkpoint",
        metavar="PATH",
        type=pathlib.Path,
        help="TensorFlow checkpoint, or its folder (default: the published one of NAME)",
    )
    command.add_argument(
        "--output", metavar="DIR", type=pathlib.Path, required=True, help="the preset folder to write"
    )
    command.add_argument(
        "--label-space",
        metavar="NAME|FILE",
        help="the classes: a built-in label space, or a JSON or TOML file (default: those of the dataset "
        "that the configuration names)",
    )
    command.add_argument(
        "--allow-unknown", action="store_true", help="leave out fields of the configuration that are unknown"
    )
    add_json(command)
    command.set_defaults(wrong_usage=command.error)


def run(options: argparse.Namespace) -> int:
    if options.config is None and (options.label_space or options.allow_unknown):
        options.wrong_usage("--label-space and --allow-unknown go with --config")
    if options.config is not None and options.checkpoint is None:
        options.wrong_usage("--config needs --checkpoint")
    if options.output.exists() and not (options.output.is_dir() and not any(options.output.iterdir())):
        raise ValueError(f"{str(options.output)!r} is no empty folder. Choose another --output.")
    if options.checkpoint is None:
        _copy_preset(options.name, options.output)
    else:
        from keras_deeplab.hub.convert import convert_checkpoint

        convert_checkpoint(_find_entry(options), options.checkpoint, options.output)
    _report(options)
    return 0


def _find_entry(options):
    if options.config is None:
        from keras_deeplab.hub.preset_table import find_entry

        return find_entry(options.name)
    from keras_deeplab.hub import experiment_options

    label_space = None if options.label_space is None else read_label_space(options.label_space)
    configuration = experiment_options.load(options.config, options.allow_unknown)
    return experiment_options.model_entry(configuration, options.config.stem, label_space)


def read_label_space(text: str):
    """The `LabelSpace` of a name, or of a JSON or TOML file with its arguments.

    Raises:
        ValueError: if there is no such label space, or the file is not one; the message names it.
    """
    from keras_deeplab.labels import LabelSpace

    path = pathlib.Path(text)
    if path.suffix not in _FORMATS:
        return LabelSpace.create(text)
    try:
        arguments = _FORMATS[path.suffix](path.read_text(encoding="utf-8"))
        if not isinstance(arguments, dict):
            raise ValueError("it holds no object with names and values")
        return LabelSpace(**{"name": path.stem, **arguments})
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"Cannot read a label space from {text!r}: {error}") from error


def _copy_preset(name, output):
    """Copies the folder of a preset; it appears complete or not at all."""
    from keras_deeplab.hub import registry

    folder = registry.resolve(name)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as temporary:
        try:
            copy = shutil.copytree(folder, pathlib.Path(temporary) / "preset")
        except shutil.Error as error:
            reasons = "; ".join(str(reason) for *_, reason in error.args[0])
            raise ValueError(f"Cannot copy the preset {str(folder)!r}: {reasons}") from error
        if output.exists():
            output.rmdir()
        copy.rename(output)


def _report(options):
    task, backbone = options.output / "task.json", options.output / "config.json"
    model = json.loads((task if task.is_file() else backbone).read_text(encoding="utf-8"))["class_name"]
    source = str(options.checkpoint or options.name)
    if options.json:
        print_json({"output": str(options.output), "model": model, "source": source})
    else:
        print(f"{options.output}: a preset with a {model}, from {source}")
