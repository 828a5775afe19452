"""A pinhole camera and a picture whose pixels remember which object they show.

Positions are metres: `x` to the right of the camera, `y` above the ground, `z` ahead of the camera.
"""

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np

_SUBPIXEL_BITS = 4


@dataclasses.dataclass(frozen=True)
class Camera:
    """A pinhole camera at `height` metres that looks along a road which may bend sideways."""

    focal: float
    horizon: float
    center: float
    height: float = 1.4
    bend: float = 0.0

    def pixel(self, x, y, z):
        """A point in metres, or arrays of them -> x and y in pixels."""
        scale = self.focal / z
        return self.center + scale * (x + self.bend * z * z), self.horizon + scale * (self.height - y)

    def project(self, points) -> np.ndarray:
        """points (n, 3) in metres -> float64 (n, 2), x and y in pixels."""
        points = np.asarray(points, float)
        pixels = np.empty((len(points), 2))
        pixels[:, 0], pixels[:, 1] = self.pixel(points[:, 0], points[:, 1], points[:, 2])
        return pixels


class Canvas:
    """A picture and, for each pixel, the number of the object that was painted there last.

    Attributes:
        image: uint8 `[H, W, 3]`, RGB.
        regions: int32 `[H, W]`, indices into `classes`; 0 where nothing was painted.
        classes: list of str, the class name of each object; entry 0 is `None` (void).
    """

    def __init__(self, image_size, camera, haze, visibility, side_light):
        self.image = np.zeros((*image_size, 3), np.uint8)
        self.regions = np.zeros(image_size, np.int32)
        self.classes = [None]
        self.camera = camera
        self.haze = tuple(haze)
        self.visibility = visibility
        self.side_light = side_light
        self._clear = 1.0

    def begin(self, class_name: str | None, z: float = 0.0):
        """Starts an object of a class (`None`: void) at a distance, which sets its haze."""
        self.classes.append(class_name)
        self._clear = math.exp(-z / self.visibility)

    def tint(self, color, light=1.0):
        """`color` as it looks at the current object's distance, as a tuple for OpenCV."""
        bright, veil = light * self._clear, 1 - self._clear
        return tuple(min(max(c * bright + h * veil, 0), 255) for c, h in zip(color, self.haze, strict=True))

    def fill(self, polygons, color, light=1.0, label=True):
        """Fills polygons (n, k, 3) in metres. `label=False` changes the picture only: shadows, markings."""
        polygons = np.asarray(polygons, float)
        pixels = self.camera.project(polygons.reshape(-1, 3)).reshape(*polygons.shape[:2], 2)
        self.fill_pixels(pixels, color, light, label)

    def fill_pixels(self, polygons, color, light=1.0, label=True):
        """Fills polygons (n, k, 2), x and y in pixels."""
        corners = list(np.round(np.asarray(polygons) * (1 << _SUBPIXEL_BITS)).astype(np.int32))
        cv2.fillPoly(self.image, corners, self.tint(color, light), shift=_SUBPIXEL_BITS)
        if label:
            cv2.fillPoly(self.regions, corners, len(self.classes) - 1, shift=_SUBPIXEL_BITS)

    def disk(self, x, y, z, radius, color, light=1.0, squeeze=1.0, label=True):
        """Fills an upright ellipse of vertical `radius` metres, `squeeze` times as wide as high."""
        u, v = self.camera.pixel(x, y, z)
        one = 1 << _SUBPIXEL_BITS
        radius = self.camera.focal * radius / z * one
        at, axes = (round(u * one), round(v * one)), (max(int(radius * squeeze), 8), max(int(radius), 8))
        cv2.ellipse(self.image, at, axes, 0, 0, 360, self.tint(color, light), -1, shift=_SUBPIXEL_BITS)
        if label:
            cv2.ellipse(self.regions, at, axes, 0, 0, 360, len(self.classes) - 1, -1, shift=_SUBPIXEL_BITS)

    def stroke(self, points, width, color, light=1.0):
        """Draws a line through points (n, 3), `width` metres thick and at least one pixel."""
        pixels = np.round(self.camera.project(points) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
        thickness = max(1, round(self.camera.focal * width / points[0][2]))
        cv2.polylines(self.image, [pixels], False, self.tint(color, light), thickness, shift=_SUBPIXEL_BITS)
        number = len(self.classes) - 1
        cv2.polylines(self.regions, [pixels], False, number, thickness, shift=_SUBPIXEL_BITS)


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
