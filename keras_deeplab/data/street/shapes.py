"""Faces and boxes of which things are built."""

from __future__ import annotations

import numpy as np

LAMPLIGHT = (255, 214, 140)


def upright(x0, x1, y0, y1, z, inset=0.0):
    """A quadrilateral that faces the camera; at the top `inset` metres further in and further away."""
    return [(x0, y0, z), (x1, y0, z), (x1 - inset, y1, z + inset), (x0 + inset, y1, z + inset)]


def lengthwise(x, y0, y1, z0, z1, inset=0.0):
    """A quadrilateral along the road; `inset` metres shorter at each end at the top."""
    return [(x, y0, z0), (x, y0, z1), (x, y1, z1 - inset), (x, y1, z0 + inset)]


def visible_side(x, width):
    """The `x` of the side face that the camera sees, or `None` when it looks straight at the object."""
    if x - width / 2 > 0:
        return x - width / 2
    return x + width / 2 if x + width / 2 < 0 else None


def draw_box(canvas, x, z, width, length, y0, y1, color, inset=0.0):
    """The visible faces of a box, `inset` metres narrower at the top; returns the `x` of its visible side."""
    side = visible_side(x, width)
    if side is not None:
        lean = inset if side > 0 else -inset
        quad = np.array(lengthwise(side, y0, y1, z, z + length, inset))
        quad[2:, 0] += lean
        canvas.fill([quad], color, canvas.side_light[int(side > 0)])
    x0, x1 = x - width / 2 + inset, x + width / 2 - inset
    near, far = z + inset, z + length - inset
    if y1 < canvas.camera.height:
        canvas.fill([[(x0, y1, near), (x1, y1, near), (x1, y1, far), (x0, y1, far)]], color, 1.15)
    canvas.fill([upright(x - width / 2, x + width / 2, y0, y1, z, inset)], color, 0.9)
    if canvas.shadow is not None:
        foot = [(u, 0, v) for u in (x - width / 2, x + width / 2) for v in (z, z + length)]
        canvas.cast(foot + [(u, y1, v) for u in (x0, x1) for v in (near, far)])
    return side


def cast_upright(canvas, x0, x1, y, z):
    """The shadow of what stands upright and is thin."""
    canvas.cast([(x0, 0, z), (x1, 0, z), (x0, y, z), (x1, y, z)])
