"""The presets that there are: one table per published checkpoint, in `presets/*.toml`."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import pathlib
import tomllib

import keras

import keras_deeplab.models.panoptic_deeplab  # noqa: F401 - registers the class
from keras_deeplab.backbones.backbone import Backbone
from keras_deeplab.labels import LabelSpace
from keras_deeplab.postprocessing.panoptic import PanopticPostprocessor


@dataclasses.dataclass(frozen=True)
class PresetEntry:
    """What a preset's table says.

    Attributes:
        name: str.
        family: str. The file of the table, e.g. `"panoptic_deeplab"`; `"imagenet"` for backbones.
        model: str. Class of the model; `"Backbone"` for a backbone alone.
        variant: str. Backbone, a name of `backbones/variants.toml`.
        dataset: str. What it was trained on.
        archive: str. File name of DeepLab2's archive.
        label_space: str. Built-in label space; `None` for backbones.
        image_size: `(height, width)` of the published evaluation; `None` for any.
        output_stride: int, or `None` for the variant's own.
        backbone: dict of further arguments of the backbone.
        arguments: dict of further arguments of the model.
        postprocessor: dict of arguments of its postprocessor.
        metrics: tuple of dicts with `"metric"`, `"value"` (percent) and `"evaluator"`.
        paper: str. arXiv number.
    """

    name: str
    family: str
    model: str
    variant: str
    dataset: str
    archive: str | None = None
    label_space: str | None = None
    image_size: tuple[int, int] | None = None
    output_stride: int | None = None
    backbone: dict = dataclasses.field(default_factory=dict)
    arguments: dict = dataclasses.field(default_factory=dict)
    postprocessor: dict = dataclasses.field(default_factory=dict)
    metrics: tuple[dict, ...] = ()
    paper: str | None = None

    @property
    def status(self) -> str:
        """`"available"`, or `"planned"` while the package lacks the model's class or its backbone."""
        return "available" if _model_class(self.model) is not None else "planned"


def find_entry(name: str) -> PresetEntry:
    """The entry of a preset's name or alias.

    Raises:
        ValueError: for an unknown name; the message lists similar ones.
    """
    entries, aliases = _read_tables()
    name = aliases.get(name, name)
    if name not in entries:
        similar = difflib.get_close_matches(name, [*entries, *aliases]) or sorted(entries)[:3]
        raise ValueError(f"Unknown preset {name!r}. Similar presets: {', '.join(similar)}.")
    return entries[name]


def build_model(entry: PresetEntry, **overrides) -> keras.Model:
    """The model of an entry, with fresh weights.

    Args:
        entry: `PresetEntry`.
        **overrides: constructor arguments to replace; `image_shape` and `output_stride` reach the backbone.

    Raises:
        ValueError: when the entry is planned.
    """
    if entry.status == "planned":
        raise ValueError(f"The preset {entry.name!r} is planned: this version has no {entry.model} yet.")
    image_shape = (*entry.image_size, 3) if entry.image_size else (None, None, 3)
    options = {"image_shape": overrides.pop("image_shape", image_shape), **entry.backbone}
    output_stride = overrides.pop("output_stride", entry.output_stride)
    if output_stride is not None:
        options["output_stride"] = output_stride
    if "dtype" in overrides:
        options["dtype"] = overrides["dtype"]
    backbone = Backbone.from_variant(entry.variant, **options)
    model = _model_class(entry.model)
    if model is Backbone:
        return backbone
    label_space = LabelSpace.create(overrides.pop("label_space", entry.label_space))
    postprocessor = PanopticPostprocessor.from_label_space(label_space, **entry.postprocessor)
    arguments = {"postprocessor": postprocessor, **entry.arguments, **overrides}
    return model(backbone, label_space, **arguments)


def _model_class(name):
    """The class of a name, `None` where the package has none yet."""
    if name == "Backbone":
        return Backbone
    return keras.saving.get_registered_object(f"keras_deeplab>{name}")


def _folder():
    package = pathlib.Path(__file__).parents[1]
    # Installed from a wheel they lie inside the package, in a checkout beside it.
    folders = (package / "presets", package.parent / "presets")
    return next((folder for folder in folders if folder.is_dir()), folders[0])


@functools.cache
def _read_tables():
    entries, aliases = {}, {}
    for path in sorted(_folder().glob("*.toml")):
        tables = tomllib.loads(path.read_text("utf-8"))
        aliases |= tables.pop("aliases", {})
        for name, table in tables.items():
            entries[name] = PresetEntry(name=name, family=path.stem, **table)
    return entries, aliases
