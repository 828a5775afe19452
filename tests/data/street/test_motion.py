import numpy as np
import pytest

from keras_deeplab.data.street.motion import (
    Motion,
    Place,
    choose_lane,
    choose_motion,
    choose_walk,
    safe_speed,
)


def motion(seconds=2.0, speed=10.0):
    return Motion(np.random.default_rng(0), seconds, speed)


def test_things_move_in_a_straight_line_within_their_reach():
    place = Place(1.0, 20.0, None, velocity=(2.0, -3.0), reach=(-4.0, 4.0))
    assert place.at(0) == (1.0, 20.0)
    assert place.at(1) == (3.0, 17.0)
    assert place.at(5) == (4.0, 5.0)


@pytest.mark.parametrize(
    ("place", "speed"),
    [
        (Place(3.0, 8.0, None), 10),  # beside the lane
        (Place(0.0, 60.0, None), 10),  # far away
        (Place(0.0, 15.0, None), 5),  # stands in the lane: 10 m in 2 s
        (Place(0.0, 15.0, None, velocity=(0.0, 3.0)), 8),  # drives ahead, 6 m in 2 s
        (Place(2.9, 15.0, None, velocity=(-1.0, 0.0)), 5),  # comes from the side, and is there after 1 s
        (Place(1.0, 8.0, None, velocity=(1.0, 0.0)), 3.75),  # leaves the lane after 0.8 s
        (Place(6.0, 15.0, None, velocity=(-1.0, 0.0)), 10),  # comes too late
        (Place(0.0, 3.0, None), 0),  # too near to drive at all
    ],
)
def test_the_camera_keeps_its_distance(place, speed):
    assert safe_speed(motion(), [Place(9.0, 1.0, None), place]) == pytest.approx(speed)


def test_lanes_on_the_left_come_towards_the_camera():
    for x, heading in ((-6.0, -1), (-2.5, -1), (-1.0, 1), (0.0, 1), (5.0, 1)):
        chosen, speed = choose_lane(motion(), x, middle=0.0)
        assert chosen == heading
        assert 4 <= speed <= 14
    # The camera's own lane may lie left of the middle of a wide road.
    assert choose_lane(motion(), -1.0, middle=2.0)[0] == 1


def test_in_a_single_picture_nothing_moves():
    still = choose_motion(np.random.default_rng(0), 0.0)
    assert still.travel == 0
    assert choose_lane(still, -6.0, 0.0) == (0, 0.0)
    assert choose_walk(still) == 0


def test_people_walk_both_ways_or_stand():
    walks = np.array([choose_walk(Motion(np.random.default_rng(i), 1.0, 5.0)) for i in range(200)])
    assert 0.1 < np.mean(walks == 0) < 0.3
    assert 0.3 < np.mean(walks > 0) < 0.5
    moving = np.abs(walks[walks != 0])
    assert moving.min() >= 0.8
    assert moving.max() <= 1.6
