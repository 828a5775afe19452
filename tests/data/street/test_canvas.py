import numpy as np
import pytest

from keras_deeplab.data.street import people, vehicles
from keras_deeplab.data.street.canvas import NEAR, Camera, Canvas, clip_near
from keras_deeplab.data.street.photograph import paint_colors

SIZE = (65, 129)
CAMERA = Camera(focal=100.0, horizon=30.0, center=64.0)


def make_canvas(**arguments):
    return Canvas(SIZE, CAMERA, haze=(200, 200, 200), visibility=500.0, side_light=(0.8, 1.0), **arguments)


def colors(canvas):
    """uint8 `[H, W, 3]`."""
    return paint_colors(canvas, canvas.paint()).view(np.uint8).reshape(*SIZE, 4)[..., :3]


def test_the_camera_projects_as_a_pinhole():
    # 100 pixels of focal length, 1.4 m above the ground: 2 m right at 10 m is 20 pixels, the ground 14 below.
    np.testing.assert_allclose(CAMERA.project([(2, 0, 10), (0, 1.4, 5)]), [[84, 44], [64, 30]])


def test_rays_lead_back_to_what_is_projected():
    columns, rows = CAMERA.rays(SIZE)
    points = np.array([(2, 0.4, 10), (0, 1.4, 5)])
    for (x, y), (right, above, ahead) in zip(CAMERA.project(points).astype(int), points, strict=True):
        np.testing.assert_allclose(
            (columns[x], rows[y, 0]), (right / ahead, (1.4 - above) / ahead), rtol=1e-6
        )


def test_the_road_bends_with_the_square_of_the_distance():
    camera = Camera(focal=100.0, horizon=30.0, center=64.0, bend=0.002)
    np.testing.assert_allclose(camera.project([(0, 1.4, 10), (0, 1.4, 20)]), [[66, 30], [68, 30]])


def test_a_nearer_object_hides_a_farther_one():
    rng = np.random.default_rng(0)
    draw_person, draw_car = people.make_person(rng), vehicles.make_car(rng)
    alone, hidden = make_canvas(), make_canvas()
    draw_person(alone, 0.0, 12.0)
    draw_person(hidden, 0.0, 12.0)
    draw_car(hidden, 0.0, 6.0)
    person = (alone.paint().regions() == 1).sum()
    regions = hidden.paint().regions()
    assert person > 0
    assert not (regions[40:] == 1).any()
    assert (regions == 2).sum() > person


def test_picture_and_labels_change_on_the_same_pixels():
    canvas = make_canvas()
    canvas.begin("car", 10.0)
    canvas.fill([[(-1, 0.2, 10), (1, 0.4, 10), (0.7, 1.9, 10)]], (250, 10, 10))
    canvas.disk(0.3, 0.4, 9.0, 0.5, (10, 250, 10), squeeze=0.6)
    canvas.disks(np.array([[-0.5, 1.0, 9.0]]), np.array([0.3]), (10, 250, 250), [1.0])
    canvas.stroke([(-1, 0, 10), (1, 2, 10)], 0.2, (10, 10, 250))
    np.testing.assert_array_equal(colors(canvas).any(-1), canvas.paint().regions() == 1)


def test_shadows_and_markings_change_the_picture_only():
    canvas = make_canvas()
    canvas.begin("car", 10.0)
    canvas.fill([[(-1, 0, 9), (1, 0, 9), (1, 0, 11), (-1, 0, 11)]], (40, 40, 40), label=False)
    assert colors(canvas).any()
    assert not canvas.paint().regions().any()


def test_a_thing_covers_the_markings_below_it():
    canvas = make_canvas()
    canvas.begin("road")
    canvas.fill([[(-1, 0, 9), (1, 0, 9), (1, 0, 11), (-1, 0, 11)]], (40, 40, 40), label=False)
    canvas.fill([[(-2, 0, 8), (2, 0, 8), (2, 1, 8), (-2, 1, 8)]], (90, 90, 90))
    painting = canvas.paint()
    np.testing.assert_array_equal(painting.top[painting.surfaces == 2], 2)


def test_regions_know_their_class_and_instance():
    canvas = make_canvas()
    canvas.instance = 7
    canvas.begin("bicycle")
    canvas.begin("rider")
    assert (canvas.classes, canvas.instances) == ([None, "bicycle", "rider"], [0, 7, 7])


def test_haze_swallows_what_is_far():
    canvas = make_canvas()
    canvas.begin("car", 1e6)
    canvas.fill([[(-9, 0, 5), (9, 0, 5), (9, 9, 5), (-9, 9, 5)]], (255, 0, 0))
    np.testing.assert_array_equal(colors(canvas)[20, 64], (200, 200, 200))


def test_what_is_behind_the_lens_is_cut_off():
    # One corner before and two behind: what is left is the triangle up to the near plane.
    triangle = np.array([(0, 0, NEAR + 1), (0, 1, NEAR - 1), (1, 0, NEAR - 1)])
    np.testing.assert_allclose(clip_near(triangle), [(0, 0, NEAR + 1), (0, 0.5, NEAR), (0.5, 0, NEAR)])
    assert len(clip_near(triangle - np.array((0, 0, 5)))) == 0
    np.testing.assert_array_equal(clip_near(triangle + np.array((0, 0, 5))), triangle + np.array((0, 0, 5)))


def test_a_wall_that_passes_the_lens_fills_the_side_of_the_picture():
    canvas = make_canvas()
    canvas.begin("wall")
    canvas.fill([[(2, 0, -5), (2, 0, 20), (2, 9, 20), (2, 9, -5)]], (9, 9, 9))
    seen = canvas.paint().regions() == 1
    # Its far end is 10 pixels right of the middle; there it reaches 7 pixels below the horizon.
    assert seen[:38, 74:].all()
    assert not seen[:, :74].any()
    assert not seen[39:, 74].any()


@pytest.mark.parametrize("thing", ["disk", "stroke"])
def test_points_behind_the_lens_are_left_out(thing):
    canvas = make_canvas()
    canvas.begin("person")
    if thing == "disk":
        canvas.disk(0, 1, -3.0, 0.5, (9, 9, 9))
    else:
        canvas.stroke([(0, 1, -3.0), (1, 1, -3.0)], 0.5, (9, 9, 9))
    assert not canvas.paint().regions().any()


def test_shadows_fall_as_far_as_the_sun_says():
    canvas = make_canvas(shadow=(2.0, 0.0))
    canvas.cast([(x, y, z) for x in (-1, 0) for y in (0, 1) for z in (9, 11)])
    mask = canvas.shade()
    # From one metre left of the middle to two metres right, at 9 to 11 metres.
    row = round(30 + 100 * 1.4 / 10)
    np.testing.assert_array_equal(np.nonzero(mask[row])[0][[0, -1]], [54, 84])
    np.testing.assert_array_equal(np.nonzero(mask.any(1))[0][[0, -1]], [43, 46])


def test_without_a_sun_nothing_casts_shadows():
    canvas = make_canvas()
    canvas.cast([(0, 0, 9), (1, 0, 9), (0, 1, 9)])
    assert canvas.shade() is None
