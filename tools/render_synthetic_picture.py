"""Writes the pictures of `docs/synthetic_scenes.md`: one street in every weather, and frames of a video.

python tools/render_synthetic_picture.py
"""

import pathlib

import cv2
import numpy as np
from PIL import Image

from keras_deeplab.data.synthetic import WEATHERS, StreetScenes
from keras_deeplab.visualization import color_panoptic

FOLDER = pathlib.Path(__file__).parents[1] / "docs" / "images"
SIZE = (257, 513)
FRAMES = (0, 6, 12)


def show_weathers(seed=3, scene=5):
    """uint8 picture: the same street in all weathers, three beside each other."""
    pictures = [StreetScenes(scene + 1, SIZE, seed, weather=weather)[scene]["image"] for weather in WEATHERS]
    return stack([pictures[:3], pictures[3:]])


def show_video(seed=3, scene=0):
    """uint8 picture: of each of three frames the image, the panoptic map and the depth."""
    video = StreetScenes(scene + 1, SIZE, seed, frames_per_sequence=20, depth=True, weather="sunny")
    samples = [video[20 * scene + frame] for frame in FRAMES]
    return stack(
        [s["image"], color_panoptic(s["panoptic"], video.label_space), color_depth(s["depth"])]
        for s in samples
    )


def color_depth(depth):
    """uint8 `[H, W, 3]`: bright for 2.5 m and nearer, black for unknown."""
    nearness = np.where(depth > 0, 2.5 / np.maximum(depth, 2.5), 0)
    shown = cv2.applyColorMap(np.uint8(255 * np.sqrt(nearness)), cv2.COLORMAP_INFERNO)
    return cv2.cvtColor(shown, cv2.COLOR_BGR2RGB)


def stack(rows):
    """Pictures in rows, four pixels of white between them."""
    padded = [[np.pad(p, ((0, 4), (0, 4), (0, 0)), constant_values=255) for p in row] for row in rows]
    return np.vstack([np.hstack(row) for row in padded])[:-4, :-4]


def main():
    for name, picture in (("synthetic_weathers", show_weathers()), ("synthetic_video", show_video())):
        path = FOLDER / f"{name}.jpg"
        shown = Image.fromarray(picture)
        shown.resize((1026, round(1026 * shown.height / shown.width)), Image.Resampling.LANCZOS).save(
            path, quality=88, optimize=True
        )
        print(f"{path}: {path.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    main()
