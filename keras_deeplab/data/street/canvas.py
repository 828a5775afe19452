"""A pinhole camera, and a canvas that notes what is painted and then paints it all at once.

Positions are metres: `x` to the right of the camera, `y` above the ground, `z` ahead of the camera.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

NEAR = 0.4
_SUBPIXEL_BITS = 4
_ONE = 1 << _SUBPIXEL_BITS


@dataclasses.dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks along a road which may bend sideways.

    Attributes:
        focal: focal length in pixels.
        horizon: the row of the horizon, which may lie between two rows.
        center: the column that the camera looks to.
        height: of the lens above the ground, in metres.
        bend: how far to the right the road is after `z` metres, in metres per `z * z`.
    """

    focal: float
    horizon: float
    center: float
    height: float = 1.4
    bend: float = 0.0

    def straighten(self, points) -> np.ndarray:
        """points (n, 3) along the road -> float64 (n, 3), right of, above and ahead of the lens."""
        points = np.array(points, float)
        points[:, 0] += self.bend * points[:, 2] * points[:, 2]
        points[:, 1] -= self.height
        return points

    def project(self, points) -> np.ndarray:
        """points (n, 3) along the road -> float64 (n, 2), x and y in pixels."""
        return self.look(self.straighten(points))

    def look(self, points) -> np.ndarray:
        """What `straighten` returns -> float64 (n, 2), x and y in pixels."""
        scale = self.focal / points[:, 2]
        return np.stack([self.center + scale * points[:, 0], self.horizon - scale * points[:, 1]], 1)

    def rays(self, image_size) -> tuple[np.ndarray, np.ndarray]:
        """How far right, float32 `[W]`, and down, float32 `[H, 1]`, pixels look for each metre ahead."""
        rows, columns = (np.arange(length, dtype=np.float32) for length in image_size)
        right = (columns - np.float32(self.center)) / np.float32(self.focal)
        down = (rows - np.float32(self.horizon)) / np.float32(self.focal)
        return right, down[:, None]


class _Primitive(NamedTuple):
    """One colour on one plane: a call of OpenCV.

    Attributes:
        draw: function of `(target, pixels, number, size)`, which gives pixels of `target` the number.
        size: what `draw` has to know beside the points.
        count: number of points.
        region: index into the canvas's `classes`.
        label: whether it is a thing, or only changes the picture.
        color, light: its own colour, and the factor of its brightness.
        clear: what the haze leaves of it.
        glow: whether it is a lamp.
    """

    draw: Callable
    size: object
    count: int
    region: int
    label: bool
    color: object
    light: float
    clear: float
    glow: bool

    @property
    def corners(self) -> int:
        """Number of points of one polygon, where there are several; else of all points."""
        return self.size if self.draw is _draw_polygons else self.count


