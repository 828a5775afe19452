import numpy as np

from keras_deeplab.data.street.canvas import Camera
from keras_deeplab.data.street.texture import anchored_texture

CAMERA = Camera(focal=256.0, horizon=32.0, center=64.0)


def test_texture_sticks_to_a_wall_that_comes_nearer():
    far, near = (
        anchored_texture(np.full((64, 128), 1 / z, np.float32), CAMERA, driven)
        for z, driven in ((15, 0), (12, 3))
    )
    # A pixel at 15 m moves away from the middle by 15 / 12 when the wall is 3 m nearer.
    rows, columns = np.indices((64, 128))
    rows, columns = rows[10:50, 20:110], columns[10:50, 20:110]
    moved = (
        np.rint(32 + (rows - 32) * 15 / 12).astype(int),
        np.rint(64 + (columns - 64) * 15 / 12).astype(int),
    )
    inside = (moved[0] >= 0) & (moved[0] < 64) & (moved[1] >= 0) & (moved[1] < 128)
    first, second = far[rows, columns][inside], near[moved[0][inside], moved[1][inside]]
    unmoved = near[rows, columns][inside]
    assert np.corrcoef(first, second)[0, 1] > 0.6
    assert np.corrcoef(first, unmoved)[0, 1] < 0.3


def test_texture_is_noise_of_mean_0():
    texture = anchored_texture(np.full((64, 128), 0.1, np.float32), CAMERA, 0.0)
    assert texture.dtype == np.float32
    assert abs(texture.mean()) < 0.15
    assert 0.5 < texture.std() < 1.0
