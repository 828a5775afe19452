"""The things that stand or move in a street, one drawing function each.

Every `draw_*` function paints one object onto a `Canvas`, standing on the ground at `x` metres to the
right and `z` metres ahead of the camera. Painting from far to near gives occlusion: a later object covers
what it hides, in the picture and in the labels alike.
"""

from __future__ import annotations

import numpy as np

from keras_deeplab.data.street.canvas import lengthwise, upright, visible_side

_GLASS = (58, 70, 82)
_TYRE = (28, 28, 30)


def draw_box(canvas, x, z, width, length, y0, y1, color, inset=0.0):
    """The visible faces of a box, `inset` metres narrower at the top; returns the `x` of its visible side."""
    side = visible_side(x, width)
    if side is not None:
        lean = inset if side > 0 else -inset
        quad = np.array(lengthwise(side, y0, y1, z, z + length, inset))
        quad[2:, 0] += lean
        canvas.fill([quad], color, canvas.side_light[int(side > 0)])
    if y1 < canvas.camera.height:
        x0, x1 = x - width / 2 + inset, x + width / 2 - inset
        near, far = z + inset, z + length - inset
        canvas.fill([[(x0, y1, near), (x1, y1, near), (x1, y1, far), (x0, y1, far)]], color, 1.15)
    canvas.fill([upright(x - width / 2, x + width / 2, y0, y1, z, inset)], color, 0.9)
    return side


def _shadow(canvas, x, z, width, length):
    x0, x1 = x - 0.55 * width, x + 0.55 * width
    canvas.fill(
        [[(x0, 0, z), (x1, 0, z), (x1, 0, z + length), (x0, 0, z + length)]], (38, 38, 42), label=False
    )


def _wheels(canvas, x, z, width, length, radius, side):
    if side is not None:
        for at in (z + 0.2 * length, z + 0.8 * length):
            canvas.fill([lengthwise(side, 0, 2 * radius, at - radius, at + radius, 0.4 * radius)], _TYRE)
    for left in (x - 0.48 * width, x + 0.34 * width):
        canvas.fill([upright(left, left + 0.14 * width, 0, radius, z)], _TYRE)


def draw_car(canvas, rng, x, z):
    """A car seen from behind or in front, with the side that the camera sees."""
    canvas.begin("car", z)
    width, length, roof = rng.uniform(1.65, 1.9), rng.uniform(3.5, 4.8), rng.uniform(1.4, 1.75)
    color, waist = rng.choice(_CAR_COLORS) * rng.uniform(0.8, 1.1), rng.uniform(0.8, 0.95)
    _shadow(canvas, x, z, width, length)
    side = draw_box(canvas, x, z, width, length, 0.2, waist, color)
    draw_box(canvas, x, z + 0.15, width * 0.97, length * 0.72, waist, roof, color, inset=0.22)
    if side is not None:
        panes = [
            lengthwise(side, waist + 0.06, roof - 0.12, z + a, z + b, 0.18)
            for a, b in ((0.4, 1.5), (1.6, 2.7))
        ]
        canvas.fill(panes, _GLASS, canvas.side_light[int(side > 0)])
    canvas.fill(
        [upright(x - 0.42 * width, x + 0.42 * width, waist + 0.04, roof - 0.1, z + 0.15, 0.18)], _GLASS
    )
    _wheels(canvas, x, z, width, length, 0.32, side)
    lamp = (176, 24, 26) if rng.random() < 0.6 else (240, 238, 214)
    lamps = [
        upright(left, left + 0.16 * width, waist - 0.26, waist - 0.1, z)
        for left in (x - 0.48 * width, x + 0.32 * width)
    ]
    canvas.fill(lamps, lamp)
    canvas.fill([upright(x - 0.14 * width, x + 0.14 * width, 0.42, 0.54, z)], (222, 222, 214))


def draw_crossing_car(canvas, rng, x, z):
    """A car that drives across the road, seen from its side."""
    canvas.begin("car", z)
    scale, color = rng.uniform(0.9, 1.1) * rng.choice([-1, 1]), rng.choice(_CAR_COLORS)
    place = lambda outline: [[(x + scale * u, v, z) for u, v in outline]]  # noqa: E731
    _shadow(canvas, x, z - 0.2, 4.2, 1.8)
    canvas.fill(
        place([(-2.1, 0.25), (2.1, 0.25), (2.1, 0.7), (1.1, 0.92), (0.5, 1.45), (-1.3, 1.45), (-2.1, 0.9)]),
        color,
    )
    canvas.fill(place([(-0.25, 0.92), (0.9, 0.92), (0.42, 1.36), (-0.25, 1.36)]), _GLASS)
    canvas.fill(place([(-1.7, 0.92), (-0.35, 0.92), (-0.35, 1.36), (-1.2, 1.36)]), _GLASS)
    for u in (-1.3, 1.3):
        canvas.disk(x + scale * u, 0.32, z, 0.32, _TYRE)
        canvas.disk(x + scale * u, 0.32, z, 0.17, (150, 150, 152))


