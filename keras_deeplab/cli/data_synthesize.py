"""Render driving scenes with exact labels, in the layout of a well-known dataset."""

from __future__ import annotations

import argparse
import pathlib

from keras_deeplab.cli import arguments

EXAMPLES = (
    "streets --count 100",
    "streets --count 20 --split val --seed 1",
    "videos --count 5 --layout kitti_step --frames 30 --weather rain dusk",
)
_FRAMES_OF_VIDEOS = 20


def add_arguments(command: argparse.ArgumentParser):
    from keras_deeplab.data.layout_writers.write import LAYOUTS, VIDEO_LAYOUTS
    from keras_deeplab.data.synthetic import WEATHERS

    command.add_argument("folder", metavar="OUT", type=pathlib.Path, help="the folder to write")
    command.add_argument(
        "--count", metavar="N", type=arguments.count, required=True, help="number of scenes, or of videos"
    )
    command.add_argument(
        "--layout", choices=tuple(LAYOUTS), default="cityscapes", help="(default: cityscapes)"
    )
    command.add_argument(
        "--split", choices=("train", "val", "test"), default="train", help="(default: train)"
    )
    command.add_argument(
        "--image-size", type=arguments.image_size, metavar="HxW", default="257x513", help="(default: 257x513)"
    )
    command.add_argument(
        "--frames",
        type=arguments.count,
        metavar="N",
        help=f"frames of each video (default: {_FRAMES_OF_VIDEOS} for {' and '.join(VIDEO_LAYOUTS)}, else 1)",
    )
    command.add_argument(
        "--weather",
        nargs="+",
        choices=WEATHERS,
        default=["fair"],
        help="each scene draws one (default: fair)",
    )
    command.add_argument(
        "--seed",
        type=arguments.seed,
        metavar="N",
        default=0,
        help="another seed gives other scenes (default: 0)",
    )


def run(options: argparse.Namespace) -> int:
    from keras_deeplab.data.layout_writers.write import VIDEO_LAYOUTS, write_layout
    from keras_deeplab.data.synthetic import StreetScenes

    is_video = options.layout in VIDEO_LAYOUTS
    scenes = StreetScenes(
        options.count,
        image_size=options.image_size,
        seed=options.seed,
        frames_per_sequence=options.frames or (_FRAMES_OF_VIDEOS if is_video else 1),
        depth=options.layout == "cityscapes_dvps",
        weather=options.weather,
    )
    write_layout(scenes, options.folder, options.layout, options.split)
    print(f"{options.folder}: {len(scenes)} images in the layout {options.layout}, split {options.split}")
    return 0
