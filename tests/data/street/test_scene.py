import numpy as np
import pytest

from keras_deeplab.data.street import people, vehicles
from keras_deeplab.data.street.motion import Place
from keras_deeplab.data.street.scene import Thing, build_scene, paint_scene
from keras_deeplab.data.street.weather import load_weathers

SIZE = (97, 193)


def generators():
    return np.random.default_rng(4), np.random.default_rng(5)


def make_scene(places):
    rng, extra_rng = generators()
    scene = build_scene(rng, SIZE, load_weathers()["fair"], 2.0, extra_rng)
    things = [Thing(place, place.make(rng), i) for i, place in enumerate(places, start=1)]
    return scene._replace(things=things, speed=0.0, draw_hood=None)


def seen_instances(scene, time):
    canvas = paint_scene(scene, SIZE, time)
    return {canvas.instances[region] for region in np.unique(canvas.paint().regions())} - {0}


def test_what_comes_nearer_hides_what_stands():
    person = Place(0.0, 20.0, people.make_person)
    car = Place(0.0, 30.0, vehicles.make_car, velocity=(0.0, -12.0))
    scene = make_scene([car, person])
    assert seen_instances(scene, 0.0) == {1, 2}
    assert seen_instances(scene, 2.0) == {1}


def test_what_is_passed_leaves_the_picture():
    scene = make_scene([Place(-1.5, 6.0, vehicles.make_car)])
    drives = scene._replace(speed=10.0)
    assert seen_instances(drives, 0.0) == {1}
    assert seen_instances(drives, 0.8) == {1}  # its front is still before the lens
    assert seen_instances(drives, 1.2) == set()


@pytest.mark.parametrize("weather", load_weathers())
def test_the_street_is_the_same_in_every_weather(weather):
    first = build_scene(*generators()[:1], SIZE, load_weathers()["fair"], 2.0, generators()[1])
    second = build_scene(*generators()[:1], SIZE, load_weathers()[weather], 2.0, generators()[1])
    assert first.camera == second.camera
    assert first.speed == second.speed
    assert [thing.place[:2] for thing in first.things] == [thing.place[:2] for thing in second.things]


def test_longer_videos_have_longer_streets():
    lengths = []
    for seconds in (0.0, 2.0, 20.0):
        rng, extra_rng = generators()
        scene = build_scene(rng, SIZE, load_weathers()["fair"], seconds, extra_rng)
        lengths.append(max(thing.place.z for thing in scene.things))
        assert lengths[-1] < scene.end
    assert lengths[0] < lengths[1] < lengths[2]