def draw_truck(canvas, rng, x, z):
    """A truck: a cargo box on wheels, with the cab in front of it."""
    canvas.begin("truck", z)
    length, height, color = rng.uniform(5, 8), rng.uniform(2.9, 3.7), rng.uniform(70, 240, 3)
    _shadow(canvas, x, z, 2.4, length)
    draw_box(canvas, x, z + length, 2.3, 1.9, 0.5, 2.6, rng.choice(_CAR_COLORS))
    side = draw_box(canvas, x, z, 2.4, length, 0.75, height, color)
    canvas.fill([upright(x - 0.04, x + 0.04, 0.8, height - 0.05, z)], color, 0.6)
    canvas.fill([upright(x - 1.15, x + 1.15, 0.5, 0.75, z)], (52, 52, 54))
    _wheels(canvas, x, z, 2.4, length, 0.48, side)
    canvas.fill(
        [upright(x + s * 0.98 - 0.14, x + s * 0.98 + 0.14, 0.54, 0.7, z) for s in (-1, 1)], (186, 26, 22)
    )


def draw_coach(canvas, rng, x, z, class_name="bus"):
    """A bus, or a tram as the class `train`: long, with a band of windows all around."""
    canvas.begin(class_name, z)
    length = rng.uniform(9, 12) if class_name == "bus" else rng.uniform(16, 26)
    height, color = rng.uniform(2.9, 3.3), rng.choice(_COACH_COLORS)
    _shadow(canvas, x, z, 2.5, length)
    side = draw_box(canvas, x, z, 2.5, length, 0.3, height, color)
    if side is not None:
        starts = np.arange(z + 0.4, z + length - 1.2, 1.6)
        canvas.fill([lengthwise(side, 1.25, 2.4, a, a + 1.35) for a in starts], _GLASS)
    canvas.fill([upright(x - 1.12, x + 1.12, 1.2, 2.5, z)], _GLASS)
    canvas.fill([upright(x - 0.8, x + 0.8, 2.6, 2.85, z)], (236, 178, 52))
    _wheels(canvas, x, z, 2.5, length, 0.45, side)


def draw_person(canvas, rng, x, z):
    """Someone who stands or walks."""
    canvas.begin("person", z)
    tall, stride, turn = rng.normal(1.72, 0.09), rng.uniform(0, 0.32), rng.choice([-1, 1])
    trousers, jacket = rng.uniform(20, 150, 3), rng.uniform(20, 230, 3)
    for swing in (-stride, stride):
        canvas.stroke([(x, 0.5 * tall, z), (x + swing, 0.03, z)], 0.15, trousers)
    canvas.fill([upright(x - 0.17, x + 0.17, 0.46 * tall, 0.83 * tall, z, -0.04)], jacket)
    for shoulder, swing in ((-0.22, stride), (0.22, -stride)):
        canvas.stroke(
            [(x + shoulder, 0.8 * tall, z), (x + shoulder + 0.7 * swing, 0.47 * tall, z)], 0.09, jacket, 0.85
        )
    _head(canvas, rng, x + 0.02 * turn, 0.925 * tall, z)


def _head(canvas, rng, x, y, z):
    canvas.disk(x, y, z, 0.125, rng.choice(_SKINS), squeeze=0.8)
    canvas.disk(x, y + 0.06, z, 0.075, rng.choice(_HAIRS), squeeze=1.3)


def draw_two_wheeler(canvas, rng, x, z, class_name="bicycle", ridden=False):
    """A bicycle or motorcycle, seen from any angle, with or without its rider."""
    canvas.begin(class_name, z)
    heavy = class_name == "motorcycle"
    turn, color = rng.choice([-1, 1]) * rng.uniform(0.22, 1.0), rng.uniform(20, 220, 3)
    base, radius = (0.68 if heavy else 0.53) * turn, 0.31 if heavy else 0.35
    for hub in (x - base, x + base):
        canvas.disk(hub, radius, z, radius, _TYRE, squeeze=max(abs(turn), 0.2))
        canvas.disk(hub, radius, z, 0.72 * radius, (122, 122, 118), squeeze=abs(turn))
    seat, bar = (x - 0.35 * base, 0.92, z), (x + 0.62 * base, 1.04, z)
    pedals = (x, 0.3, z)
    width = 0.3 if heavy else 0.07
    canvas.stroke([(x - base, radius, z), seat, pedals, (x - base, radius, z)], 0.07, color, 0.8)
    canvas.stroke([seat, bar, pedals], width, color)
    canvas.stroke([(x + base, radius, z), bar, (bar[0] - 0.12, 1.12, z)], 0.06, (60, 60, 62))
    if ridden:
        _rider(canvas, rng, seat, bar, pedals)


