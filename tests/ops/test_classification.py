import numpy as np
import pytest
from keras import ops

from keras_deeplab.ops.classification import classify_pixels


def classify(logits):
    return [ops.convert_to_numpy(value) for value in classify_pixels(ops.convert_to_tensor(logits))]


@pytest.mark.parametrize("channels_first", [False, True])
def test_class_and_softmax_probability(channels_first):
    logits = np.random.default_rng(0).normal(0, 5, (2, 150, 6, 5)).astype("float32")
    tensor = ops.convert_to_tensor(logits)
    if channels_first:
        tensor = ops.transpose(ops.convert_to_tensor(logits.transpose(0, 3, 1, 2)), (0, 2, 3, 1))
    semantic, probability = (ops.convert_to_numpy(value) for value in classify_pixels(tensor))
    softmax = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_array_equal(semantic, logits.argmax(-1))
    np.testing.assert_allclose(probability, softmax.max(-1), rtol=1e-5)


def test_first_class_wins_ties():
    logits = np.random.default_rng(0).integers(0, 3, (1, 40, 40, 6)).astype("float32")
    np.testing.assert_array_equal(classify(logits)[0], logits.argmax(-1))


def test_large_logits_do_not_overflow():
    semantic, probability = classify(np.array([[[[-1e30, 500.0, 499.0]]]], "float32"))
    assert semantic.tolist() == [[[1]]]
    np.testing.assert_allclose(probability, 1 / (1 + np.exp(-1)), rtol=1e-6)


def test_half_precision_is_computed_in_float32():
    semantic, probability = classify(np.zeros((1, 1, 1, 3), "float16"))
    assert (semantic.dtype, probability.dtype) == (np.int32, np.float32)
    np.testing.assert_allclose(probability, 1 / 3, rtol=1e-6)


def test_single_class():
    semantic, probability = classify(np.full((1, 2, 2, 1), 3.0, "float32"))
    assert not semantic.any()
    assert (probability == 1).all()
