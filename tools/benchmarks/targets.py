"""Times the data path on the processor, one thread: targets, crops and colours, from map and image to batch.

    python tools/benchmarks/targets.py --cityscapes /data/cityscapes    # real frames of the training split
    python tools/benchmarks/targets.py                                  # synthetic streets of the same size

Prints medians over frames and repetitions in milliseconds, as CPU time and, in brackets, wall time, and what
the slowest frame takes.

- targets: from one panoptic map (two for video) at the full crop of Cityscapes and at the common half.
- crop: the window of 513x1025 in an image of 1024x2048 that is scaled, images and maps apart; "drawn" is
  `RandomScaleCrop` over its own draws of scales from 0.5 to 2, image and map together.
- colours: one operation on 513x1025; "drawn" is `RandomScaleCrop` with `AutoAugment`. Operations that depend
  on the whole image make it compute the whole scaled image.
"""

import argparse
import functools
import statistics
import sys
import time

import cv2
from measurement import ROOT

FULL, HALF = (1025, 2049), (513, 1025)


def load_frames(folder, count):
    """Samples of 1024x2048."""
    from keras_deeplab.data import Cityscapes, StreetScenes

    reader = Cityscapes(folder) if folder else StreetScenes(count, image_size=(1024, 2048))
    return reader.label_space, [reader[i] for i in range(min(count, len(reader)))]


def report(name, function, arguments, runs):
    """Prints one row: the function is timed on each of the arguments."""
    cpu_times, wall_times = [], []
    for argument in arguments:
        function(argument)
        laps = [timed(function, argument) for _ in range(runs)]
        for times, lap in zip((cpu_times, wall_times), zip(*laps, strict=True), strict=True):
            times.append(statistics.median(lap))
    cpu, wall = statistics.median(cpu_times), statistics.median(wall_times)
    print(f"| {name:36} | {cpu:6.1f} ({wall:6.1f}) | {max(cpu_times):6.1f} |", flush=True)


def timed(function, argument):
    wall, cpu = time.perf_counter(), time.process_time()
    function(argument)
    return 1000 * (time.process_time() - cpu), 1000 * (time.perf_counter() - wall)


def report_targets(frames, label_space, runs):
    import numpy as np

    from keras_deeplab.data import (
        Window,
        mask_targets,
        motion_targets,
        panoptic_targets,
        semantic_targets,
        vip_targets,
    )

    views = {
        FULL: Window((1024, 2048), 0, 0, FULL),
        HALF: Window((1024, 2048), 256, 512, HALF),
    }
    rng = np.random.default_rng(0)
    for size, window in views.items():
        samples = []
        for frame in frames:
            panoptic = window.label(frame["panoptic"], label_space.void)
            neighbour = np.roll(panoptic, 9, axis=1)
            fields = {"next_panoptic": neighbour, "previous_panoptic": neighbour}
            samples.append({"panoptic": panoptic, "depth": np.ones(size, np.float32), **fields})
        for function in (semantic_targets, panoptic_targets, mask_targets, motion_targets, vip_targets):
            name = f"{function.__name__} {size[0]}x{size[1]}"
            report(name, functools.partial(function, label_space=label_space, rng=rng), samples, runs)


def report_crops(frames, label_space, runs):
    from keras_deeplab.data import Window

    for scale in (0.5, 0.7, 1.0, 1.3, 2.0):
        resized = (int(1024 * scale), int(2048 * scale))
        top, left = ((side - length) // 2 for side, length in zip(resized, HALF, strict=True))
        window = Window(resized, max(top, 0), max(left, 0), HALF, flip=True)
        images, maps = ([frame[field] for frame in frames] for field in ("image", "panoptic"))
        report(f"image, scale {scale}", window.image, images, runs)
        report(f"map, scale {scale}", functools.partial(window.label, padding=label_space.void), maps, runs)


def report_colors(frames, runs):
    from keras_deeplab.data.autoaugment import OPERATIONS

    images = [frame["image"][256:769, 512:1537].copy() for frame in frames]
    for name, operation in OPERATIONS.items():
        arguments = operation.arguments(9)
        report(name, lambda image, f=operation.function, a=arguments: f(image, *a), images, runs)


def report_draws(frames, label_space, runs):
    import numpy as np

    from keras_deeplab.data import AutoAugment, RandomScaleCrop

    for name, autoaugment in (("crop", None), ("crop and colours", AutoAugment())):
        transform = RandomScaleCrop(HALF, label_space.void, autoaugment=autoaugment)
        # Means: what a draw costs differs by more than the clock does.
        draw = functools.partial(transform, rng=np.random.default_rng(0))
        laps = [timed(draw, frame) for frame in frames * runs]
        cpu, wall = (statistics.mean(lap) for lap in zip(*laps, strict=True))
        worst = max(lap[0] for lap in laps)
        print(f"| {name + ', drawn (mean)':36} | {cpu:6.1f} ({wall:6.1f}) | {worst:6.1f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cityscapes", help="folder of the dataset; without it, synthetic streets")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--runs", type=int, default=7)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    label_space, frames = load_frames(args.cityscapes, args.frames)
    print(f"| {len(frames)} frames of 1024x2048 {'':14} | CPU ms (wall)   | worst  |")
    print("| --- | --- | --- |")
    report_targets(frames, label_space, args.runs)
    report_crops(frames, label_space, args.runs)
    report_colors(frames, args.runs)
    report_draws(frames, label_space, args.runs)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
