import numpy as np
import pytest

from keras_deeplab.data.street import people, vehicles
from keras_deeplab.data.street.motion import HALF_LANE, choose_motion, safe_speed
from keras_deeplab.data.street.placement import choose_road, place_things

# Half of their widths as they stand on the road (m).
THINGS = {
    vehicles.make_car: 0.95,
    vehicles.make_truck: 1.2,
    vehicles.make_bus: 1.25,
    vehicles.make_tram: 1.2,
    vehicles.make_crossing_car: 2.1,
    people.make_person: 0.3,
    people.make_two_wheeler: 0.6,
}


def make_street(seed, seconds):
    rng = np.random.default_rng((seed, 0))
    road, motion = choose_road(rng), choose_motion(np.random.default_rng((seed, 1)), seconds)
    return road, motion, place_things(rng, road, motion)


@pytest.mark.parametrize("seconds", [0.0, 3.0])
def test_places_are_given_from_far_to_near(seconds):
    for seed in range(30):
        distances = [place.z + place.order for place in make_street(seed, seconds)[2]]
        assert distances == sorted(distances, reverse=True)


def test_vehicles_and_people_are_the_things_with_instances():
    made = {}
    for seed in range(60):
        for place in make_street(seed, 3.0)[2]:
            made.setdefault(place.make, set()).add(place.has_instance)
    assert {make for make, has_instance in made.items() if has_instance == {True}} == set(THINGS)
    assert all(has_instance == {False} for make, has_instance in made.items() if make not in THINGS)


def test_in_a_single_picture_nothing_moves():
    for seed in range(30):
        assert {place.velocity for place in make_street(seed, 0.0)[2]} == {(0.0, 0.0)}


def test_the_road_has_room_for_the_camera():
    for seed in range(200):
        road = choose_road(np.random.default_rng(seed))
        assert road.left <= -4.6
        assert road.right >= 2.2
        assert road.setback >= road.pavement > 0


def test_in_a_video_cars_are_not_parked_in_the_cameras_lane():
    parked = []
    for seed in range(100):
        for place in make_street(seed, 3.0)[2]:
            if place.make in (vehicles.make_car, vehicles.make_truck) and place.velocity == (0.0, 0.0):
                parked.append(abs(place.x))
    assert len(parked) > 50
    assert min(parked) > HALF_LANE


def test_the_camera_drives_through_nobody():
    passed = 0
    for seed in range(100):
        _, motion, places = make_street(seed, 6.0)
        times = np.arange(0.0, 6.0, 0.1)
        driven = safe_speed(motion, places) * times
        for place in places:
            if place.make in THINGS:
                x, z = place.at(times)
                reaches = np.abs(x) < THINGS[place.make]
                at_lens = np.abs(z - driven) < 1
                assert not (reaches & at_lens).any()
                passed += at_lens.any()
    assert passed > 100
