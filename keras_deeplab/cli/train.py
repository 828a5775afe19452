"""Train a model and save it as a preset."""

from __future__ import annotations

import argparse
import math
import pathlib

from keras_deeplab.cli import arguments

EXAMPLES = (
    "--data /data/cityscapes --output my_preset --image-size 513x1025 --steps 60000",
    "--data /data/cityscapes --output my_preset --recipe resnet50_cityscapes",
    "--data /data/cityscapes --output tuned --preset my_preset --recipe small_data --learning-rate 5e-5",
    "--data synthetic --output first_steps --steps 20 --batch-size 2",
    "--data /data/cityscapes --output my_preset --recipe street --set gradient_accumulation_steps=4",
    "--data /data/cityscapes --output my_preset --validate-every 5000 --log-pictures 1000",
)
_STEPS_PER_WINDOW = 50
_DEFAULT_RECIPE, _DEFAULT_VARIANT = "trial", "mobilenet_v3_small"


def add_arguments(command: argparse.ArgumentParser):
    def option(name, explanation="", **kwargs):
        command.add_argument(name, help=f"{explanation} (default: %(default)s)".strip(), **kwargs)

    arguments.add_data(command)
    command.add_argument(
        "--output", metavar="DIR", type=pathlib.Path, required=True, help="the preset folder to write"
    )
    option(
        "--recipe",
        "the settings to train with: resnet50_cityscapes and so on as published, small_data, street, trial; "
        '`python -c "import keras_deeplab; print(*keras_deeplab.Recipe.names())"` lists all of them',
        metavar="NAME",
        default=_DEFAULT_RECIPE,
    )
    network = command.add_mutually_exclusive_group()
    network.add_argument("--preset", help="start from this preset instead of a new network")
    network.add_argument(
        "--variant",
        help="backbone of a new network (default: the network of the preset that has the recipe's name, else "
        f"{_DEFAULT_VARIANT})",
    )
    command.add_argument(
        "--output-stride", type=int, choices=(8, 16, 32), help="(default: that of the preset, else 32)"
    )
    _add_changes(command)
    option("--seed", "of weights and data", type=arguments.seed, metavar="N", default=0)
    command.add_argument(
        "--resume",
        action="store_true",
        help="go on in an --output that already holds a preset; an unfinished run goes on without it",
    )
    option("--checkpoint-minutes", type=arguments.positive, metavar="X", default=10.0)
    every = {"type": arguments.count, "metavar": "STEPS"}
    command.add_argument("--validate-every", help="evaluate on the split val", **every)
    command.add_argument("--log-pictures", help="save pictures of predictions for the split val", **every)
    command.add_argument("--tensorboard", action="store_true", help="also log for TensorBoard")


def _add_changes(command):
    """Options in place of fields of the recipe. They all become `(field, value)` in `changes`."""
    changes = command.add_argument_group("in place of what the recipe says")
    shared = {"dest": "changes", "action": "append", "default": []}
    for field, kind, metavar, explanation in (
        ("image_size", arguments.image_size, "HxW", "size of the crops"),
        ("steps", arguments.count, "N", "updates of the weights"),
        ("batch_size", arguments.count, "N", "images of a step"),
        ("learning_rate", arguments.positive, "X", "where the decay to 0 starts"),
    ):
        changes.add_argument(
            f"--{field.replace('_', '-')}",
            type=lambda text, field=field, kind=kind: (field, kind(text)),
            metavar=metavar,
            help=explanation,
            **shared,
        )
    changes.add_argument(
        "--set",
        type=arguments.setting,
        metavar="FIELD=VALUE",
        help="any field, e.g. warmup_steps=500, autoaugment=none or scales=0.8,1.2,0.1; may be repeated",
        **shared,
    )


