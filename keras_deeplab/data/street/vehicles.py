"""Cars, trucks, buses and trams.

Every `make_*` function chooses what one of them looks like and returns a function `draw(canvas, x, z)` that
paints it, always the same, standing on the ground at `x` metres to the right and `z` metres ahead of the
camera.
`heading` is 1 for what drives away from the camera, -1 for what comes towards it, 0 for either.
"""

from __future__ import annotations

import numpy as np

from keras_deeplab.data.street.pick import pick
from keras_deeplab.data.street.shapes import LAMPLIGHT, draw_box, lengthwise, upright

_GLASS = (58, 70, 82)
_TYRE = (28, 28, 30)
_HEADLIGHT = (240, 238, 214)
_REAR_LIGHT = (176, 24, 26)
_CAR_COLORS = np.array(
    [
        (36, 38, 42),
        (188, 190, 194),
        (226, 226, 224),
        (96, 100, 106),
        (140, 30, 32),
        (34, 58, 118),
        (60, 88, 74),
        (172, 150, 116),
    ]
)
_TRAM_CREAM = (222, 214, 190)
_PANTOGRAPH = (44, 46, 50)
_COACH_COLORS = np.array([(214, 176, 40), (186, 40, 38), (226, 228, 226), (44, 96, 150), (60, 130, 84)])


def make_car(rng, heading=0):
    """A car seen from behind or in front, with the side that the camera sees."""
    width, length, roof = rng.uniform(1.65, 1.9), rng.uniform(3.5, 4.8), rng.uniform(1.4, 1.75)
    color, waist = pick(rng, _CAR_COLORS) * rng.uniform(0.8, 1.1), rng.uniform(0.8, 0.95)
    shows_rear = rng.random() < 0.6
    lamp = _REAR_LIGHT if heading > 0 or (shows_rear and heading == 0) else _HEADLIGHT

    def draw(canvas, x, z):
        canvas.begin("car", z)
        _contact_shadow(canvas, x, z, width, length)
        side = draw_box(canvas, x, z, width, length, 0.2, waist, color)
        draw_box(canvas, x, z + 0.15, width * 0.97, length * 0.72, waist, roof, color, inset=0.22)
        if side is not None:
            panes = [
                lengthwise(side, waist + 0.06, roof - 0.12, z + a, z + b, 0.18)
                for a, b in ((0.4, 1.5), (1.6, 2.7))
            ]
            canvas.fill(panes, _GLASS, canvas.side_light[int(side > 0)])
        window = upright(x - 0.42 * width, x + 0.42 * width, waist + 0.04, roof - 0.1, z + 0.15, 0.18)
        canvas.fill([window], _GLASS)
        _draw_wheels(canvas, x, z, width, length, 0.32, side)
        lamps = [
            upright(left, left + 0.16 * width, waist - 0.26, waist - 0.1, z)
            for left in (x - 0.48 * width, x + 0.32 * width)
        ]
        canvas.fill(lamps, lamp, glow=True)
        canvas.fill([upright(x - 0.14 * width, x + 0.14 * width, 0.42, 0.54, z)], (222, 222, 214))

    return draw


def make_crossing_car(rng, heading=0):
    """A car across the road, seen from its side; it looks to the right (`heading` 1), left or either."""
    scale, side = rng.uniform(0.9, 1.1), pick(rng, (-1, 1))
    scale, color = scale * (heading or side), pick(rng, _CAR_COLORS)

    def draw(canvas, x, z):
        def place(outline):
            return [[(x + scale * u, v, z) for u, v in outline]]

        canvas.begin("car", z)
        _contact_shadow(canvas, x, z - 0.2, 4.2, 1.8)
        body = [(-2.1, 0.25), (2.1, 0.25), (2.1, 0.7), (1.1, 0.92), (0.5, 1.45), (-1.3, 1.45), (-2.1, 0.9)]
        canvas.fill(place(body), color)
        canvas.fill(place([(-0.25, 0.92), (0.9, 0.92), (0.42, 1.36), (-0.25, 1.36)]), _GLASS)
        canvas.fill(place([(-1.7, 0.92), (-0.35, 0.92), (-0.35, 1.36), (-1.2, 1.36)]), _GLASS)
        for u in (-1.3, 1.3):
            canvas.disk(x + scale * u, 0.32, z, 0.32, _TYRE)
            canvas.disk(x + scale * u, 0.32, z, 0.17, (150, 150, 152))
        canvas.cast([(u, v, z + w) for u in (x - 2, x + 2) for v in (0, 1.3) for w in (0, 1.7)])

    return draw