class Canvas:
    """Notes primitives in the order of painting: what comes later covers what came before.

    Args:
        image_size: `(height, width)` in pixels.
        camera: `Camera`.
        haze: `(red, green, blue)` that things fade into with the distance.
        visibility: float. Metres after which a third (1 / e) of a thing's own colour is left.
        side_light: brightness of the faces that look to the right, and to the left.
        lamps: bool. Whether lamps and windows are lit.
        shadow: how far shadows fall to the right and ahead, in metres a metre of height. `None`: no shadows.
        time: float. Seconds since the start, for what moves on the spot.

    Attributes:
        classes: list of str, the class name of each region; entry 0 is `None` (void).
        instances: list of int, the instance of each region, 0 for none.
        instance: int, given to the regions that follow.
        shadows: list of float arrays (n, 3); the hull of each one's shadow darkens the ground.
        sky: uint8 `[rows, W, 3]` or `None`, what the primitive `sky_number` shows instead of its colour.
        ground: range of the numbers of primitives that lie on the ground.
    """

    def __init__(self, image_size, camera, haze, visibility, side_light, lamps=False, shadow=None, time=0.0):
        self.image_size = tuple(image_size)
        self.camera = camera
        self.haze = tuple(haze)
        self.visibility = visibility
        self.side_light = side_light
        self.lamps = lamps
        self.shadow = shadow
        self.time = time
        self.classes = [None]
        self.instances = [0]
        self.instance = 0
        self.shadows = []
        self.sky, self.sky_number = None, 0
        self.ground = range(0)
        self._clear = 1.0
        self._points = [np.zeros((1, 3))]
        # Number 0 is where nothing was painted.
        self._primitives = [_Primitive(_draw_nothing, None, 1, 0, True, (0, 0, 0), 1.0, 1.0, False)]

    @property
    def next_number(self) -> int:
        """The number of the primitive that comes next."""
        return len(self._primitives)

    def begin(self, class_name: str | None, z: float = 0.0):
        """Starts a region of a class (`None`: void) at a distance, which sets its haze."""
        self.classes.append(class_name)
        self.instances.append(self.instance)
        self._clear = math.exp(-max(z, 0.0) / self.visibility)

    def fill(self, polygons, color, light=1.0, label=True, glow=False):
        """Fills polygons (n, k, 3) on one plane. `label=False` changes the picture only: shadow, marking."""
        polygons = np.asarray(polygons, float)
        self._note(_draw_polygons, polygons.shape[1], polygons.reshape(-1, 3), color, light, label, glow)

    def fill_rows(self, top: int, bottom: int, points, color):
        """Fills rows of the picture; `points` (n, 3) lie on the plane that they show."""
        self._note(_draw_rows, slice(top, bottom), points, color)

    def disk(self, x, y, z, radius, color, light=1.0, squeeze=1.0, glow=False):
        """Fills an upright ellipse of vertical `radius` metres, `squeeze` times as wide as high."""
        radius = self.camera.focal * radius / max(z, NEAR) * _ONE
        axes = max(int(radius * squeeze), 8), max(int(radius), 8)
        self._note(_draw_ellipse, axes, ((x, y, z),), color, light, glow=glow)

    def disks(self, points, radii, color, lights):
        """Fills upright circles at points (n, 3), one over another, each with its radius (m) and light."""
        radii = self.camera.focal * radii / np.maximum(points[:, 2], NEAR) * _ONE
        radii = np.maximum(radii.astype(int), 8).tolist()
        region, clear = len(self.classes) - 1, self._clear
        self._points.append(points)
        self._primitives += [
            _Primitive(_draw_ellipse, (radius, radius), 1, region, True, color, light, clear, False)
            for radius, light in zip(radii, lights, strict=True)
        ]

    def stroke(self, points, width, color, light=1.0):
        """Draws a line through points (n, 3), `width` metres thick and at least one pixel."""
        thickness = max(1, round(self.camera.focal * width / max(points[0][2], NEAR)))
        self._note(_draw_line, thickness, points, color, light)

    def cast(self, points):
        """Lets a convex body with these corners (n, 3) throw a shadow on the ground."""
        if self.shadow is not None:
            self.shadows.append(np.array(points, float))

    def _note(self, draw, size, points, color, light=1.0, label=True, glow=False):
        region = len(self.classes) - 1
        self._points.append(points)
        self._primitives.append(
            _Primitive(draw, size, len(points), region, label, color, light, self._clear, glow)
        )

    def paint(self) -> Painting:
        """Paints everything that was noted."""
        primitives, camera = self._primitives, self.camera
        counts = np.array([p.count for p in primitives])
        starts = np.cumsum(counts) - counts
        corners = camera.straighten(np.concatenate(self._points))
        near = np.logical_or.reduceat(corners[:, 2] < NEAR, starts)
        near[0] = False
        pixels = _project(camera, corners)
        surfaces = np.zeros(self.image_size, np.int32)
        marks = np.zeros(self.image_size, np.int32)
        for number, (primitive, start, is_near) in enumerate(
            zip(primitives, starts.tolist(), near.tolist(), strict=True)
        ):
            target = surfaces if primitive.label else marks
            stop = start + primitive.count
            if not is_near:
                primitive.draw(target, pixels[start:stop], number, primitive.size)
            elif primitive.draw is _draw_polygons:
                polygons = corners[start:stop].reshape(-1, primitive.size, 3)
                for points in _cut_at_lens(polygons, pixels[start:stop], camera):
                    _draw_polygons(target, points, number, len(points))
        return Painting(surfaces, np.maximum(surfaces, marks), primitives, corners, starts, camera)

    def shade(self) -> np.ndarray | None:
        """Where shadows fall on the ground: uint8 `[H, W]`, 1 in shadow; `None` without shadows."""
        if not self.shadows:
            return None
        mask = np.zeros(self.image_size, np.uint8)
        points = np.concatenate(self.shadows)
        right, ahead = self.shadow
        points = points + points[:, 1:2] * (right, -1, ahead)
        corners = self.camera.straighten(points)
        pixels = _project(self.camera, corners)
        stops = np.cumsum([len(body) for body in self.shadows])
        starts = [0, *stops[:-1].tolist()]
        near = np.logical_or.reduceat(corners[:, 2] < NEAR, starts).tolist()
        for start, stop, is_near in zip(starts, stops.tolist(), near, strict=True):
            hull = pixels[start:stop]
            if is_near:
                order = cv2.convexHull(points[start:stop, [0, 2]].astype(np.float32), returnPoints=False)
                hull = _project(self.camera, clip_near(corners[start:stop][order[:, 0]]))
            if len(hull):
                cv2.fillConvexPoly(mask, cv2.convexHull(hull), 1, cv2.LINE_8, _SUBPIXEL_BITS)
        return mask


