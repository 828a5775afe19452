import numpy as np
import pytest

from keras_deeplab.data.street import vehicles
from keras_deeplab.data.street.canvas import Camera, Canvas
from keras_deeplab.data.street.photograph import paint_colors

SIZE = (65, 129)
AT, AHEAD, FOCAL, HORIZON = 0.0, 12.0, 200.0, 50.0
CAMERA = Camera(focal=FOCAL, horizon=HORIZON, center=64.0)


def seen_from_behind(make):
    """Colours float `[H, W, 3]` of one vehicle, and where it is, bool `[H, W]`."""
    canvas = Canvas(SIZE, CAMERA, haze=(200, 200, 200), visibility=5e3, side_light=(0.8, 1.0))
    make(np.random.default_rng(3))(canvas, AT, AHEAD)
    painting = canvas.paint()
    colors = paint_colors(canvas, painting).view(np.uint8).reshape(*SIZE, 4)[..., :3]
    return colors.astype(float), painting.regions() == 1


def row_of(height):
    """The row at which something of that height in metres is seen."""
    return round(HORIZON + (CAMERA.height - height) * FOCAL / AHEAD)


@pytest.mark.parametrize(("make", "has_skirt"), [(vehicles.make_bus, False), (vehicles.make_tram, True)])
def test_a_tram_has_another_colour_below_its_windows_than_above_and_a_bus_has_not(make, has_skirt):
    colors, mask = seen_from_behind(make)
    left = np.flatnonzero(mask[row_of(1.0)])[0] + 3
    assert mask[row_of(2.7), left]
    difference = np.abs(colors[row_of(1.0), left] - colors[row_of(2.7), left]).max()
    assert (difference > 60) == has_skirt


@pytest.mark.parametrize(("make", "has_pantograph"), [(vehicles.make_bus, False), (vehicles.make_tram, True)])
def test_a_tram_reaches_up_to_its_wire(make, has_pantograph):
    _, mask = seen_from_behind(make)
    assert mask[row_of(2.8)].any()
    # Coaches are at most 3.3 m high.
    assert mask[: row_of(3.4)].any() == has_pantograph
