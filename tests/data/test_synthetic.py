import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_deeplab.data.street import objects
from keras_deeplab.data.street.canvas import Camera, Canvas
from keras_deeplab.data.synthetic import StreetScenes
from keras_deeplab.labels import CITYSCAPES

SMALL = (65, 129)
CAMERA = Camera(focal=100.0, horizon=30.0, center=64.0)


def small_canvas():
    return Canvas(SMALL, CAMERA, haze=(200, 200, 200), visibility=500.0, side_light=(0.8, 1.0))


def test_a_sample_has_the_types_and_shapes_of_a_reader():
    sample = StreetScenes(3, SMALL)[1]
    assert sample["name"] == "street_0_000001"
    assert (sample["image"].dtype, sample["image"].shape) == (np.uint8, (65, 129, 3))
    assert (sample["panoptic"].dtype, sample["panoptic"].shape) == (np.int32, SMALL)


def test_a_scene_depends_on_seed_and_index_alone():
    first, again = StreetScenes(9, SMALL, seed=4), StreetScenes(5, SMALL, seed=4)
    later = first[3]
    for key in ("image", "panoptic"):
        np.testing.assert_array_equal(again[3][key], later[key])
        assert not np.array_equal(first[2][key], later[key])
        assert not np.array_equal(StreetScenes(9, SMALL, seed=5)[3][key], later[key])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), index=st.integers(0, 10**6))
def test_panoptic_codes_are_valid_and_instances_are_numbered_from_1(seed, index):
    panoptic = StreetScenes(index + 1, (64, 96), seed)[index]["panoptic"]
    codes = np.unique(panoptic)
    classes, instances = codes // 1000, codes % 1000
    assert set(classes) <= {*range(CITYSCAPES.num_classes), CITYSCAPES.ignore_label}
    is_thing = np.isin(classes, CITYSCAPES.things)
    assert not instances[~is_thing].any()
    for thing in set(classes[is_thing]):
        numbers = instances[classes == thing]
        np.testing.assert_array_equal(numbers, np.arange(1, len(numbers) + 1))


def test_scenes_show_all_classes_of_cityscapes_and_void():
    unseen = {*range(CITYSCAPES.num_classes), CITYSCAPES.ignore_label}
    for sample in StreetScenes(400, (64, 128)):
        unseen -= set(np.unique(sample["panoptic"] // 1000).tolist())
        if not unseen:
            break
    assert unseen == set()


def test_every_scene_has_a_road_below_the_sky():
    for sample in StreetScenes(20, SMALL):
        rows, classes = np.indices(SMALL)[0], sample["panoptic"] // 1000
        assert rows[classes == CITYSCAPES.classes.index("road")].mean() > 65 / 2


def test_iterating_gives_every_scene_once():
    assert [s["name"] for s in StreetScenes(3, SMALL)] == [f"street_0_{i:06d}" for i in range(3)]


def test_negative_indices_count_from_the_end():
    scenes = StreetScenes(3, SMALL)
    assert scenes[-1]["name"] == scenes[2]["name"]


@pytest.mark.parametrize("index", [3, -4])
def test_an_index_outside_of_the_sequence_is_refused(index):
    with pytest.raises(IndexError, match=f"Scene {index} of 3"):
        StreetScenes(3, SMALL)[index]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"count": -1}, "count"),
        ({"count": 1, "image_size": (31, 64)}, "image_size"),
        ({"count": 1, "image_size": (64, 64, 3)}, "image_size"),
        ({"count": 1, "seed": -1}, "seed"),
    ],
)
def test_malformed_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match=f"`{named}`"):
        StreetScenes(**arguments)


def test_a_nearer_object_hides_a_farther_one():
    canvas, rng = small_canvas(), np.random.default_rng(0)
    objects.draw_person(canvas, rng, 0.0, 12.0)
    person = (canvas.regions == 1).sum()
    objects.draw_car(canvas, rng, 0.0, 6.0)
    assert person > 0
    assert not (canvas.regions[40:] == 1).any()
    assert (canvas.regions == 2).sum() > person


def test_picture_and_labels_change_on_the_same_pixels():
    canvas = small_canvas()
    canvas.begin("car", 10.0)
    canvas.fill([[(-1, 0.2, 10), (1, 0.4, 10), (0.7, 1.9, 10)]], (250, 10, 10))
    canvas.disk(0.3, 0.4, 9.0, 0.5, (10, 250, 10), squeeze=0.6)
    canvas.stroke([(-1, 0, 10), (1, 2, 10)], 0.2, (10, 10, 250))
    np.testing.assert_array_equal(canvas.image.any(-1), canvas.regions == 1)


def test_shadows_change_the_picture_only():
    canvas = small_canvas()
    canvas.begin("car", 10.0)
    canvas.fill([[(-1, 0, 9), (1, 0, 9), (1, 0, 11), (-1, 0, 11)]], (40, 40, 40), label=False)
    assert canvas.image.any()
    assert not canvas.regions.any()


def test_the_camera_projects_as_a_pinhole():
    # 100 pixels of focal length, 1.4 m above the ground: 2 m right at 10 m is 20 pixels, the ground 14 below.
    np.testing.assert_allclose(CAMERA.project([(2, 0, 10), (0, 1.4, 5)]), [[84, 44], [64, 30]])


def test_the_road_bends_with_the_square_of_the_distance():
    camera = Camera(focal=100.0, horizon=30.0, center=64.0, bend=0.002)
    np.testing.assert_allclose(camera.project([(0, 1.4, 10), (0, 1.4, 20)]), [[66, 30], [68, 30]])


def test_haze_swallows_what_is_far():
    canvas = small_canvas()
    canvas.begin("car", 1e6)
    np.testing.assert_allclose(canvas.tint((255, 0, 0)), (200, 200, 200))
