"""Segment a rendered street, and an image of yours, with the built-in presets."""

from __future__ import annotations

import argparse
import pathlib

from keras_deeplab.cli.arguments import PHOTO_PRESET, SCENE_PRESET, add_output
from keras_deeplab.cli.segment import distinct_names, segment_each

EXAMPLES = ("", "--image street.jpg")


def add_arguments(command: argparse.ArgumentParser):
    command.add_argument(
        "--image", metavar="PATH", type=pathlib.Path, help="an image of yours, besides the rendered street"
    )
    command.add_argument(
        "--preset",
        help=f"another preset than {SCENE_PRESET} for the rendered street and {PHOTO_PRESET} for your image",
    )
    add_output(command)


def run(options: argparse.Namespace) -> int:
    from keras_deeplab.data.synthetic import demo_street

    if options.image is not None and not options.image.is_file():
        raise ValueError(f"There is no image {str(options.image)!r}.")
    scene = demo_street()
    pictures = [(pathlib.Path(scene["name"]), scene["image"], SCENE_PRESET)]
    if options.image is not None:
        pictures.append((options.image, options.image, PHOTO_PRESET))
    names = distinct_names([path for path, _, _ in pictures])
    failures = [
        segment_each([(name, image)], options.preset or preset, output=options.output, as_json=False)
        for name, (_, image, preset) in zip(names, pictures, strict=True)
    ]
    return max(failures)
