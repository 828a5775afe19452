"""A street: chosen from random numbers once, painted as it looks at any time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from keras_deeplab.data.street import background
from keras_deeplab.data.street.canvas import NEAR, Camera, Canvas
from keras_deeplab.data.street.motion import Place, choose_motion, safe_speed
from keras_deeplab.data.street.photograph import Film, draw_film
from keras_deeplab.data.street.pick import pick
from keras_deeplab.data.street.placement import choose_road, place_things
from keras_deeplab.data.street.weather import Weather

# How far something with instances may reach beyond its own `z`: the longest tram.
_LONGEST = 30.0


class Thing(NamedTuple):
    """A thing of a scene: its place, `draw(canvas, x, z)`, and its number among the instances or 0."""

    place: Place
    draw: Callable
    instance: int


class Scene(NamedTuple):
    """A street with everything in it, and the light of the day.

    Attributes:
        camera: `Camera`.
        speed: of the camera, metres a second.
        air: arguments of `Canvas`: haze, light and shadows.
        draw_sky: `draw(canvas)`.
        draw_skyline: `draw(canvas, z)`, for the end of the street at `z`.
        draw_ground: `draw(canvas, driven)`, for a camera that has driven so many metres.
        draw_hood: `draw(canvas)`, or `None`.
        end: metres from the start to the end of the street.
        things: list of `Thing`, at the start from far to near.
        film: `Film`.
    """

    camera: Camera
    speed: float
    air: dict
    draw_sky: Callable
    draw_skyline: Callable
    draw_ground: Callable
    draw_hood: Callable | None
    end: float
    things: list[Thing]
    film: Film


def build_scene(
    rng: np.random.Generator,
    image_size: tuple[int, int],
    weather: Weather,
    seconds: float,
    extra_rng: np.random.Generator,
) -> Scene:
    """Chooses a street, what is in it and the light.

    Args:
        rng: `Generator` for the street.
        image_size: `(height, width)` in pixels.
        weather: `Weather`.
        seconds: how long it will be filmed; 0 for a single picture, in which nothing has to move.
        extra_rng: `Generator` for motion and weather, so that the street is the same without them.

    Returns:
        `Scene`.
    """
    height, width = image_size
    camera = Camera(
        focal=width * rng.uniform(0.75, 1.15),
        horizon=height * rng.uniform(0.38, 0.5),
        center=width * rng.uniform(0.42, 0.58),
        height=rng.uniform(1.25, 1.7),
        bend=pick(rng, (0.0, rng.uniform(-0.002, 0.002))),
    )
    air = _choose_air(rng, weather, extra_rng)
    motion = choose_motion(extra_rng, seconds)
    end = background.FAR + motion.travel
    draw_sky = background.make_sky(rng, weather)
    draw_skyline = background.make_skyline(rng, width, camera, end)
    road = choose_road(rng)
    draw_ground = background.make_ground(rng, camera, height, road, motion.travel)
    places = place_things(rng, road, motion)
    things = _make_things(rng, places)
    draw_hood = background.make_hood(rng) if rng.random() < 0.3 else None
    film = draw_film(rng, image_size, weather, extra_rng)
    speed = safe_speed(motion, places)
    return Scene(camera, speed, air, draw_sky, draw_skyline, draw_ground, draw_hood, end, things, film)


def paint_scene(scene: Scene, image_size: tuple[int, int], time: float = 0.0) -> Canvas:
    """Notes everything that is seen `time` seconds after the start, from far to near."""
    canvas = Canvas(image_size, scene.camera, time=time, **scene.air)
    driven = scene.speed * time
    scene.draw_sky(canvas)
    scene.draw_skyline(canvas, scene.end - driven)
    scene.draw_ground(canvas, driven)
    seen = []
    for thing in scene.things:
        x, z = thing.place.at(time)
        z -= driven
        if z + (_LONGEST if thing.instance else thing.place.order) > NEAR:
            seen.append((z + thing.place.order, thing, x, z))
    # Stable, so that at the start the order is that of the places.
    seen.sort(key=lambda item: -item[0])
    for _, thing, x, z in seen:
        canvas.instance = thing.instance
        thing.draw(canvas, x, z)
    canvas.instance = 0
    if scene.draw_hood is not None:
        scene.draw_hood(canvas)
    return canvas


def _choose_air(rng, weather, extra_rng):
    haze = rng.uniform(*weather.haze) * np.array(weather.haze_color)
    right, left = rng.uniform(*weather.side_light, 2).tolist()
    # Shadows fall away from the side that the brighter faces look to.
    slant = math.copysign(extra_rng.uniform(*weather.slant), left - right)
    ahead = slant * extra_rng.uniform(-0.8, 0.8)
    return {
        "haze": tuple(haze.tolist()),
        "visibility": rng.uniform(*weather.visibility),
        "side_light": (right, left),
        "lamps": weather.lamps,
        "shadow": (slant, ahead) if weather.shadow[1] else None,
    }


def _make_things(rng, places):
    things, count = [], 0
    for place in places:
        count += place.has_instance
        draw = place.make(rng, *place.arguments)
        things.append(Thing(place, draw, count if place.has_instance else 0))
    return things
