"""What stands where along a road."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keras_deeplab.data.street import background, people, roadside, vehicles
from keras_deeplab.data.street.motion import HALF_LANE, Motion, Place, choose_lane, choose_walk
from keras_deeplab.data.street.pick import pick

# What a row of parked cars takes of the road (m).
_PARKING = 2.2
_FURNITURE = (
    (roadside.make_tree, 9),
    (roadside.make_lamp, 5),
    (roadside.make_sign, 5),
    (roadside.make_traffic_light, 3),
    (roadside.make_hedge, 5),
)
_MOVING = (
    (vehicles.make_car, 5, ()),
    (vehicles.make_truck, 11, ()),
    (vehicles.make_bus, 13, ()),
    (vehicles.make_tram, 27, ()),
    (people.make_two_wheeler, 3, ("bicycle", True)),
    (people.make_two_wheeler, 3, ("motorcycle", True)),
)
_MOVING_ODDS = (0.66, 0.09, 0.06, 0.03, 0.1, 0.06)


class Road(NamedTuple):
    """The road from `left` to `right`, pavements beside it, and the distance of the houses; all in metres."""

    left: float
    right: float
    pavement: float
    setback: float
    is_green: bool


def choose_road(rng: np.random.Generator) -> Road:
    """A road of two lanes or more, with the camera on it."""
    left = -rng.uniform(4.6, 9.5)
    right = max(left + pick(rng, (7.0, 9.0, 12.5)), 2.2)
    pavement = rng.uniform(1.8, 3.6)
    is_green = rng.random() < 0.35
    setback = pavement + (rng.uniform(2, 7) if is_green else rng.uniform(0, 0.6))
    return Road(left, right, pavement, setback, is_green)


def place_things(rng: np.random.Generator, road: Road, motion: Motion) -> list[Place]:
    """Everything along and on the road, from far to near."""
    places = []
    for side, edge in ((-1, road.left), (1, road.right)):
        places += _houses_and_barriers(rng, road, side, edge, motion.travel)
        places += _furniture(rng, road, side, edge, motion.travel)
    places += _parked_cars(rng, road, motion) + _traffic(rng, road, motion)
    for side, edge in ((-1, road.left), (1, road.right)):
        places += _on_the_pavement(rng, road, side, edge, motion)
    places += _crossing_the_road(rng, road, motion)
    return sorted(places, key=lambda place: -(place.z + place.order))


def _houses_and_barriers(rng, road, side, edge, travel):
    places = []
    z, x = rng.uniform(-4, 12), edge + side * road.setback
    built_up = rng.uniform(0.4, 1.0)
    while z < 160 + travel:
        length = rng.uniform(7, 22)
        near, kind = max(z, 2.5), rng.random()
        rest = z + length - near
        if z + length > 4 and kind < built_up:
            places.append(Place(x, near, background.make_building, (rest, side), order=rest))
        elif z + length > 4:
            arguments = rest, pick(rng, ("wall", "fence"))
            places.append(Place(x, near, background.make_barrier, arguments, order=rest))
            for at in rng.uniform(near, z + length, 3).tolist():
                places.append(_tree(x + side * rng.uniform(2, 9), at, travel))
        z += length + pick(rng, (0.0, 0.0, rng.uniform(2, 9)))
    return places


def _furniture(rng, road, side, edge, travel):
    """Trees, lamps, signs, traffic lights and hedges between the road and the houses."""
    places = []
    for make, most in _FURNITURE:
        x = edge + side * (road.setback * 0.85 if make is roadside.make_hedge else 0.5)
        for z in _scatter(rng, most, travel):
            at = x + side * rng.uniform(0, 0.5)
            if make is roadside.make_tree:
                places.append(_tree(at, z, travel))
            else:
                places.append(Place(at, z, make, (side,) if make is roadside.make_lamp else ()))
    return places


def _tree(x, z, travel):
    return Place(x, z, roadside.make_tree, (16 if z - travel < 40 else 8,))


def _scatter(rng, most, travel):
    """Distances of up to `most` things in the next 80 metres, more of them near, and of some further on."""
    near = 5 + 75 * rng.random(rng.integers(0, most + 1)) ** 1.6
    further = 80 + travel * rng.random(round(most * rng.random() * travel / 75)) if travel else []
    return [*near.tolist(), *further]


def _parked_cars(rng, road, motion):
    """Rows along the kerbs."""
    width = road.right - road.left
    places = []
    for x, is_free in zip((road.left + 1.1, road.right - 1.1), _parking(road, motion), strict=True):
        z = rng.uniform(4, 25)
        while is_free and z < 70 + motion.travel and width > 6 and rng.random() < 0.75:
            make = vehicles.make_truck if rng.random() < 0.06 else vehicles.make_car
            places.append(Place(x + rng.uniform(-0.15, 0.15), z, make, has_instance=True))
            z += pick(rng, (rng.uniform(5.5, 7.5), rng.uniform(9, 30)))
            z += 5 if make is vehicles.make_truck else 0
    return places


def _parking(road, motion):
    """Whether cars may park on the left and on the right: in a video, where traffic has room beside them."""
    width = road.right - road.left
    if not motion.seconds:
        return True, True
    return width >= 9, width > 9 and road.right - _PARKING > HALF_LANE


def _traffic(rng, road, motion):
    """Vehicles in their lanes, which in a video are those beside the parked cars."""
    x0, x1 = road.left, road.right
    if motion.seconds:
        parks_left, parks_right = _parking(road, motion)
        x0, x1 = x0 + parks_left * _PARKING, x1 - parks_right * _PARKING
    places = []
    lanes = np.linspace(x0, x1, max(2, round((x1 - x0) / 3.3)) + 1)
    for x in ((lanes[:-1] + lanes[1:]) / 2).tolist():
        heading, speed = choose_lane(motion, x, (x0 + x1) / 2)
        z = 6 + 60 * rng.random() ** 1.3
        while z < 120 + motion.travel and rng.random() < 0.55:
            make, room, extra = _MOVING[rng.choice(len(_MOVING), p=_MOVING_ODDS)]
            at, velocity = x + rng.uniform(-0.3, 0.3), (0.0, heading * speed)
            places.append(Place(at, z, make, (*extra, heading), velocity, has_instance=True))
            z += room + rng.uniform(6, 40)
    if rng.random() < 0.18:
        z, x = rng.uniform(12, 45), rng.uniform(road.left - 3, road.right + 3)
        heading = (1 if x < 0 else -1) if motion.seconds else 0
        reach = (road.left - 3, road.right + 3)
        make, velocity = vehicles.make_crossing_car, (5.0 * heading, 0.0)
        places.append(Place(x, z, make, (heading,), velocity, reach, has_instance=True))
    return places


def _on_the_pavement(rng, road, side, edge, motion):
    """Pedestrians in small groups, and parked two-wheelers."""
    places = []
    groups = rng.integers(0, 5)
    for group in range(groups + round(motion.travel / 20)):
        z = 4 + 40 * rng.random() ** 1.5 if group < groups else rng.uniform(30, 44 + motion.travel)
        x = edge + side * rng.uniform(0.3, road.pavement)
        for _ in range(rng.integers(1, 4)):
            x, z = x + rng.normal(0, 0.6), max(z + rng.normal(0, 0.7), 3.0)
            walk = choose_walk(motion)
            places.append(Place(x, z, people.make_person, (walk != 0,), (0.0, walk), has_instance=True))
    if rng.random() < 0.4:
        z, kind = rng.uniform(4, 25), _two_wheeler(rng)
        at = z + rng.uniform(0.3, 0.9) * np.arange(rng.integers(1, 5))
        x = edge + side * 0.6
        places += [Place(x, a, people.make_two_wheeler, (kind,), has_instance=True) for a in at.tolist()]
    return places


def _crossing_the_road(rng, road, motion):
    """Someone who rides somewhere on the road, and pedestrians who cross it."""
    places = []
    if rng.random() < 0.4:
        z = 4.5 + 18 * rng.random()
        kind, x = _two_wheeler(rng), rng.uniform(road.left, road.right)
        heading, speed = choose_lane(motion, x, 0.0)
        velocity = (0.0, heading * speed / 2)
        places.append(Place(x, z, people.make_two_wheeler, (kind, True), velocity, has_instance=True))
    if rng.random() < 0.4:
        z = 5 + 30 * rng.random()
        reach = (road.left - 1, road.right + 1)
        for k, x in enumerate(rng.uniform(road.left, road.right, rng.integers(1, 4)).tolist()):
            walk = choose_walk(motion, stands=0.0)
            make, order = people.make_person, 0.01 * k
            places.append(Place(x, z, make, (walk != 0,), (walk, 0.0), reach, order, True))
    return places


def _two_wheeler(rng):
    return ("bicycle", "motorcycle")[int(rng.random() < 0.3)]
