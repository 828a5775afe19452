"""The resizing layer takes its size from another tensor."""

import keras
import numpy as np
from keras import ops

from keras_deeplab.layers.resize import ResizeLike


def test_displacements_grow_with_the_grid():
    offsets, images = np.ones((1, 3, 5, 2), "float32"), np.zeros((1, 9, 9, 3), "float32")
    plain = ops.convert_to_numpy(ResizeLike()(offsets, images))
    scaled = ops.convert_to_numpy(ResizeLike(displacements=True)(offsets, images))
    np.testing.assert_allclose(plain, np.ones((1, 9, 9, 2)))
    np.testing.assert_allclose(scaled[0, 4, 4], [4.0, 2.0])


def test_the_size_may_be_known_at_run_time_only():
    small, large = keras.Input((None, None, 2)), keras.Input((None, None, 3))
    model = keras.Model([small, large], ResizeLike()(small, large))
    result = model.predict([np.ones((1, 3, 5, 2)), np.zeros((1, 7, 10, 3))], verbose=0)
    np.testing.assert_allclose(result, np.ones((1, 7, 10, 2)))
