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

_FRAMES = 20
ROWS = {
    "single pictures": {},
    "with depth": {"depth": True},
    **{f"in {weather} weather": {"weather": weather} for weather in WEATHERS if weather != "fair"},
    f"videos of {_FRAMES} frames with depth": {"frames_per_sequence": _FRAMES, "depth": True},
    "the same in any weather": {"frames_per_sequence": _FRAMES, "depth": True, "weather": WEATHERS},
}


def measure(scenes, indices):
    """CPU milliseconds of samples, one after another."""
    times = []
    for index in indices:
        start = time.process_time()
        scenes[index]
        times.append(1000 * (time.process_time() - start))
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=2, default=(257, 513), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--videos", type=int, default=6, help="videos, and groups of as many pictures")
    parser.add_argument("--seed", type=int, default=3)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    rows = {
        name: StreetScenes(10**6, arguments.size, arguments.seed, **options) for name, options in ROWS.items()
    }
    times = {name: [] for name in rows}
    for scenes in rows.values():
        measure(scenes, [len(scenes) - 1])  # loads what is loaded once
    # By turns, so that all rows see what else the machine does meanwhile.
    for video in range(arguments.videos):
        for name, scenes in rows.items():
            times[name] += measure(scenes, range(_FRAMES * video, _FRAMES * (video + 1)))
    print(f"| {arguments.size[0]}x{arguments.size[1]} | CPU ms | images / s / core |\n| --- | --- | --- |")
    for name in rows:
        milliseconds = statistics.median(times[name])
        print(f"| {name} | {milliseconds:.1f} | {1000 / milliseconds:.0f} |")


if __name__ == "__main__":
    main()
