"""Trains segmentation_models.pytorch's DeepLabV3+ from scratch on CamVid, to set beside `street_camvid`.

    PYTHONPATH=build/peers python tools/benchmarks/camvid.py --data /data/camvid --cpu-seconds 2857

The encoder is the same, MobileNetV3-Small without pretraining, and so are images, augmentation, crops,
batches and learning rate: those of `street_camvid` in `tools/embedded_presets.toml`. It stops after as many
seconds of processor time as are given; training `street_camvid` from `street_synthetic` took 2857. Prints the
mean IoU on the split val, at the images' own size.

Freed memory is kept, which gives smp half as many steps again in the same time.
"""

import argparse
import os
import pathlib
import resource
import sys
import tomllib

import numpy as np
import torch
from measurement import KEEP_MEMORY
from networks import smp_model

import keras_deeplab as kd
from keras_deeplab.data.pipeline import Pipeline
from keras_deeplab.metrics.iou import MeanIoU

ENCODER = "tu-mobilenetv3_small_100"
SETTINGS = tomllib.loads(
    pathlib.Path(__file__).parents[1].joinpath("embedded_presets.toml").read_text("utf-8")
)
DIVISOR = 16  # of the sides that the network takes


def processor_seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def train(model, reader, recipe, cpu_seconds, seed):
    """Trains until the time is up; returns the steps. The learning rate falls with the time used."""
    pipeline = Pipeline(reader, seed=seed, **recipe.pipeline_arguments())
    optimizer = torch.optim.Adam(model.parameters(), recipe.learning_rate)
    model.train()
    start, steps = processor_seconds(), 0
    for images, targets in pipeline.dataset:
        used = (processor_seconds() - start) / cpu_seconds
        if used >= 1:
            return steps
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * (1 - used) ** 0.9
        logits = model(torch.from_numpy(images).permute(0, 3, 1, 2))
        labels = torch.from_numpy(targets["semantic"]).long()
        loss = torch.nn.functional.cross_entropy(logits, labels, ignore_index=255)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clipnorm)
        optimizer.step()
        steps += 1
        if steps % 100 == 0:
            print(f"{steps} steps, {100 * used:.0f} % of the time, loss {loss.item():.3f}", flush=True)
    return steps


def mean_iou(model, reader):
    """Mean IoU at the images' own size, padded at the bottom and on the right for the network."""
    metric = MeanIoU(reader.label_space)
    model.eval()
    with torch.no_grad():
        for sample in reader:
            image = torch.from_numpy(sample["image"] / np.float32(127.5) - 1).permute(2, 0, 1)[None]
            height, width = image.shape[2:]
            image = torch.nn.functional.pad(image, (0, -width % DIVISOR, 0, -height % DIVISOR))
            classes = model(image).argmax(1)[0, :height, :width].numpy()
            metric.update(sample["panoptic"] // reader.label_space.label_divisor, classes)
    return metric.result()["miou"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of CamVid")
    parser.add_argument("--cpu-seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if not KEEP_MEMORY.items() <= os.environ.items():  # the allocator reads them when a program starts
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **KEEP_MEMORY})

    torch.manual_seed(arguments.seed)
    # Sides of its crops are multiples of 16 where ours are that plus 1.
    stage = SETTINGS["street_camvid"]["stages"][0]
    size = tuple(side - side % DIVISOR for side in stage["image_size"])
    recipe = kd.Recipe(name="camvid", **{**stage, "image_size": size})
    train_reader, val_reader = (kd.data.CamVid(arguments.data, split) for split in ("train", "val"))
    model = smp_model(ENCODER, classes=train_reader.label_space.num_classes)
    steps = train(model, train_reader, recipe, arguments.cpu_seconds, arguments.seed)
    miou = mean_iou(model, val_reader)
    print(f"{steps} steps of {recipe.batch_size} images of {size[0]}x{size[1]}: mean IoU {100 * miou:.1f}")


if __name__ == "__main__":
    main()
