"""What a street scene stands in front of: sky, ground, buildings and what lines the road.

Like everything in a street, each is made once, which chooses what it looks like, and drawn in every frame.
"""

from __future__ import annotations

import cv2
import numpy as np

from keras_deeplab.data.street.canvas import Camera, Canvas
from keras_deeplab.data.street.pick import pick
from keras_deeplab.data.street.roadside import make_foliage
from keras_deeplab.data.street.shapes import LAMPLIGHT, draw_box, lengthwise, upright

FAR = 220.0
_WALLS = np.array(
    [(176, 160, 140), (150, 118, 96), (196, 190, 178), (122, 116, 112), (168, 134, 112), (206, 192, 160)]
)
_WHITE = (206, 206, 200)


def make_sky(rng: np.random.Generator, weather):
    """A gradient from the zenith to the haze at the horizon, with clouds."""
    zenith = [rng.uniform(*bounds) for bounds in weather.zenith]
    clouds, cover = rng.standard_normal((5, 8), np.float32), rng.uniform(*weather.clouds)

    def draw(canvas: Canvas):
        canvas.begin("sky")
        height, width = canvas.image_size
        rows = int(np.clip(canvas.camera.horizon + 1, 1, height))
        cloud = cv2.resize(clouds, (width, rows), interpolation=cv2.INTER_CUBIC)
        cloud = 0.7 * np.clip(cloud + cover, 0, 1)
        blend = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
        planes = []
        for top, bottom in zip(zenith, canvas.haze, strict=True):
            clear = np.float32(top) * (1 - blend) + np.float32(bottom) * blend
            planes.append(clear + cloud * (np.float32(min(bottom + 25, 250)) - clear))
        canvas.sky = cv2.merge(planes).astype(np.uint8)
        canvas.sky_number = canvas.next_number
        canvas.fill_rows(0, rows, [(0, 0, 1)], (0, 0, 0))

    return draw


def make_skyline(rng: np.random.Generator, image_width: int, camera: Camera, distance: float = FAR):
    """Buildings and trees where the street ends, `distance` metres ahead."""
    half = distance * image_width / camera.focal
    shift = camera.bend * distance * distance
    pieces = []
    for left in np.arange(-half - shift, half - shift, 22.0).tolist():
        if rng.random() < 0.5:
            width, height = rng.uniform(14, 26), rng.uniform(6, 30)
            pieces.append((left, None, (width, height, pick(rng, _WALLS))))
        else:
            pieces.append((left + 11, make_foliage(rng, 3.5, 9.0, count=8), None))

    def draw(canvas: Canvas, z):
        for x, draw_trees, house in pieces:
            canvas.begin("building" if house else "vegetation", z)
            if house:
                width, height, color = house
                canvas.fill([upright(x, x + width, 0, height, z)], color, 0.8)
            else:
                draw_trees(canvas, x, z)

    return draw


def make_ground(rng: np.random.Generator, camera: Camera, rows: float, road, travel: float = 0.0):
    """Grass or paving everywhere, then pavements, then a `Road` with its markings.

    `rows` is the height of the picture and `travel` how far the camera will drive.
    """
    x0, x1, is_green = road.left, road.right, road.is_green
    nearest = _nearest(camera, rows)
    gray, asphalt = rng.uniform(110, 165), rng.uniform(64, 112)
    repairs = _make_repairs(rng, x0, x1, nearest, asphalt, travel)
    markings = _make_markings(rng, x0, x1, nearest, travel)

    def draw(canvas: Canvas, driven):
        first = canvas.next_number
        height = canvas.image_size[0]
        horizon = int(np.clip(canvas.camera.horizon, 0, height))
        far = FAR + travel - driven
        plane = [(-1, 0, far), (1, 0, far), (0, 0, nearest)]
        canvas.begin("terrain" if is_green else "sidewalk")
        canvas.fill_rows(horizon, height, plane, (104, 118, 66) if is_green else (136, 132, 128))
        canvas.begin("sidewalk")
        start, end = np.array([nearest]), np.array([far])
        pavements = _strips(x0 - road.pavement, x1 + road.pavement, start, end)
        canvas.fill(pavements, (gray, 0.97 * gray, 0.95 * gray))
        canvas.fill(_strips(x0 - 0.18, x1 + 0.18, start, end), (168, 166, 162))
        canvas.begin("road")
        canvas.fill(_strips(x0, x1, start, end), (asphalt, asphalt, 1.03 * asphalt))
        for left, right, start, end, steps, color in repairs + markings:
            ahead = end - driven > nearest
            if ahead.any():
                start, end = np.maximum(start[ahead] - driven, nearest), end[ahead] - driven
                canvas.fill(_strips(left, right, start, end, steps), color, label=False)
        canvas.ground = range(first, canvas.next_number)

    return draw


def _nearest(camera, rows):
    """The distance (m) of the ground at the bottom of the picture, and a little closer."""
    return max(0.8 * camera.focal * camera.height / max(rows - camera.horizon, 1), 0.5)


def _strips(x0, x1, start, end, steps=12):
    """Bands of the ground between two `x`, (n, corners, 3), cut often enough to follow a bend."""
    bands = np.zeros((len(start), 2 * steps, 3))
    bands[:, :steps, 0], bands[:, steps:, 0] = x0, x1
    bands[:, :steps, 2] = start[:, None] * (end / start)[:, None] ** (np.arange(steps) / (steps - 1))
    bands[:, steps:, 2] = bands[:, steps - 1 :: -1, 2]
    return bands