class Painting(NamedTuple):
    """Which primitive each pixel shows.

    Attributes:
        surfaces: int32 `[H, W]`, the number of the thing's primitive that is seen.
        top: int32 `[H, W]`, the same with shadows and markings on it.
        primitives: list of primitives by their number.
        corners: float64 (n, 3), their corners, straightened.
        starts: int (number of primitives), where the corners of each begin.
        camera: `Camera`.
    """

    surfaces: np.ndarray
    top: np.ndarray
    primitives: list
    corners: np.ndarray
    starts: np.ndarray
    camera: Camera

    def region_numbers(self) -> np.ndarray:
        """The region of each primitive, an index into the canvas's `classes`."""
        return np.array([p.region for p in self.primitives])

    def regions(self) -> np.ndarray:
        """int `[H, W]`, the region of each pixel."""
        return np.take(self.region_numbers(), self.surfaces, mode="clip")

    def is_seen(self) -> np.ndarray:
        """bool (number of primitives), which of them are seen anywhere."""
        return np.bincount(self.surfaces.ravel(), minlength=len(self.primitives)) > 0


def clip_near(polygon):
    """The part of a straightened polygon (k, 3) that lies before the lens; may be empty."""
    ahead = polygon[:, 2] - NEAR
    before = ahead >= 0
    next_corner = np.arange(1, len(polygon) + 1) % len(polygon)
    crosses = before != before[next_corner]
    share = ahead / np.where(crosses, ahead - ahead[next_corner], 1)
    corners = np.empty((len(polygon), 2, 3))
    corners[:, 0] = polygon
    corners[:, 1] = polygon + share[:, None] * (polygon[next_corner] - polygon)
    return corners[np.array([before, crosses]).T]


def _cut_at_lens(polygons, pixels, camera):
    """Straightened polygons (n, k, 3) and their pixels (n * k, 2) -> pixels of what is before the lens."""
    before = polygons[:, :, 2] >= NEAR
    pixels = pixels.reshape(*before.shape, 2)
    for polygon, corners, is_whole, is_seen in zip(
        polygons, pixels, before.all(1).tolist(), before.any(1).tolist(), strict=True
    ):
        if is_seen:
            yield corners if is_whole else _project(camera, clip_near(polygon))


def _project(camera, corners):
    """Straightened points (n, 3) -> int32 (n, 2), pixels in OpenCV's fixed-point numbers."""
    with np.errstate(divide="ignore", invalid="ignore"):
        pixels = np.nan_to_num(camera.look(corners))
    # Far outside of the picture OpenCV's own arithmetic would overflow.
    return np.rint(np.clip(pixels, -(2.0**22), 2.0**22) * _ONE).astype(np.int32)


def _draw_nothing(target, pixels, number, size):
    pass


def _draw_rows(target, pixels, number, rows):
    target[rows] = number


def _draw_polygons(target, pixels, number, corners):
    cv2.fillPoly(target, pixels.reshape(-1, corners, 2), number, cv2.LINE_8, _SUBPIXEL_BITS)


def _draw_ellipse(target, pixels, number, axes):
    center = pixels[0].tolist()
    cv2.ellipse(target, center, axes, 0, 0, 360, number, -1, cv2.LINE_8, _SUBPIXEL_BITS)


def _draw_line(target, pixels, number, thickness):
    cv2.polylines(target, [pixels], False, number, thickness, cv2.LINE_8, _SUBPIXEL_BITS)
