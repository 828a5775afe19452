import numpy as np

from keras_deeplab.data.street.canvas import Camera, Canvas
from keras_deeplab.data.street.depth import inverse_depth

SIZE = (65, 129)
CAMERA = Camera(focal=100.0, horizon=30.0, center=64.0)


def depth_of(polygons, camera=CAMERA):
    """Depth, and the pixels on which the polygons are seen."""
    canvas = Canvas(SIZE, camera, haze=(200, 200, 200), visibility=500.0, side_light=(0.8, 1.0))
    canvas.begin("wall")
    canvas.fill(polygons, (9, 9, 9))
    painting = canvas.paint()
    return 1 / inverse_depth(painting), painting.surfaces == 1


def test_a_wall_across_is_at_one_distance():
    depth, seen = depth_of([[(-1, 0, 7), (1, 0, 7), (1, 2, 7), (-1, 2, 7)]])
    np.testing.assert_allclose(depth[seen], 7, rtol=1e-6)


def test_a_wall_along_the_road_recedes():
    depth, seen = depth_of([[(2, 0, 5), (2, 0, 20), (2, 3, 20), (2, 3, 5)]])
    columns = np.indices(SIZE)[1][seen]
    np.testing.assert_allclose(depth[seen], np.clip(100 * 2 / (columns - 64), 5, 20), rtol=1e-5)


def test_the_ground_recedes_with_the_rows():
    depth, seen = depth_of([[(-9, 0, 4.5), (9, 0, 4.5), (9, 0, 40), (-9, 0, 40)]])
    rows = np.indices(SIZE)[0][seen]
    np.testing.assert_allclose(depth[seen], np.clip(100 * 1.4 / (rows - 30), 4.5, 40), rtol=1e-5)


def test_the_plane_of_a_wall_that_passes_the_lens_is_the_same():
    depth, seen = depth_of([[(2, 0, -5), (2, 0, 20), (2, 3, 20), (2, 3, -5)]])
    columns = np.indices(SIZE)[1][seen]
    np.testing.assert_allclose(depth[seen], np.clip(100 * 2 / (columns - 64), 0.4, 20), rtol=1e-5)


def test_a_wall_seen_edge_on_is_within_its_ends():
    depth, seen = depth_of([[(0, 0, 5), (0, 0, 20), (0, 3, 20), (0, 3, 5)]])
    assert seen.any()
    assert ((depth[seen] >= 5) & (depth[seen] <= 20)).all()


def test_a_bend_turns_walls_but_not_distances_of_their_corners():
    camera = Camera(focal=100.0, horizon=30.0, center=64.0, bend=0.01)
    depth, _ = depth_of([[(2, 0, 5), (2, 0, 20), (2, 3, 20), (2, 3, 5)]], camera)
    near, far = np.rint(camera.project([(2, 1, 5), (2, 1, 20)])).astype(int)
    np.testing.assert_allclose(depth[near[1], near[0]], 5, rtol=0.05)
    np.testing.assert_allclose(depth[far[1], far[0]], 20, rtol=0.05)