# Both return bands of the ground: left, right, array of starts, array of ends, steps and colour.


def _make_repairs(rng, x0, x1, nearest, asphalt, travel):
    repairs = []
    for _ in range(rng.integers(0, 5) + round(travel / 12)):
        x = rng.uniform(x0, x1)
        z, shade = nearest + rng.uniform(0, 30 + travel), asphalt * rng.uniform(0.75, 1.15)
        right = min(x + rng.uniform(0.5, 3), x1)
        end = z + rng.uniform(1, 12)
        repairs.append((x, right, np.array([z]), np.array([end]), 4, (shade, shade, shade)))
    return repairs


def _make_markings(rng, x0, x1, nearest, travel):
    markings = []
    lanes = max(2, round((x1 - x0) / 3.3))
    dash, gap = rng.uniform(2, 5), rng.uniform(2, 7)
    starts = np.arange(nearest + rng.uniform(0, gap), 90 + travel, dash + gap)
    for x in np.linspace(x0, x1, lanes + 1)[1:-1].tolist():
        markings.append((x - 0.07, x + 0.07, starts, starts + dash, 3, _WHITE))
    if rng.random() < 0.5:
        whole = np.array([nearest]), np.array([FAR + travel])
        markings += [(x - 0.06, x + 0.06, *whole, 12, _WHITE) for x in (x0 + 0.3, x1 - 0.3)]
    if rng.random() < 0.35:
        z = np.array([rng.uniform(8, 30 + travel)])
        bars = np.arange(x0 + 0.4, x1 - 0.5, 1.0).tolist()
        markings += [(x, x + 0.5, z, z + 3, 2, _WHITE) for x in bars]
    return markings


def make_building(rng: np.random.Generator, length, side):
    """A house along the road; `side` is -1 left of the road and 1 right of it."""
    depth, floor = 12.0, rng.uniform(2.8, 3.6)
    floors, color = rng.integers(1, 7), pick(rng, _WALLS) * rng.uniform(0.8, 1.1)
    height = floors * floor + 0.8
    step = rng.uniform(1.9, 3.0)
    bays, levels = np.arange(0.7, length - 1.2, step), floor * np.arange(floors)[:, None] + 1.0
    windows = np.zeros((floors, len(bays), 4, 3))
    windows[..., 1] = (levels + np.array((0, 0, 0.52 * floor, 0.52 * floor)))[:, None]
    windows[..., 2] = bays[:, None] + np.array((0, 0.5 * step, 0.5 * step, 0))
    windows = windows.reshape(-1, 4, 3)
    glass = rng.uniform(40, 110) * np.array([0.9, 1.0, 1.1]) if len(windows) else None
    has_base = rng.random() < 0.4

    def draw(canvas: Canvas, x, z):
        canvas.begin("building", z + length / 2)
        face = draw_box(canvas, x + side * depth / 2, z, depth, length, 0, height, color)
        if face is None:
            return
        light = canvas.side_light[int(side > 0)]
        if len(windows):
            panes = windows + np.array((face, 0, z))
            canvas.fill(panes, glass, light)
            if canvas.lamps:
                canvas.fill(panes[::3], LAMPLIGHT, 0.85, glow=True)
        if has_base:
            canvas.fill([lengthwise(face, 0, 0.9, z, z + length)], color * 0.6, light)
        canvas.fill([lengthwise(face, height - 0.35, height, z, z + length)], color * 0.75, light)

    return draw


def make_barrier(rng: np.random.Generator, length, class_name):
    """A `wall` or a `fence` along the road."""
    height, gray = rng.uniform(0.9, 2.2), rng.uniform(80, 170)
    dark = (0.55 * gray, 0.55 * gray, 0.5 * gray)
    if class_name == "fence":
        gaps = [
            lengthwise(0, 0, height - 0.12, a + 0.08, a + 0.36) for a in np.arange(0, length, 0.4).tolist()
        ]
    else:
        gaps = [lengthwise(0, y, y + 0.07, 0, length) for y in np.arange(0.3, height, 0.35).tolist()]
    gaps = np.array(gaps)

    def draw(canvas: Canvas, x, z):
        canvas.begin(class_name, z)
        light = canvas.side_light[int(x > 0)]
        canvas.fill([lengthwise(x, 0, height, z, z + length)], (gray, 0.95 * gray, 0.88 * gray), light)
        canvas.fill(gaps + np.array((x, 0, z)), dark, light)
        canvas.cast([(x, y, v) for y in (0, height) for v in (z, z + length)])

    return draw


def make_hood(rng: np.random.Generator):
    """The camera's own car at the bottom of the picture: void, as in Cityscapes."""
    share = rng.uniform(0.9, 0.96)

    def draw(canvas: Canvas):
        canvas.begin(None)
        height, width = canvas.image_size
        top = height * share
        outline = [
            (0, height),
            (0, top + 0.05 * height),
            (0.3 * width, top),
            (0.7 * width, top),
            (width, top + 0.05 * height),
            (width, height),
        ]
        camera = canvas.camera
        # In pixels: on a plane one metre before the lens.
        points = [
            (
                (x - camera.center) / camera.focal - camera.bend,
                camera.height - (y - camera.horizon) / camera.focal,
                1.0,
            )
            for x, y in outline
        ]
        canvas.fill([points], (46, 48, 54))

    return draw
