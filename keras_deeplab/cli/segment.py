"""Segment an image, or every image of a folder."""

from __future__ import annotations

import argparse
import collections
import pathlib
import sys
from collections.abc import Sequence

from keras_deeplab.cli.arguments import PHOTO_PRESET, add_json, add_output, load_model, print_json

EXAMPLES = (
    "street.jpg",
    "photos/ --preset ./my_preset --output results",
    "street.jpg --json > street.json",
)


def add_arguments(command: argparse.ArgumentParser):
    command.add_argument("images", metavar="IMAGE|FOLDER", type=pathlib.Path)
    command.add_argument("--preset", help=f"name or folder of a preset (default: {PHOTO_PRESET})")
    add_output(command)
    add_json(command)


def run(options: argparse.Namespace) -> int:
    from keras_deeplab.data.images import list_images

    if not options.images.exists():
        raise ValueError(f"There is no image or folder {str(options.images)!r}.")
    paths = list_images(options.images) if options.images.is_dir() else [options.images]
    images = zip(distinct_names(paths), paths, strict=True)
    return segment_each(list(images), options.preset, options.output, options.json)


def distinct_names(paths: Sequence[pathlib.Path]) -> list[str]:
    """Names of files without extension, but with it where they differ in nothing else."""
    stems = collections.Counter(path.stem for path in paths)
    return [path.stem if stems[path.stem] == 1 else path.name for path in paths]


def segment_each(images: Sequence[tuple], preset: str | None, output: pathlib.Path, as_json: bool) -> int:
    """Writes a picture and the segments of each image. One that fails does not keep the others from it.

    Args:
        images: sequence of pairs of a name and an image, as a path or array.
        preset: str or `None`. Name or folder; the built-in one for photographs when `None`.
        output: path of the folder for `<name>_panoptic.png` and `<name>.json`.
        as_json: bool. Print one JSON object for all instead of a line for each.

    Returns:
        1 when an image failed, else 0.
    """
    from keras_deeplab.progress import progress_bar

    model = load_model(preset)
    output.mkdir(parents=True, exist_ok=True)
    done, failed = [], []
    for name, image in progress_bar(images, description="Segmenting"):
        try:
            result = model.segment(image)
        except (ValueError, OSError) as error:
            failed.append({"name": name, "error": str(error)})
            continue
        result.name = name
        picture = output / f"{name}_panoptic.png"
        result.save(picture)
        result.save_json(output / f"{name}.json")
        done.append({**result.to_dict(), "picture": str(picture)})
        if not as_json:
            print(f"{picture}: {_describe(result.segments)}")
    for failure in failed:
        print(f"error: {failure['error']}", file=sys.stderr)
    if failed and len(images) > 1:
        print(f"{len(failed)} of {len(images)} images failed.", file=sys.stderr)
    if as_json:
        print_json({"results": done, "failed": failed})
    return 1 if failed else 0


def _describe(segments):
    counts = collections.Counter(segment["class"] for segment in segments)
    named = [name if number == 1 else f"{number} x {name}" for name, number in counts.items()]
    return ", ".join(named) or "nothing found"
