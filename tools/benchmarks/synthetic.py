"""Prints how many street scenes are rendered a second on one core.

    python tools/benchmarks/synthetic.py

Times are those of the processor, medians over the scenes. What is made is what `StreetScenes` returns:
picture, panoptic map and, where it says so, depth.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2

from keras_deeplab.data.synthetic import WEATHERS, StreetScenes

ROWS = {
    "single pictures": {},
    "with depth": {"depth": True},
    **{f"in {weather} weather": {"weather": weather} for weather in WEATHERS if weather != "fair"},
    "videos of 20 frames with depth": {"frames_per_sequence": 20, "depth": True},
    "the same in any weather": {"frames_per_sequence": 20, "depth": True, "weather": WEATHERS},
}


def measure(scenes, count):
    """Median CPU milliseconds of the first samples, one after another."""
    scenes[len(scenes) - 1]  # loads what is loaded once
    times = []
    for index in range(count):
        start = time.process_time()
        scenes[index]
        times.append(time.process_time() - start)
    return 1000 * statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=2, default=(257, 513), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=3)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    print(f"| {arguments.size[0]}x{arguments.size[1]} | CPU ms | images / s / core |\n| --- | --- | --- |")
    for name, options in ROWS.items():
        scenes = StreetScenes(10**6, arguments.size, arguments.seed, **options)
        milliseconds = measure(scenes, arguments.count)
        print(f"| {name} | {milliseconds:.1f} | {1000 / milliseconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
