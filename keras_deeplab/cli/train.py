"""Train Panoptic-DeepLab and save it as a preset."""

from __future__ import annotations

import argparse
import csv
import math
import pathlib
import sys

from keras_deeplab.cli import arguments

EXAMPLES = (
    "--data /data/cityscapes --output my_preset --image-size 513x1025 --steps 60000",
    "--data /data/cityscapes --output tuned --preset my_preset --learning-rate 5e-5",
    "--data synthetic --output trial --steps 20 --batch-size 2",
)
LOSS_FILE = "losses.csv"
_STEPS_PER_ROW = 50


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


def run(options: argparse.Namespace) -> int:
    if (options.output / "config.json").exists():
        raise ValueError(f"{str(options.output)!r} already holds a preset. Choose another --output.")
    reader = arguments.open_dataset(options.data, "train")
    options.output.mkdir(parents=True, exist_ok=True)

    import keras

    from keras_deeplab.data.pipeline import Pipeline

    keras.utils.set_random_seed(options.seed)
    model = _build_model(options, reader.label_space)
    pipeline = Pipeline(reader, options.image_size, options.batch_size, seed=options.seed)
    schedule = keras.optimizers.schedules.PolynomialDecay(
        options.learning_rate, options.steps, 0.0, power=0.9
    )
    model.compile(optimizer=keras.optimizers.Adam(schedule))
    height, width = options.image_size
    print(
        f"{type(model).__name__} with {model.count_params():,} parameters on {keras.backend.backend()}: "
        f"{len(reader)} images, {options.steps} steps of {options.batch_size} at {height}x{width}",
        flush=True,
    )
    _fit(model, pipeline, options.steps, options.output / LOSS_FILE)
    model.save_to_preset(options.output)
    print(f"{options.output}: the preset, and its losses in {LOSS_FILE}")
    return 0


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


def _fit(model, pipeline, steps, loss_path):
    """Trains for a number of steps with a progress bar, and writes the mean losses of every 50 of them."""
    import keras
    from rich.console import Console
    from rich.progress import Progress

    bar = Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True)
    task = bar.add_task("Training", total=steps)
    done = 0

    def count_step(batch, logs):
        nonlocal done
        done += 1
        bar.update(task, completed=done, description=f"Training, loss {logs['loss']:.3f}")
        if done == steps:
            model.stop_training = True

    def write_row(epoch, logs):
        if not math.isfinite(logs["loss"]):
            raise ValueError(f"The loss is {logs['loss']} after {done} steps. Try a lower --learning-rate.")
        writer = csv.DictWriter(file, ["step", *logs])
        if epoch == 0:
            writer.writeheader()
        writer.writerow({"step": done, **logs})
        file.flush()

    with open(loss_path, "w", newline="", encoding="utf-8") as file, bar:
        model.fit(
            pipeline,
            epochs=math.ceil(steps / _STEPS_PER_ROW),
            steps_per_epoch=min(steps, _STEPS_PER_ROW),
            callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=count_step, on_epoch_end=write_row)],
            verbose=0,
        )
