"""Writes the pictures of the README: `docs/images/demo_street.png`, and what `street_synthetic` sees in it.

python tools/render_demo_image.py
"""

import pathlib

from PIL import Image

import keras_deeplab as kd
from keras_deeplab.data.synthetic import demo_street

FOLDER = pathlib.Path(__file__).parents[1] / "docs" / "images"

if __name__ == "__main__":
    picture, segmented = FOLDER / "demo_street.png", FOLDER / "demo_street_panoptic.jpg"
    Image.fromarray(demo_street()["image"]).save(picture, optimize=True)
    kd.Segmenter.from_preset("street_synthetic").segment(picture).save(segmented)
    for path in (picture, segmented):
        print(f"{path}: {path.stat().st_size / 1024:.0f} KB")
