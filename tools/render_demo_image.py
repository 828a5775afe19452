"""Writes `docs/images/demo_street.png`, the picture that `make demo` segments.

python tools/render_demo_image.py
"""

import pathlib

from PIL import Image

from keras_deeplab.data.synthetic import demo_street

TARGET = pathlib.Path(__file__).parents[1] / "docs" / "images" / "demo_street.png"

if __name__ == "__main__":
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(demo_street()["image"]).save(TARGET, optimize=True)
    print(f"{TARGET}: {TARGET.stat().st_size / 1024:.0f} KB")
