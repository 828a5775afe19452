"""Segment a rendered street, or an image of yours, with the built-in preset."""

from __future__ import annotations

import argparse
import pathlib

from keras_deeplab.cli.arguments import add_output
from keras_deeplab.cli.segment import segment_each

EXAMPLES = ("", "--image street.jpg")


def add_arguments(command: argparse.ArgumentParser):
    command.add_argument(
        "--image", metavar="PATH", type=pathlib.Path, help="an image (default: a rendered street)"
    )
    command.add_argument("--preset", help="another preset than the built-in one")
    add_output(command)


def run(options: argparse.Namespace) -> int:
    from keras_deeplab.data.synthetic import demo_street

    if options.image is None:
        scene = demo_street()
        image = (scene["name"], scene["image"])
    else:
        image = (options.image.stem, options.image)
    return segment_each([image], options.preset, output=options.output, as_json=False)
