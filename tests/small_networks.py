"""Networks that a test trains in seconds where compiling a whole one takes minutes."""

import contextlib

import keras


def _block(kernel_size, expanded_filters, filters, squeeze_excite, activation, strides):
    return {
        "kernel_size": kernel_size,
        "expanded_filters": expanded_filters,
        "filters": filters,
        "squeeze_excite": squeeze_excite,
        "activation": activation,
        "strides": strides,
    }


# A MobileNetV3 with each kind of block once or twice, and every stride.
FEW_BLOCKS = {
    "blocks": [
        _block(3, 16, 16, True, "relu", 2),
        _block(3, 48, 16, False, "relu", 2),
        _block(5, 48, 24, True, "hard_silu", 2),
        _block(5, 64, 24, True, "hard_silu", 1),
        _block(5, 96, 32, True, "hard_silu", 2),
    ],
    "head_filters": 64,
}


@contextlib.contextmanager
def uncompiled():
    """Lets TensorFlow run a few steps of training at once."""
    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