def _rider(canvas, rng, seat, bar, pedals):
    (x, y, z), forward = seat, bar[0] - seat[0]
    canvas.begin("rider", z)
    jacket, trousers = rng.uniform(30, 235, 3), rng.uniform(20, 130, 3)
    shoulder = (x + 0.4 * forward, y + 0.55, z)
    canvas.stroke([seat, (x + 0.7 * forward, y - 0.12, z), (pedals[0], pedals[1] - 0.06, z)], 0.15, trousers)
    canvas.stroke([seat, shoulder], 0.34, jacket)
    canvas.stroke([shoulder, bar], 0.1, jacket, 0.85)
    _head(canvas, rng, x + 0.5 * forward, y + 0.8, z)


def draw_tree(canvas, rng, x, z):
    """A tree: trunk and a crown of leaf clusters in shades of one green."""
    canvas.begin("vegetation", z)
    trunk, spread = rng.uniform(2.0, 3.4), rng.uniform(1.3, 2.6)
    canvas.fill([upright(x - 0.17, x + 0.17, 0, trunk + 0.6, z, 0.05)], (78, 64, 52))
    draw_foliage(canvas, rng, x, trunk + 0.8 * spread, z, spread, count=16 if z < 40 else 8)


def draw_hedge(canvas, rng, x, z):
    """A low bush that touches the ground."""
    canvas.begin("vegetation", z)
    draw_foliage(canvas, rng, x, 0.4, z, rng.uniform(0.5, 0.9), count=7)


def draw_foliage(canvas, rng, x, y, z, spread, count):
    """Leaf clusters within `spread` metres of a point, the upper ones brighter."""
    green = (rng.uniform(48, 112), rng.uniform(88, 128), rng.uniform(30, 56))
    angle, distance = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.uniform(0, 0.8, count))
    right, up = distance * np.cos(angle), distance * np.sin(angle)
    radius, light = spread * rng.uniform(0.3, 0.55, count), rng.uniform(0.6, 0.9, count) + 0.25 * up
    leaves = np.stack([x + spread * right, y + spread * up, radius, light], 1)
    for u, v, r, shade in leaves.tolist():
        canvas.disk(u, v, z, r, green, shade)


def draw_lamp(canvas, rng, x, z):
    """A street lamp that leans over the road."""
    canvas.begin("pole", z)
    tall, arm = rng.uniform(6, 8.5), -np.sign(x) * rng.uniform(1, 2.2)
    gray = rng.uniform(70, 140, 3).mean() * np.ones(3)
    canvas.stroke([(x, 0, z), (x, tall, z)], 0.16, gray)
    canvas.stroke([(x, tall, z), (x + arm, tall + 0.4, z)], 0.1, gray)


def draw_sign(canvas, rng, x, z):
    """A traffic sign on its pole: a disk, a triangle or a board."""
    canvas.begin("pole", z)
    y, radius = rng.uniform(2.1, 2.9), rng.uniform(0.3, 0.45)
    canvas.stroke([(x, 0, z), (x, y + 0.2, z)], 0.09, (126, 126, 128))
    canvas.begin("traffic sign", z)
    rim, face = _SIGN_COLORS[rng.integers(len(_SIGN_COLORS))]
    shape = rng.choice(["disk", "triangle", "board"])
    for size, color in ((radius, rim), (0.68 * radius, face)):
        if shape == "disk":
            canvas.disk(x, y, z, size, color)
        elif shape == "triangle":
            canvas.fill(
                [[(x - size, y - 0.6 * size, z), (x + size, y - 0.6 * size, z), (x, y + size, z)]], color
            )
        else:
            canvas.fill([upright(x - size, x + size, y - 0.8 * size, y + 0.8 * size, z)], color)


def draw_traffic_light(canvas, rng, x, z):
    """A traffic light on its pole, one of three lamps lit."""
    canvas.begin("pole", z)
    y = rng.uniform(2.4, 3.2)
    canvas.stroke([(x, 0, z), (x, y, z)], 0.13, (96, 96, 98))
    canvas.begin("traffic light", z)
    canvas.fill([upright(x - 0.2, x + 0.2, y, y + 1.0, z)], (34, 36, 34))
    lit = rng.integers(3)
    for lamp, color in enumerate(((60, 214, 110), (250, 190, 40), (236, 48, 40))):
        canvas.disk(x, y + 0.2 + 0.3 * lamp, z, 0.12, color, 1.0 if lamp == lit else 0.25)


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
_COACH_COLORS = np.array([(214, 176, 40), (186, 40, 38), (226, 228, 226), (44, 96, 150), (60, 130, 84)])
_SKINS = np.array([(226, 186, 158), (190, 140, 108), (120, 84, 62), (240, 204, 180)])
_HAIRS = np.array([(36, 28, 24), (92, 66, 44), (160, 128, 80), (120, 120, 120), (40, 70, 140)])
_SIGN_COLORS = (
    ((196, 32, 34), (238, 238, 236)),
    ((32, 78, 168), (44, 92, 184)),
    ((238, 238, 236), (240, 198, 36)),
    ((36, 120, 72), (44, 132, 82)),
)