def make_truck(rng, heading=0):
    """A truck: a cargo box on wheels, with the cab in front of it, seen from behind unless it is oncoming."""
    length, height, color = rng.uniform(5, 8), rng.uniform(2.9, 3.7), rng.uniform(70, 240, 3)
    cab, oncoming = pick(rng, _CAR_COLORS), heading < 0

    def draw(canvas, x, z):
        canvas.begin("truck", z)
        _contact_shadow(canvas, x, z, 2.4, length)
        box = z + 1.9 if oncoming else z
        if not oncoming:
            draw_box(canvas, x, z + length, 2.3, 1.9, 0.5, 2.6, cab)
        side = draw_box(canvas, x, box, 2.4, length, 0.75, height, color)
        if oncoming:
            draw_box(canvas, x, z, 2.3, 1.9, 0.5, 2.6, cab)
            canvas.fill([upright(x - 1.0, x + 1.0, 1.5, 2.4, z)], _GLASS)
        else:
            canvas.fill([upright(x - 0.04, x + 0.04, 0.8, height - 0.05, z)], color, 0.6)
        canvas.fill([upright(x - 1.15, x + 1.15, 0.5, 0.75, z)], (52, 52, 54))
        _draw_wheels(canvas, x, z, 2.4, length, 0.48, side)
        lamps = [upright(x + s * 0.98 - 0.14, x + s * 0.98 + 0.14, 0.54, 0.7, z) for s in (-1, 1)]
        canvas.fill(lamps, _HEADLIGHT if oncoming else (186, 26, 22), glow=True)

    return draw


def make_bus(rng, heading=0):
    """A bus: long, with a band of windows all around and its line in lights above them."""
    length, height, color = rng.uniform(9, 12), rng.uniform(2.9, 3.3), pick(rng, _COACH_COLORS)

    def draw(canvas, x, z):
        canvas.begin("bus", z)
        _contact_shadow(canvas, x, z, 2.5, length)
        side = draw_box(canvas, x, z, 2.5, length, 0.3, height, color)
        glass = LAMPLIGHT if canvas.lamps else _GLASS
        if side is not None:
            starts = z + np.arange(0.4, length - 1.2, 1.6)
            canvas.fill([lengthwise(side, 1.25, 2.4, a, a + 1.35) for a in starts.tolist()], glass)
        canvas.fill([upright(x - 1.12, x + 1.12, 1.2, 2.5, z)], glass)
        canvas.fill([upright(x - 0.8, x + 0.8, 2.6, 2.85, z)], (236, 178, 52), glow=True)
        _draw_wheels(canvas, x, z, 2.5, length, 0.45, side)

    return draw


def make_tram(rng, heading=0):
    """A tram, of class `train`: longer than a bus, in two colours down to the rails, with a pantograph."""
    length, height, color = rng.uniform(16, 26), rng.uniform(2.9, 3.3), pick(rng, _COACH_COLORS)

    def draw(canvas, x, z):
        canvas.begin("train", z)
        _contact_shadow(canvas, x, z, 2.4, length)
        draw_box(canvas, x, z, 2.4, length, 0.1, 1.15, color * 0.6)
        side = draw_box(canvas, x, z, 2.4, length, 1.15, height, _TRAM_CREAM, inset=0.1)
        glass = LAMPLIGHT if canvas.lamps else _GLASS
        if side is not None:
            starts = z + np.arange(0.5, length - 1.9, 2.2)
            canvas.fill([lengthwise(side, 1.5, 2.5, a, a + 1.8) for a in starts.tolist()], glass)
        canvas.fill([upright(x - 0.85, x + 0.85, 1.35, height - 0.2, z, 0.1)], glass)
        canvas.disk(x, 0.8, z, 0.17, _REAR_LIGHT if heading > 0 else _HEADLIGHT, glow=True)
        arms = [upright(x + a, x + a + 0.08, height, height + 0.75, z + 2) for a in (-0.5, 0.42)]
        canvas.fill([*arms, upright(x - 0.85, x + 0.85, height + 0.7, height + 0.85, z + 2)], _PANTOGRAPH)

    return draw


def _contact_shadow(canvas, x, z, width, length):
    x0, x1 = x - 0.55 * width, x + 0.55 * width
    canvas.fill(
        [[(x0, 0, z), (x1, 0, z), (x1, 0, z + length), (x0, 0, z + length)]], (38, 38, 42), label=False
    )


def _draw_wheels(canvas, x, z, width, length, radius, side):
    if side is not None:
        for at in (z + 0.2 * length, z + 0.8 * length):
            canvas.fill([lengthwise(side, 0, 2 * radius, at - radius, at + radius, 0.4 * radius)], _TYRE)
    for left in (x - 0.48 * width, x + 0.34 * width):
        canvas.fill([upright(left, left + 0.14 * width, 0, radius, z)], _TYRE)