def run(options: argparse.Namespace) -> int:
    _check_output(options)
    recipe = _load_recipe(options)
    reader = arguments.open_dataset(options.data, "train")
    watches = options.validate_every or options.log_pictures
    validation = arguments.open_dataset(options.data, "val") if watches else None

    import keras

    import keras_deeplab
    from keras_deeplab.data.pipeline import Pipeline

    keras.utils.set_random_seed(options.seed)
    pipeline = Pipeline(reader, seed=options.seed, **recipe.pipeline_arguments())
    callbacks = _build_callbacks(options, validation, recipe.gradient_accumulation_steps)
    model = _build_model(options, recipe, reader.label_space)
    model.compile(**recipe.compile_arguments())
    keras_deeplab.train(
        model,
        pipeline,
        recipe.num_batches,
        options.output,
        callbacks,
        checkpoint_minutes=options.checkpoint_minutes,
        log_every=_STEPS_PER_WINDOW,
    )
    _save(model, options.output)
    print(f"{options.output}: the preset, and its losses in losses.csv")
    return 0


def _check_output(options):
    folder = options.output
    if not (folder / "config.json").exists():
        return
    if not options.resume:
        raise ValueError(
            f"{str(folder)!r} already holds a preset. Choose another --output, or --resume its run."
        )
    if not any((folder / "checkpoints").glob("step_*.npz")):
        raise ValueError(
            f"{str(folder)!r} holds a preset, but no checkpoints to --resume from. Choose another --output; "
            "--preset starts from a preset."
        )


def _load_recipe(options):
    from keras_deeplab.training.recipes import Recipe

    fields = [field for field, _ in options.changes]
    for field in fields:
        if fields.count(field) > 1:
            raise ValueError(f"The recipe's `{field}` is given twice. Leave out one of the options.")
    return Recipe.load(options.recipe, **dict(options.changes))


def _build_callbacks(options, validation, batches_per_step):
    """What watches the run besides its own log. Intervals are whole windows of batches."""
    from keras_deeplab.evaluation.callback import PanopticEvaluation
    from keras_deeplab.training.callbacks import PictureLog, TensorBoardLog

    def windows(steps):
        return math.ceil(steps * batches_per_step / _STEPS_PER_WINDOW)

    callbacks = []
    if options.validate_every:
        callbacks.append(PanopticEvaluation(validation, every=windows(options.validate_every)))
    if options.log_pictures:
        folder = options.output / "pictures"
        callbacks.append(PictureLog(validation, folder, every=windows(options.log_pictures)))
    if options.tensorboard:
        callbacks.append(TensorBoardLog(options.output / "tensorboard"))
    return callbacks


def _build_model(options, recipe, label_space):
    """The preset's model; else a new one: that of the preset that the recipe trained, or of a variant."""
    import keras_deeplab
    from keras_deeplab.backbones.backbone import Backbone
    from keras_deeplab.hub import preset_table

    changes = {"image_shape": (*recipe.image_size, 3)}
    if options.output_stride:
        changes["output_stride"] = options.output_stride
    entry = preset_table.preset_entries().get(recipe.name)
    variant = options.variant or _DEFAULT_VARIANT
    if options.preset:
        network, model = f"preset {options.preset}", arguments.load_model(options.preset, **changes)
    elif entry and not options.variant:
        network = f"that of the preset {entry.name}, with new weights"
        model = preset_table.build_model(entry, label_space=label_space, **changes)
    else:
        network = f"{variant}, with new weights"
        backbone = Backbone.from_variant(variant, **{"output_stride": 32, **changes})
        # `compile` refuses a recipe for a class that there is not.
        build = getattr(keras_deeplab, str(recipe.model), keras_deeplab.PanopticDeepLab)
        model = build(backbone, label_space=label_space)
    print(f"{'recipe':<12}{recipe.name}\n{'network':<12}{network}")
    return model


def _save(model, folder):
    try:
        model.save_to_preset(folder)
    except OSError as error:
        raise OSError(
            error.errno,
            f"{error.strerror or error}. The training is finished, and its last checkpoint is in "
            f"{str(folder / 'checkpoints')!r}: the same command again writes the preset.",
        ) from error
