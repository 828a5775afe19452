"""What a street scene stands in front of: sky, ground, buildings and what lines the road."""

from __future__ import annotations

import cv2
import numpy as np

from keras_deeplab.data.street.canvas import Canvas, lengthwise, upright
from keras_deeplab.data.street.objects import draw_box, draw_foliage

FAR = 220.0
_WALLS = np.array(
    [(176, 160, 140), (150, 118, 96), (196, 190, 178), (122, 116, 112), (168, 134, 112), (206, 192, 160)]
)
_WHITE = (206, 206, 200)


def draw_sky(canvas: Canvas, rng: np.random.Generator):
    """A gradient from the zenith to the haze at the horizon, with clouds."""
    canvas.begin("sky")
    height, width, _ = canvas.image.shape
    rows = int(np.clip(canvas.camera.horizon + 1, 1, height))
    zenith = np.float32([rng.uniform(70, 160), rng.uniform(120, 180), rng.uniform(180, 230)])
    blend, haze = np.linspace(0, 1, rows, dtype=np.float32)[:, None, None], np.float32(canvas.haze)
    clouds = cv2.resize(rng.standard_normal((5, 8), np.float32), (width, rows), interpolation=cv2.INTER_CUBIC)
    clouds = np.clip(clouds + rng.uniform(-1, 0.8), 0, 1)[..., None]
    sky = zenith * (1 - blend) + haze * blend
    canvas.image[:rows] = sky * (1 - 0.7 * clouds) + np.minimum(haze + 25, 250) * 0.7 * clouds
    canvas.regions[:rows] = len(canvas.classes) - 1


def draw_skyline(canvas: Canvas, rng: np.random.Generator):
    """Buildings and trees where the street ends."""
    half = FAR * canvas.image.shape[1] / canvas.camera.focal
    shift = canvas.camera.bend * FAR * FAR
    for left in np.arange(-half - shift, half - shift, 22.0):
        if rng.random() < 0.5:
            canvas.begin("building", FAR)
            canvas.fill(
                [upright(left, left + rng.uniform(14, 26), 0, rng.uniform(6, 30), FAR)],
                rng.choice(_WALLS),
                0.8,
            )
        else:
            canvas.begin("vegetation", FAR)
            draw_foliage(canvas, rng, left + 11, 3.5, FAR, 9.0, count=8)


def draw_ground(canvas: Canvas, rng: np.random.Generator, road, pavement, is_green):
    """Grass or paving everywhere, then pavements `pavement` metres wide, then the road `(x0, x1)`."""
    canvas.begin("terrain" if is_green else "sidewalk")
    horizon = int(np.clip(canvas.camera.horizon, 0, canvas.image.shape[0]))
    canvas.image[horizon:] = (104, 118, 66) if is_green else (136, 132, 128)
    canvas.regions[horizon:] = len(canvas.classes) - 1
    gray, (x0, x1) = rng.uniform(110, 165), road
    canvas.begin("sidewalk")
    canvas.fill([_strip(canvas, x0 - pavement, x1 + pavement)], (gray, 0.97 * gray, 0.95 * gray))
    canvas.fill([_strip(canvas, x0 - 0.18, x1 + 0.18)], (168, 166, 162))
    asphalt = rng.uniform(64, 112)
    canvas.begin("road")
    canvas.fill([_strip(canvas, x0, x1)], (asphalt, asphalt, 1.03 * asphalt))
    _draw_repairs(canvas, rng, road, asphalt)
    _draw_markings(canvas, rng, road)
    depth = canvas.camera.focal * canvas.camera.height / np.arange(1, canvas.image.shape[0] - horizon + 1)
    clear = np.exp(-depth / canvas.visibility).astype(np.float32)[:, None, None]
    canvas.image[horizon:] = canvas.image[horizon:] * clear + np.float32(canvas.haze) * (1 - clear)


def _nearest(canvas):
    """The distance (m) of the ground at the bottom of the picture, and a little closer."""
    rows = max(canvas.image.shape[0] - canvas.camera.horizon, 1)
    return max(0.8 * canvas.camera.focal * canvas.camera.height / rows, 0.5)


def _strip(canvas, x0, x1, z0=None, z1=FAR, steps=12):
    """A band of the ground between two `x`, cut often enough to follow a bend."""
    near = z0 or _nearest(canvas)
    band = np.zeros((2 * steps, 3))
    band[:steps, 0], band[steps:, 0] = x0, x1
    band[:steps, 2] = near * (z1 / near) ** np.linspace(0, 1, steps)
    band[steps:, 2] = band[steps - 1 :: -1, 2]
    return band


