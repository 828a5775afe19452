import keras
import numpy as np
import pytest

from keras_deeplab.training import count_flops, estimate_memory, training_summary
from tests.training.tiny_runs import linear_pipeline, make_linear, make_network


def known_model():
    images = keras.Input((8, 12, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same")(images)
    x = keras.layers.DepthwiseConv2D(3, padding="same")(x)
    x = keras.layers.Conv2D(8, 1, groups=2)(x)
    outputs = keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(images, outputs)
    model.compile("adam", loss="mse")
    return model


def test_operations_of_a_known_network():
    places = 4 * 6
    multiplications = places * (9 * 3 * 4 + 9 * 4 + 2 * 8) + 8 * 5
    assert count_flops(known_model()) == 2 * multiplications


def test_inner_layers_and_repeated_calls_count():
    class Twice(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(3)

        def build(self, shape):
            self.dense.build(shape)

        def call(self, x):
            return self.dense(self.dense(x))

        def compute_output_shape(self, shape):
            return shape

    images = keras.Input((10, 3))
    assert count_flops(keras.Model(images, Twice()(images))) == 2 * 2 * 10 * 3 * 3


def test_the_model_is_as_before():
    model = known_model()
    images = np.ones((1, 8, 12, 3), "float32")
    before = keras.ops.convert_to_numpy(model(images))
    count_flops(model)
    assert not any("call" in vars(layer) for layer in model._flatten_layers())
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model(images)), before)


def test_operations_are_those_that_torch_counts():
    torch = pytest.importorskip("torch")
    if keras.backend.backend() != "torch":
        pytest.skip("torch counts its own operations")
    from torch.utils.flop_counter import FlopCounterMode

    model = make_network(0)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(np.zeros((1, 33, 65, 3), "float32"), training=True)
    assert count_flops(model) == pytest.approx(counter.get_total_flops(), rel=0.01)


def test_statistics_are_not_touched():
    model = make_network(0)
    before = [keras.ops.convert_to_numpy(variable) for variable in model.variables]
    count_flops(model)
    for variable, expected in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), expected)


def test_memory_of_a_known_network():
    memory = estimate_memory(known_model(), batch_size=3)
    parameters = (9 * 3 * 4 + 4) + (9 * 4 + 4) + (2 * 8 + 8) + (8 * 5 + 5)
    outputs = 4 * 6 * (4 + 4 + 8) + 8 + 5
    assert memory["weights"] == memory["gradients"] == 4 * parameters
    # Two moments, the learning rate and the step, which is an int64 on some backends.
    assert memory["optimizer"] - 8 * parameters in (8, 12)
    assert memory["activations"] == 3 * 4 * outputs
    assert memory["total"] == sum(
        memory[part] for part in ("weights", "gradients", "optimizer", "activations")
    )


def test_models_of_any_size_need_a_size():
    images = keras.Input((None, None, 3))
    model = keras.Model(images, keras.layers.Conv2D(2, 1)(images))
    with pytest.raises(ValueError, match="Pass `image_shape`"):
        count_flops(model)
    assert count_flops(model, (5, 7, 3)) == 2 * 5 * 7 * 3 * 2


def test_the_summary_names_what_a_run_costs():
    lines = training_summary(make_linear(), linear_pipeline(), steps=6).splitlines()
    assert [line.split()[0] for line in lines] == [
        *("model", "parameters", "operations", "memory", "data", "steps")
    ]
    assert lines[2].endswith("0.00 GFLOP per image, forward, of 33x65")
    assert lines[4].endswith("5 images per epoch, 3 batches of 2")
    assert lines[5].endswith("6, 2.4 epochs")
