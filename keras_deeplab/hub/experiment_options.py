"""From DeepLab2's ExperimentOptions to the model that they describe."""

from __future__ import annotations

import inspect
import os

from keras_deeplab.hub import textproto
from keras_deeplab.hub.backbone_options import backbone_arguments, known_backbone
from keras_deeplab.hub.decoder_options import (
    atrous_rates,
    deeplab_v3_arguments,
    deeplab_v3_plus_arguments,
    panoptic_deeplab_arguments,
)
from keras_deeplab.hub.option_schema import Options, raise_problems, read_options, require
from keras_deeplab.hub.preset_table import PresetEntry
from keras_deeplab.labels import LABEL_SPACES, LabelSpace
from keras_deeplab.models import DeepLabV3, DeepLabV3Plus, PanopticDeepLab

# The message of a model -> its class and what reads its arguments; a class's name where there is none yet.
_MODELS = {
    "deeplab_v3": (DeepLabV3, deeplab_v3_arguments),
    "deeplab_v3_plus": (DeepLabV3Plus, deeplab_v3_plus_arguments),
    "panoptic_deeplab": (PanopticDeepLab, panoptic_deeplab_arguments),
    "motion_deeplab": "MotionDeepLab",
    "vip_deeplab": "ViPDeepLab",
    "max_deeplab": "MaXDeepLab",
}
# DeepLab2's datasets, where our label spaces have other names.
_LABEL_SPACES = {
    "cityscapes_panoptic": "cityscapes",
    "wod_pvps_image_panoptic_seg": "waymo",
    "wod_pvps_image_panoptic_seg_multicam": "waymo",
    "wod_pvps_depth_video_panoptic_seg": "waymo",
    "wod_pvps_depth_video_panoptic_seg_multicam": "waymo",
}
_POSTPROCESSOR = {
    "center_threshold": "center_score_threshold",
    "nms_kernel": "nms_kernel",
    "top_k": "keep_k_centers",
    "stuff_area_limit": "stuff_area_limit",
}


def load(path: str | os.PathLike, allow_unknown: bool = False) -> Options:
    """Reads a DeepLab2 configuration file.

    Args:
        path: path of an ExperimentOptions text file.
        allow_unknown: bool. Leave fields that DeepLab2 does not have out instead of refusing them.

    Returns:
        `Options`: all fields, those of training too, with DeepLab2's defaults where the file is silent.

    Raises:
        ValueError: if the file cannot be read, is malformed, or has unknown fields; the message has the
            lines of all of them.

    Example:
    ```python
    options = load("resnet50_os32.textproto")
    options["trainer_options"]["solver_options"]["base_learning_rate"]  # 0.00025
    ```
    """
    return read_options(textproto.load(path), str(path), allow_unknown)


def model_entry(
    options: Options, name: str, label_space: LabelSpace | dict | str | None = None
) -> PresetEntry:
    """The preset that a configuration describes.

    Args:
        options: what `load` gives.
        name: str. Name of the preset.
        label_space: `LabelSpace`, its dict, or the name of a built-in one; that of the configuration's
            dataset when `None`.

    Returns:
        `PresetEntry`; `preset_table.build_model(entry)` makes the model.

    Raises:
        ValueError: if the model is planned, the dataset's classes are unknown, or the configuration asks for
            what no model here can do. The message has the lines of all of it.

    Example:
    ```python
    model = build_model(model_entry(load("resnet50_os32.textproto"), "mine"))
    ```
    """
    problems = []
    family = _family(options)
    model_class, read_arguments = _MODELS[family]
    model = options["model_options"]
    known = known_backbone(model["backbone"])
    if known.model:
        _raise_planned(model["backbone"], "name", model["backbone"]["name"], known.model)
    arguments = read_arguments(model, problems)
    arguments["atrous_rates"] = atrous_rates(model, known.attends, problems)
    arguments["train_crop_size"] = _crop_size(options["train_dataset_options"], problems)
    image_size = _crop_size(options["eval_dataset_options"], problems) or arguments["train_crop_size"]
    if known.attends and image_size is None:
        message = (
            f"{known.variant} needs to know the size of the image. eval_dataset_options has no crop_size."
        )
        problems.append((model["backbone"].line_of("name"), message))
    backbone = backbone_arguments(options, problems)
    space = _label_space(options, model[family], label_space, problems)
    raise_problems(options.source, problems)
    settings = {ours: options["evaluator_options"][theirs] for ours, theirs in _POSTPROCESSOR.items()}
    return PresetEntry(
        name=name,
        family=family,
        model=model_class.__name__,
        variant=known.variant,
        dataset=space.name,
        label_space=space.name if space == LABEL_SPACES.get(space.name) else space.to_dict(),
        image_size=image_size,
        output_stride=model["backbone"]["output_stride"],
        backbone=backbone,
        arguments=_without_defaults(model_class, arguments),
        postprocessor=settings if arguments.get("instance_branch") else {},
    )


def _family(options):
    """Name of the one message that says which model it is."""
    model = options["model_options"]
    families = [name for name in _MODELS if name in model.lines]
    if len(families) != 1:
        problem = (
            f"model_options must hold one of {', '.join(_MODELS)}. Found: {' and '.join(families) or 'none'}."
        )
        raise_problems(options.source, [(model.line, problem)])
    family = families[0]
    if isinstance(_MODELS[family], str):
        _raise_planned(model, family, family, known_backbone(model["backbone"]).model or _MODELS[family])
    return family


def _raise_planned(options, field, what, model_name):
    problem = f"{what} is planned: this version has no {model_name} yet."
    raise_problems(options.source, [(options.line_of(field), problem)])


def _crop_size(dataset, problems):
    size = tuple(dataset["crop_size"])
    if len(size) not in (0, 2) or any(side < 1 for side in size):
        message = f"crop_size must be a height and a width. Found: {list(size)}."
        problems.append((dataset.line_of("crop_size"), message))
    return size or None


def _label_space(options, family, label_space, problems):
    """The label space, checked against the number of classes; `None` with a problem when it is unknown."""
    datasets = [options[f"{part}_dataset_options"] for part in ("train", "eval")]
    dataset = next((dataset for dataset in datasets if dataset["dataset"]), datasets[0])
    if label_space is None:
        label_space = _LABEL_SPACES.get(dataset["dataset"], dataset["dataset"])
        if label_space not in LABEL_SPACES:
            message = (
                f"the classes of the dataset {label_space!r} are not known here. Name them with a label "
                f"space (`--label-space` of the command). Built-in ones: {', '.join(LABEL_SPACES)}."
            )
            problems.append((dataset.line_of("dataset"), message))
            return None
    space = LabelSpace.create(label_space)
    head, field = (
        (family, "num_classes") if "num_classes" in family else (family["semantic_head"], "output_channels")
    )
    require(problems, head, field, space.num_classes, f"the classes of the label space {space.name!r}")
    return space


def _without_defaults(model_class, arguments):
    parameters = inspect.signature(model_class).parameters
    return {name: value for name, value in arguments.items() if value != parameters[name].default}
