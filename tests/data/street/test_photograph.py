import numpy as np
import pytest

from keras_deeplab.data.street.canvas import Camera, Canvas
from keras_deeplab.data.street.photograph import Film, take_picture

SIZE = (64, 96)
CAMERA = Camera(focal=100.0, horizon=32.0, center=48.0)


def film(**changes):
    """One that shows colours as they are."""
    plain = Film(
        noise=np.zeros(SIZE, np.float32),
        patches=np.zeros((9, 13), np.float32),
        light=np.ones(3),
        blur=0.3,
        grain=0.0,
        shadow=0.0,
        wet=0.0,
        rain=0.0,
    )
    return plain._replace(**changes)


def street(ground=(100, 100, 100), sky=(50, 100, 200), visibility=1e9, **arguments):
    canvas = Canvas(SIZE, CAMERA, (220, 220, 220), visibility, (1.0, 1.0), **arguments)
    canvas.begin("sky")
    canvas.sky = np.full((33, 96, 3), sky, np.uint8)
    canvas.sky_number = canvas.next_number
    canvas.fill_rows(0, 33, [(0, 0, 1)], (0, 0, 0))
    canvas.begin("road")
    canvas.ground = range(canvas.next_number, canvas.next_number + 1)
    canvas.fill_rows(32, 64, [(-1, 0, 100), (1, 0, 100), (0, 0, 4)], ground)
    return canvas


def picture(canvas, **changes):
    return take_picture(canvas, canvas.paint(), film(**changes), np.random.default_rng(0)).astype(int)


def test_colors_are_shown_in_the_light_of_the_film():
    shown = picture(street(), light=np.array([1.0, 0.5, 2.0]))
    np.testing.assert_allclose(shown[10, 10], [50, 50, 255], atol=1)
    np.testing.assert_allclose(shown[60, 10], [100, 50, 200], atol=1)


def test_the_ground_fades_into_the_haze():
    shown = picture(street(visibility=20.0))[..., 0]
    for row in (34, 40, 63):
        depth = 100 * 1.4 / (row - 31)
        share = np.exp(-depth / 20)
        np.testing.assert_allclose(shown[row, 50], 100 * share + 220 * (1 - share), atol=2)


def test_shadows_darken_the_ground_and_nothing_else():
    canvas = street(shadow=(1.0, 0.0))
    canvas.begin("car")
    # At 10 m the ground is in row 46; the shadow falls to the right of the box.
    canvas.fill([[(-1, 0, 10), (0, 0, 10), (0, 1, 10), (-1, 1, 10)]], (80, 80, 80))
    canvas.cast([(x, y, z) for x in (-1, 0) for y in (0, 1) for z in (10, 12)])
    shown = picture(canvas, shadow=0.6)[..., 0]
    np.testing.assert_allclose(shown[44, 55], 40, atol=1)
    np.testing.assert_allclose(shown[44, 43], 80, atol=1)
    np.testing.assert_allclose(shown[44, 70], 100, atol=1)


def test_lamps_shine_in_the_dark():
    canvas = street(lamps=True)
    canvas.begin("car")
    for x, glow in ((-2, True), (1, False)):
        canvas.fill([[(x, 0, 10), (x + 1, 0, 10), (x + 1, 1, 10), (x, 1, 10)]], (200, 200, 200), glow=glow)
    shown = picture(canvas, light=np.full(3, 0.25))[..., 0]
    np.testing.assert_allclose([shown[40, 33], shown[40, 63]], [200, 50], atol=1)


def test_a_wet_road_mirrors_the_sky():
    shown = picture(street(), wet=0.5)
    np.testing.assert_allclose(shown[60, 40], [75, 100, 150], atol=2)
    np.testing.assert_allclose(shown[10, 40], [50, 100, 200], atol=1)


def test_rain_leaves_bright_streaks():
    dry, wet = picture(street()), picture(street(), rain=300.0)
    assert (wet >= dry).all()
    assert 0.005 < np.mean(wet[..., 0] > dry[..., 0] + 10) < 0.3


@pytest.mark.parametrize("texture", [None, np.zeros(SIZE, np.float32)])
def test_grain_has_the_films_strength(texture):
    canvas, rng = street(), np.random.default_rng(0)
    noise = rng.standard_normal(SIZE, np.float32)
    shown = take_picture(canvas, canvas.paint(), film(grain=6.0, noise=noise), rng, texture)
    # The road's own texture adds 4.5 % of 100 to a single picture's.
    expected = 6 if texture is not None else np.hypot(6, 0.6 * 4.5)
    assert abs(shown[40:].astype(float).std() - expected) < 0.6


def test_texture_is_as_rough_as_the_class():
    canvas, texture = street(), np.full(SIZE, 2.0, np.float32)
    shown = take_picture(canvas, canvas.paint(), film(), np.random.default_rng(0), texture)
    # Two deviations brighter: 4.5 % a deviation for roads, 2 % for the sky.
    np.testing.assert_allclose(shown[60, 40], 109, atol=1)
    np.testing.assert_allclose(shown[10, 40, 2], 208, atol=1)
