"""Train Panoptic-DeepLab and save it as a preset."""

from __future__ import annotations

import argparse
import math
import pathlib

from keras_deeplab.cli import arguments

EXAMPLES = (
    "--data /data/cityscapes --output my_preset --image-size 513x1025 --steps 60000",
    "--data /data/cityscapes --output tuned --preset my_preset --learning-rate 5e-5",
    "--data synthetic --output trial --steps 20 --batch-size 2",
    "--data /data/cityscapes --output my_preset --validate-every 5000 --log-pictures 1000",
)
_STEPS_PER_WINDOW = 50


def add_arguments(command: argparse.ArgumentParser):
    def option(name, explanation="", **kwargs):
        command.add_argument(name, help=f"{explanation} (default: %(default)s)".strip(), **kwargs)

    arguments.add_data(command)
    command.add_argument(
        "--output", metavar="DIR", type=pathlib.Path, required=True, help="the preset folder to write"
    )
    command.add_argument("--preset", help="start from this preset instead of a new network")
    option("--variant", "backbone of a new network", default="mobilenet_v3_small")
    command.add_argument(
        "--output-stride", type=int, choices=(8, 16, 32), help="(default: 32, or that of the preset)"
    )
    option("--image-size", type=arguments.image_size, metavar="HxW", default="257x513")
    option("--steps", type=arguments.count, metavar="N", default=1000)
    option("--batch-size", type=arguments.count, metavar="N", default=8)
    option(
        "--learning-rate", "at the start; falls to 0", type=arguments.positive, metavar="X", default=2.5e-4
    )
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


def run(options: argparse.Namespace) -> int:
    if (options.output / "config.json").exists() and not options.resume:
        raise ValueError(
            f"{str(options.output)!r} already holds a preset. Choose another --output, or --resume its run."
        )
    reader = arguments.open_dataset(options.data, "train")
    watches = options.validate_every or options.log_pictures
    validation = arguments.open_dataset(options.data, "val") if watches else None

    import keras

    import keras_deeplab
    from keras_deeplab.data.pipeline import Pipeline

    keras.utils.set_random_seed(options.seed)
    pipeline = Pipeline(reader, options.image_size, options.batch_size, seed=options.seed)
    callbacks = _build_callbacks(options, validation)
    model = _build_model(options, reader.label_space)
    schedule = keras.optimizers.schedules.PolynomialDecay(
        options.learning_rate, options.steps, 0.0, power=0.9
    )
    model.compile(optimizer=keras.optimizers.Adam(schedule))
    keras_deeplab.train(
        model,
        pipeline,
        options.steps,
        options.output,
        callbacks,
        checkpoint_minutes=options.checkpoint_minutes,
        log_every=_STEPS_PER_WINDOW,
    )
    model.save_to_preset(options.output)
    print(f"{options.output}: the preset, and its losses in losses.csv")
    return 0


def _build_callbacks(options, validation):
    """What watches the run besides its own log. Intervals are whole windows of steps."""
    from keras_deeplab.evaluation.callback import PanopticEvaluation
    from keras_deeplab.training.callbacks import PictureLog, TensorBoardLog

    callbacks = []
    if options.validate_every:
        callbacks.append(PanopticEvaluation(validation, every=_windows(options.validate_every)))
    if options.log_pictures:
        folder = options.output / "pictures"
        callbacks.append(PictureLog(validation, folder, every=_windows(options.log_pictures)))
    if options.tensorboard:
        callbacks.append(TensorBoardLog(options.output / "tensorboard"))
    return callbacks


def _windows(steps):
    return math.ceil(steps / _STEPS_PER_WINDOW)


def _build_model(options, label_space):
    shape = {"image_shape": (*options.image_size, 3)}
    if options.preset:
        stride = {"output_stride": options.output_stride} if options.output_stride else {}
        model = arguments.load_model(options.preset, **shape, **stride)
        if model.label_space != label_space:
            raise ValueError(
                f"The preset has the labels {model.label_space.name!r}, the data {label_space.name!r}."
            )
        return model
    import keras_deeplab
    from keras_deeplab.backbones.backbone import Backbone

    backbone = Backbone.from_variant(options.variant, output_stride=options.output_stride or 32, **shape)
    return keras_deeplab.PanopticDeepLab(backbone, label_space=label_space)
