"""Trains Panoptic-DeepLab from scratch on a few Cityscapes frames until it has learned them.

    python tools/first_run.py CITYSCAPES_FOLDER --output runs/first_run

An end-to-end check on real data: reader, pipeline, `fit`, presets, prediction and evaluation. It writes a
preset, the loss curve (CSV), the predictions in Cityscapes' official formats and the metrics as our own
code counts them. The network sees the very frames that it is evaluated on: the figures say that everything
works together, nothing about other images.
"""

import argparse
import json
import pathlib

import keras

import keras_deeplab as kd
from keras_deeplab.data.transforms import ResizeToFit
from keras_deeplab.postprocessing.panoptic import PanopticPostprocessor


def build_model(image_size, output_stride):
    """MobileNetV3-Small with narrow decoders; the stuff limit is 2048 pixels at 1025x2049, scaled down."""
    backbone = kd.MobileNetV3Backbone.from_variant(
        "mobilenet_v3_small", output_stride=output_stride, image_shape=(*image_size, 3)
    )
    space = kd.CITYSCAPES
    pixels = image_size[0] * image_size[1] / (1025 * 2049)
    postprocessor = PanopticPostprocessor(
        space.things,
        space.label_divisor,
        space.ignore_label,
        nms_kernel=7,
        stuff_area_limit=int(2048 * pixels),
    )
    return kd.PanopticDeepLab(
        backbone, space, aspp_filters=128, semantic_filters=128, postprocessor=postprocessor
    )


def train(model, reader, arguments):
    """Whole frames, shrunk to the network's size, in random order; polynomial decay after a warm-up."""
    pipeline = kd.data.Pipeline(
        reader,
        arguments.image_size,
        batch_size=arguments.batch_size,
        transform=ResizeToFit(arguments.image_size, kd.CITYSCAPES.void),
        seed=arguments.seed,
        cache=True,
    )
    schedule = keras.optimizers.schedules.PolynomialDecay(
        arguments.learning_rate, arguments.steps, end_learning_rate=1e-6, power=0.9
    )
    model.compile(optimizer=keras.optimizers.Adam(schedule, clipnorm=10.0))
    epochs = 20
    return model.fit(
        pipeline,
        epochs=epochs,
        steps_per_epoch=arguments.steps // epochs,
        callbacks=[
            keras.callbacks.CSVLogger(arguments.output / "losses.csv"),
            keras.callbacks.ModelCheckpoint(arguments.output / "last.weights.h5", save_weights_only=True),
        ],
        verbose=2,
    )


def size(text):
    """`257x513` -> (257, 513)."""
    height, width = text.split("x")
    return int(height), int(width)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path, help="Cityscapes folder with leftImg8bit/ and gtFine/")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("runs/first_run"))
    parser.add_argument("--split", default="train")
    parser.add_argument("--image-size", type=size, default=(257, 513))
    parser.add_argument("--output-stride", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--steps", type=int, default=1800)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)

    keras.utils.set_random_seed(arguments.seed)
    reader = kd.data.Cityscapes(arguments.data, split=arguments.split)
    model = build_model(arguments.image_size, arguments.output_stride)
    train(model, reader, arguments)
    model.save_to_preset(arguments.output / "preset")

    model = kd.PanopticDeepLab.from_preset(arguments.output / "preset")
    metrics = kd.evaluate(
        model, reader, convention="official", save_to=arguments.output / "predictions", progress=False
    )
    numbers = {key: value for key, value in metrics.items() if key != "per_class"}
    (arguments.output / "metrics.json").write_text(json.dumps(numbers, indent=2) + "\n")
    print(json.dumps(numbers, indent=2))


if __name__ == "__main__":
    main()
