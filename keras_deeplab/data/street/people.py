"""People on foot, and bicycles and motorcycles with and without riders.

Every `make_*` function chooses what one of them looks like and returns a function `draw(canvas, x, z)` that
paints it, always the same, standing on the ground at `x` metres to the right and `z` metres ahead of the
camera.
"""

from __future__ import annotations

import math

import numpy as np

from keras_deeplab.data.street.pick import pick
from keras_deeplab.data.street.shapes import cast_upright, upright

_TYRE = (28, 28, 30)
_STEPS_PER_SECOND = 1.8
_SKINS = np.array([(226, 186, 158), (190, 140, 108), (120, 84, 62), (240, 204, 180)])
_HAIRS = np.array([(36, 28, 24), (92, 66, 44), (160, 128, 80), (120, 120, 120), (40, 70, 140)])


def make_person(rng, walks=False):
    """Someone who stands, or walks with the time of the canvas."""
    tall, stride, turn = rng.normal(1.72, 0.09), rng.uniform(0, 0.32), pick(rng, (-1, 1))
    trousers, jacket = rng.uniform(20, 150, 3), rng.uniform(20, 230, 3)
    draw_head = _make_head(rng)

    def draw(canvas, x, z):
        canvas.begin("person", z)
        step = stride * math.cos(math.pi * _STEPS_PER_SECOND * canvas.time) if walks else stride
        for swing in (-step, step):
            canvas.stroke([(x, 0.5 * tall, z), (x + swing, 0.03, z)], 0.15, trousers)
        canvas.fill([upright(x - 0.17, x + 0.17, 0.46 * tall, 0.83 * tall, z, -0.04)], jacket)
        for shoulder, swing in ((-0.22, step), (0.22, -step)):
            arm = [(x + shoulder, 0.8 * tall, z), (x + shoulder + 0.7 * swing, 0.47 * tall, z)]
            canvas.stroke(arm, 0.09, jacket, 0.85)
        draw_head(canvas, x + 0.02 * turn, 0.925 * tall, z)
        cast_upright(canvas, x - 0.2, x + 0.2, 0.95 * tall, z)

    return draw


def make_two_wheeler(rng, class_name="bicycle", ridden=False, heading=0):
    """A bicycle or motorcycle, with or without its rider. Along the road it is narrow, else at any angle."""
    heavy = class_name == "motorcycle"
    turn, color = pick(rng, (-1, 1)) * rng.uniform(0.22, 1.0), rng.uniform(20, 220, 3)
    if heading:
        turn *= 0.4
    base, radius = (0.68 if heavy else 0.53) * turn, 0.31 if heavy else 0.35
    draw_rider = _make_rider(rng) if ridden else None

    def draw(canvas, x, z):
        canvas.begin(class_name, z)
        for hub in (x - base, x + base):
            canvas.disk(hub, radius, z, radius, _TYRE, squeeze=max(abs(turn), 0.2))
            canvas.disk(hub, radius, z, 0.72 * radius, (122, 122, 118), squeeze=abs(turn))
        seat, bar = (x - 0.35 * base, 0.92, z), (x + 0.62 * base, 1.04, z)
        pedals = (x, 0.3, z)
        canvas.stroke([(x - base, radius, z), seat, pedals, (x - base, radius, z)], 0.07, color, 0.8)
        canvas.stroke([seat, bar, pedals], 0.3 if heavy else 0.07, color)
        canvas.stroke([(x + base, radius, z), bar, (bar[0] - 0.12, 1.12, z)], 0.06, (60, 60, 62))
        reach = abs(base) + 0.3
        cast_upright(canvas, x - reach, x + reach, 0.7, z)
        if draw_rider is not None:
            draw_rider(canvas, seat, bar, pedals)

    return draw


def _make_rider(rng):
    jacket, trousers = rng.uniform(30, 235, 3), rng.uniform(20, 130, 3)
    draw_head = _make_head(rng)

    def draw(canvas, seat, bar, pedals):
        (x, y, z), forward = seat, bar[0] - seat[0]
        canvas.begin("rider", z)
        shoulder = (x + 0.4 * forward, y + 0.55, z)
        leg = [seat, (x + 0.7 * forward, y - 0.12, z), (pedals[0], pedals[1] - 0.06, z)]
        canvas.stroke(leg, 0.15, trousers)
        canvas.stroke([seat, shoulder], 0.34, jacket)
        canvas.stroke([shoulder, bar], 0.1, jacket, 0.85)
        draw_head(canvas, x + 0.5 * forward, y + 0.8, z)
        cast_upright(canvas, x - 0.2, x + 0.3, 1.75, z)

    return draw


def _make_head(rng):
    skin, hair = pick(rng, _SKINS), pick(rng, _HAIRS)

    def draw(canvas, x, y, z):
        canvas.disk(x, y, z, 0.125, skin, squeeze=0.8)
        canvas.disk(x, y + 0.06, z, 0.075, hair, squeeze=1.3)

    return draw
