"""Trees, hedges, lamps, signs and traffic lights.

Every `make_*` function chooses what one of them looks like and returns a function `draw(canvas, x, z)` that
paints it, always the same, standing on the ground at `x` metres to the right and `z` metres ahead of the
camera.
"""

from __future__ import annotations

import math

import numpy as np

from keras_deeplab.data.street.pick import pick
from keras_deeplab.data.street.shapes import LAMPLIGHT, cast_upright, upright

_SIGN_COLORS = (
    ((196, 32, 34), (238, 238, 236)),
    ((32, 78, 168), (44, 92, 184)),
    ((238, 238, 236), (240, 198, 36)),
    ((36, 120, 72), (44, 132, 82)),
)
_CIRCLE = [(math.cos(a), math.sin(a)) for a in np.linspace(0, 2 * np.pi, 12, endpoint=False).tolist()]


def make_tree(rng, count=16):
    """A tree: trunk and a crown of `count` leaf clusters in shades of one green."""
    trunk, spread = rng.uniform(2.0, 3.4), rng.uniform(1.3, 2.6)
    draw_crown = make_foliage(rng, trunk + 0.8 * spread, spread, count)

    def draw(canvas, x, z):
        canvas.begin("vegetation", z)
        canvas.fill([upright(x - 0.17, x + 0.17, 0, trunk + 0.6, z, 0.05)], (78, 64, 52))
        draw_crown(canvas, x, z)
        cast_upright(canvas, x - 0.17, x + 0.17, trunk + 0.6, z)

    return draw


def make_hedge(rng):
    """A low bush that touches the ground."""
    spread = rng.uniform(0.5, 0.9)
    draw_leaves = make_foliage(rng, 0.4, spread, count=7)

    def draw(canvas, x, z):
        canvas.begin("vegetation", z)
        draw_leaves(canvas, x, z)

    return draw


def make_foliage(rng, y, spread, count):
    """Leaf clusters within `spread` metres of a height, the upper ones brighter. They begin no region."""
    green = (rng.uniform(48, 112), rng.uniform(88, 128), rng.uniform(30, 56))
    angle, distance, size, light = rng.random((4, count))
    angle, distance = 2 * np.pi * angle, np.sqrt(0.8 * distance)
    up = distance * np.sin(angle)
    radius = spread * (0.3 + 0.25 * size)
    light = (0.6 + 0.3 * light + 0.25 * up).tolist()
    leaves = np.zeros((count, 3))
    leaves[:, 0], leaves[:, 1] = spread * distance * np.cos(angle), y + spread * up

    def draw(canvas, x, z):
        canvas.disks(leaves + np.array((x, 0, z)), radius, green, light)
        if canvas.shadow is not None:
            canvas.cast([(x + spread * a, y, z + spread * b) for a, b in _CIRCLE])

    return draw


def make_lamp(rng, side):
    """A street lamp left (`side` -1) or right (1) of the road, which it leans over."""
    tall, arm = rng.uniform(6, 8.5), -side * rng.uniform(1, 2.2)
    gray = rng.uniform(70, 140, 3).mean() * np.ones(3)

    def draw(canvas, x, z):
        canvas.begin("pole", z)
        canvas.stroke([(x, 0, z), (x, tall, z)], 0.16, gray)
        canvas.stroke([(x, tall, z), (x + arm, tall + 0.4, z)], 0.1, gray)
        if canvas.lamps:
            canvas.disk(x + arm, tall + 0.36, z, 0.14, LAMPLIGHT, squeeze=1.8, glow=True)
        cast_upright(canvas, x - 0.08, x + 0.08, tall, z)

    return draw


def make_sign(rng):
    """A traffic sign on its pole: a disk, a triangle or a board."""
    y, radius = rng.uniform(2.1, 2.9), rng.uniform(0.3, 0.45)
    rim, face = pick(rng, _SIGN_COLORS)
    draw_shape = pick(rng, _SIGN_SHAPES)

    def draw(canvas, x, z):
        canvas.begin("pole", z)
        canvas.stroke([(x, 0, z), (x, y + 0.2, z)], 0.09, (126, 126, 128))
        canvas.begin("traffic sign", z)
        draw_shape(canvas, x, y, z, radius, rim)
        draw_shape(canvas, x, y, z, 0.68 * radius, face)
        cast_upright(canvas, x - 0.05, x + 0.05, y, z)

    return draw


def make_traffic_light(rng):
    """A traffic light on its pole, one of three lamps lit."""
    y, lit = rng.uniform(2.4, 3.2), rng.integers(3)

    def draw(canvas, x, z):
        canvas.begin("pole", z)
        canvas.stroke([(x, 0, z), (x, y, z)], 0.13, (96, 96, 98))
        canvas.begin("traffic light", z)
        canvas.fill([upright(x - 0.2, x + 0.2, y, y + 1.0, z)], (34, 36, 34))
        for lamp, color in enumerate(((60, 214, 110), (250, 190, 40), (236, 48, 40))):
            is_lit = lamp == lit
            canvas.disk(x, y + 0.2 + 0.3 * lamp, z, 0.12, color, 1.0 if is_lit else 0.25, glow=is_lit)
        cast_upright(canvas, x - 0.1, x + 0.1, y + 1, z)

    return draw


def _draw_round(canvas, x, y, z, size, color):
    canvas.disk(x, y, z, size, color)


def _draw_triangle(canvas, x, y, z, size, color):
    canvas.fill([[(x - size, y - 0.6 * size, z), (x + size, y - 0.6 * size, z), (x, y + size, z)]], color)


def _draw_board(canvas, x, y, z, size, color):
    canvas.fill([upright(x - size, x + size, y - 0.8 * size, y + 0.8 * size, z)], color)


_SIGN_SHAPES = (_draw_round, _draw_triangle, _draw_board)