def _draw_repairs(canvas, rng, road, asphalt):
    for _ in range(rng.integers(0, 5)):
        x, z, shade = (
            rng.uniform(*road),
            _nearest(canvas) + rng.uniform(0, 30),
            asphalt * rng.uniform(0.75, 1.15),
        )
        x1 = min(x + rng.uniform(0.5, 3), road[1])
        canvas.fill([_strip(canvas, x, x1, z, z + rng.uniform(1, 12), 4)], (shade, shade, shade), label=False)


def _draw_markings(canvas, rng, road):
    x0, x1 = road
    lanes = max(2, round((x1 - x0) / 3.3))
    dash, gap = rng.uniform(2, 5), rng.uniform(2, 7)
    starts = np.arange(_nearest(canvas) + rng.uniform(0, gap), 90, dash + gap)
    for x in np.linspace(x0, x1, lanes + 1)[1:-1]:
        canvas.fill([_strip(canvas, x - 0.07, x + 0.07, z, z + dash, 3) for z in starts], _WHITE, label=False)
    if rng.random() < 0.5:
        for x in (x0 + 0.3, x1 - 0.3):
            canvas.fill([_strip(canvas, x - 0.06, x + 0.06)], _WHITE, label=False)
    if rng.random() < 0.35:
        z = rng.uniform(8, 30)
        bars = np.arange(x0 + 0.4, x1 - 0.5, 1.0)
        canvas.fill([_strip(canvas, x, x + 0.5, z, z + 3, 2) for x in bars], _WHITE, label=False)


def draw_building(canvas: Canvas, rng: np.random.Generator, x, z, length, side):
    """A house whose front stands along the road at `x`; `side` is -1 left of the road and 1 right of it."""
    canvas.begin("building", z + length / 2)
    depth, floor = 12.0, rng.uniform(2.8, 3.6)
    floors, color = rng.integers(1, 7), rng.choice(_WALLS) * rng.uniform(0.8, 1.1)
    height = floors * floor + 0.8
    face = draw_box(canvas, x + side * depth / 2, z, depth, length, 0, height, color)
    if face is None:
        return
    light, step = canvas.side_light[int(side > 0)], rng.uniform(1.9, 3.0)
    bays = np.arange(z + 0.7, z + length - 1.2, step)
    levels = floor * np.arange(floors)[:, None] + 1.0
    panes = [lengthwise(face, y, y + 0.52 * floor, a, a + 0.5 * step) for y in levels[:, 0] for a in bays]
    if panes:
        canvas.fill(panes, rng.uniform(40, 110) * np.array([0.9, 1.0, 1.1]), light)
    if rng.random() < 0.4:
        canvas.fill([lengthwise(face, 0, 0.9, z, z + length)], color * 0.6, light)
    canvas.fill([lengthwise(face, height - 0.35, height, z, z + length)], color * 0.75, light)


def draw_barrier(canvas: Canvas, rng: np.random.Generator, x, z, length, class_name):
    """A `wall` or a `fence` along the road."""
    canvas.begin(class_name, z)
    height, gray = rng.uniform(0.9, 2.2), rng.uniform(80, 170)
    light = canvas.side_light[int(x > 0)]
    canvas.fill([lengthwise(x, 0, height, z, z + length)], (gray, 0.95 * gray, 0.88 * gray), light)
    dark = (0.55 * gray, 0.55 * gray, 0.5 * gray)
    if class_name == "fence":
        bars = np.arange(z, z + length, 0.4)
        canvas.fill([lengthwise(x, 0, height - 0.12, a + 0.08, a + 0.36) for a in bars], dark, light)
    else:
        canvas.fill(
            [lengthwise(x, y, y + 0.07, z, z + length) for y in np.arange(0.3, height, 0.35)], dark, light
        )


def draw_hood(canvas: Canvas, rng: np.random.Generator):
    """The camera's own car at the bottom of the picture: void, as in Cityscapes."""
    canvas.begin(None)
    height, width, _ = canvas.image.shape
    top = height * rng.uniform(0.9, 0.96)
    outline = [
        (0, height),
        (0, top + 0.05 * height),
        (0.3 * width, top),
        (0.7 * width, top),
        (width, top + 0.05 * height),
        (width, height),
    ]
    canvas.fill_pixels([outline], (46, 48, 54))
