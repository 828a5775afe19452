"""A tiny run for tests, in this process or in one that kills itself: `python -m tests.training.tiny_runs`."""

import os
import signal
import sys

import keras
import numpy as np

from keras_deeplab import DeepLabV3, LabelSpace
from keras_deeplab.backbones.resnet import ResNetBackbone
from keras_deeplab.data import ArrayReader, Pipeline, semantic_targets
from keras_deeplab.training import train

SPACE = LabelSpace("tiny", classes=("ground", "ball"), things=(1,), label_divisor=100)
STEPS = 8
WINDOW = 3


def balls(count=5):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 40, 70, 3), np.uint8)
    maps = np.zeros((count, 40, 70), np.int32)
    for number, panoptic in enumerate(maps):
        panoptic[10:20, 10 + 5 * number : 30 + 5 * number] = 101
        images[number, panoptic > 0] //= 3
    return ArrayReader(images, maps, SPACE)


def make_pipeline(**options):
    options = {"image_size": (33, 65), "batch_size": 2, "seed": 5, "targets": semantic_targets, **options}
    return Pipeline(balls(), **options)


def make_network(seed, **options):
    """A network with drop path, and an optimizer with everything that it may remember."""
    keras.utils.set_random_seed(seed)
    backbone = ResNetBackbone(
        blocks=(0, 1, 1, 1, 1), block_types=("basic",) * 5, image_shape=(33, 65, 3),
        stem_width_multiplier=1 / 16, drop_path_rate=0.5, drop_path_from_stride=4, batch_norm_momentum=0.9,
        **{"width_multiplier": 1 / 16, **options},
    )  # fmt: skip
    model = DeepLabV3(backbone, SPACE, aspp_filters=8, filters=8)
    rate = keras.optimizers.schedules.PolynomialDecay(0.01, STEPS, 0.0)
    optimizer = keras.optimizers.Adam(rate, use_ema=True, ema_momentum=0.5, gradient_accumulation_steps=2)
    # Compiling for TensorFlow takes far longer than a few steps without it; JAX needs it.
    model.compile(optimizer, jit_compile=keras.backend.backend() == "jax")
    return model


def make_linear(optimizer=None):
    """A model of two kernels, which compiles in no time."""
    keras.utils.set_random_seed(0)
    images = keras.Input((33, 65, 3))
    hidden = keras.layers.Dropout(0.5, name="drop")(keras.layers.Conv2D(4, 1, name="hidden")(images))
    model = keras.Model(images, {"semantic": keras.layers.Conv2D(2, 1, name="logits")(hidden)})
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
    model.compile(optimizer or keras.optimizers.Adam(0.01), loss={"semantic": loss})
    return model


def linear_pipeline(**options):
    return make_pipeline(targets=semantic_only, **options)


def semantic_only(sample, label_space, rng):
    return {"semantic": semantic_targets(sample, label_space, rng)["semantic"]}


def weights_of(model):
    return [keras.ops.convert_to_numpy(variable) for variable in model.weights]


class KillAt(keras.callbacks.Callback):
    """Ends the process without any notice in a step of an epoch."""

    def __init__(self, epoch, batch):
        super().__init__()
        self.place = (epoch, batch)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.place:
            os.kill(os.getpid(), signal.SIGKILL)


class KillWhileWriting(keras.callbacks.Callback):
    """Ends the process when a checkpoint is complete, but has not got its name yet."""

    def on_train_begin(self, logs=None):
        replace = os.replace

        def kill(source, target):
            if str(target).endswith(".npz"):
                os.kill(os.getpid(), signal.SIGKILL)
            replace(source, target)

        os.replace = kill


def run(folder, seed, callbacks=(), **options):
    model = make_network(seed)
    options = {"log_every": WINDOW, "checkpoint_minutes": 0, "callbacks": callbacks, **options}
    history = train(model, make_pipeline(), STEPS, folder, verbose=False, **options)
    return model, history.history


def main(folder, place):
    if place == "while writing":
        run(folder, seed=2, callbacks=[KillWhileWriting()])
    else:
        run(folder, seed=0, callbacks=[KillAt(1, 1)])


if __name__ == "__main__":
    main(*sys.argv[1:])
