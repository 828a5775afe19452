"""How the camera and the traffic of a video move, so that the camera drives into nobody."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

FRAMES_PER_SECOND = 10
# The camera's lane reaches this far to either side (m).
HALF_LANE = 1.9
_LEAST_DISTANCE = 5.0


class Place(NamedTuple):
    """Where a thing stands or moves, and the function that chooses what it looks like.

    Attributes:
        x, z: metres right of and ahead of the camera at the start.
        make: function of a `Generator` and `arguments` that returns `draw(canvas, x, z)`.
        velocity: metres a second to the right and ahead.
        reach: it stays between these two `x`.
        order: metres behind `z` of the point that says what hides what.
        has_instance: bool. Whether it is of a thing class.
    """

    x: float
    z: float
    make: Callable
    arguments: tuple = ()
    velocity: tuple[float, float] = (0.0, 0.0)
    reach: tuple[float, float] = (-math.inf, math.inf)
    order: float = 0.0
    has_instance: bool = False

    def at(self, time):
        """`x` and `z` at a time (s), or an array of times, seen from where the camera started."""
        sideways, ahead = self.velocity
        x = np.clip(self.x + sideways * time, *self.reach) if sideways else self.x
        return x, self.z + ahead * time


class Motion(NamedTuple):
    """What a video has of motion.

    Attributes:
        rng: `Generator` for motion alone, so that it changes nothing else.
        seconds: how long the video lasts; 0 for a single picture, in which nothing has to move.
        speed: how fast the camera would like to drive, metres a second.
    """

    rng: np.random.Generator
    seconds: float
    speed: float

    @property
    def travel(self) -> float:
        """How far the camera would like to drive, in metres."""
        return self.seconds * self.speed


def choose_motion(rng: np.random.Generator, seconds: float) -> Motion:
    """Mostly the camera drives; sometimes it stands."""
    drives = seconds > 0 and rng.random() < 0.85
    return Motion(rng, seconds, rng.uniform(2, 14) if drives else 0.0)


def choose_lane(motion: Motion, x: float, middle: float) -> tuple[int, float]:
    """Where the vehicles of a lane at `x` head (1 ahead, -1 towards the camera) and their speed.

    Those left of the road's middle come towards the camera, unless the camera drives there itself. Without
    motion both are 0: vehicles look in any direction.
    """
    if not motion.seconds:
        return 0, 0.0
    return -1 if x < min(middle, -HALF_LANE) else 1, motion.rng.uniform(4, 14)


def choose_walk(motion: Motion, stands: float = 0.2) -> float:
    """The speed of someone on foot, negative for the other direction; some stand."""
    if not motion.seconds or motion.rng.random() < stands:
        return 0.0
    speed = motion.rng.uniform(0.8, 1.6)
    return speed if motion.rng.random() < 0.5 else -speed


def safe_speed(motion: Motion, places: list[Place]) -> float:
    """The speed at which the camera keeps its distance from all that is in its lane, metres a second."""
    speed = motion.speed
    if not speed:
        return speed
    step = 1 / FRAMES_PER_SECOND
    times = np.arange(step, motion.seconds + step / 2, step)
    for place in places:
        if place.velocity[0] or abs(place.x) < HALF_LANE:
            x, z = place.at(times)
            limits = np.where(np.abs(x) < HALF_LANE, (z - _LEAST_DISTANCE) / times, speed)
            speed = min(speed, max(limits.min().item(), 0.0))
    return speed
