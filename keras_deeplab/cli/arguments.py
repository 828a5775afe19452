"""What the commands' arguments mean: types that explain a mistake, models and datasets by name."""

from __future__ import annotations

import argparse
import json
import math
import pathlib
from collections.abc import Sequence

SYNTHETIC = "synthetic"
# Built-in presets: for pictures of the real world, and for rendered streets.
PHOTO_PRESET = "street_camvid"
SCENE_PRESET = "street_synthetic"


def add_output(command: argparse.ArgumentParser):
    """`--output`, the folder for results."""
    folder = pathlib.Path("outputs")
    command.add_argument(
        "--output",
        metavar="DIR",
        type=pathlib.Path,
        default=folder,
        help="folder for results (default: outputs)",
    )


def add_json(command: argparse.ArgumentParser):
    """`--json`, for machines."""
    command.add_argument("--json", action="store_true", help="print JSON and nothing else to standard output")


def add_data(command: argparse.ArgumentParser):
    """`--data`, a labelled dataset."""
    explanation = f"the folder of a dataset (see docs/datasets.md), or {SYNTHETIC!r} for rendered streets"
    command.add_argument("--data", metavar="ROOT", required=True, help=explanation)


def image_size(text: str) -> tuple[int, int]:
    """`"513x1025"` -> (513, 1025)."""
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHTxWIDTH, e.g. 513x1025")
    return int(height), int(width)


def count(text: str) -> int:
    """A whole number above 0."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def seed(text: str) -> int:
    """A whole number, 0 or above."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def positive(text: str) -> float:
    """A number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def setting(text: str) -> tuple[str, str]:
    """`"learning_rate=1e-4"` -> ("learning_rate", "1e-4")."""
    field, equals, value = (part.strip() for part in text.partition("="))
    if not (field and equals and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not FIELD=VALUE, e.g. learning_rate=1e-4")
    return field, value


def load_model(preset: str | None, **overrides):
    """The model of a preset; of the built-in one for photographs when `None`."""
    import keras_deeplab

    return keras_deeplab.Segmenter.from_preset(preset or PHOTO_PRESET, **overrides)


def open_dataset(root: str, split: str, images: bool = True) -> Sequence[dict]:
    """The reader of a dataset's split, with or without its images."""
    if root == SYNTHETIC:
        from keras_deeplab.data.synthetic import StreetScenes

        scenes, number = {"train": (2000, 0), "val": (50, 1), "test": (200, 2)}[split]
        return StreetScenes(scenes, seed=number)
    from keras_deeplab.data import layouts

    return layouts.open_dataset(root, split, **({} if images else {"images": False}))


def open_predictions(path: str, split: str, label_space) -> Sequence[dict]:
    """The reader of predictions: a COCO panoptic JSON file, a folder with `panoptic.json`, or a dataset's."""
    from keras_deeplab.data import CocoPanoptic, layouts

    path = pathlib.Path(path)
    description = path if path.suffix == ".json" else path / "panoptic.json"
    if description.is_file():
        return CocoPanoptic(None, description, label_space=label_space)
    if not path.exists():
        raise ValueError(f"There are no predictions {str(path)!r}.")
    return layouts.open_dataset(path, split, images=False)


def print_json(value):
    """Prints plain values as JSON, with null for NaN."""
    print(json.dumps(plain_values(value), indent=2))


def plain_values(value):
    """The value with `None` for NaN, which JSON does not know."""
    if isinstance(value, dict):
        return {key: plain_values(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain_values(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
