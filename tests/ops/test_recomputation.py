"""Gradient checkpointing: the same values and gradients, and that the function does run again."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_deeplab.ops.recomputation import recompute

NUMPY = ops.convert_to_numpy
RNG = np.random.default_rng(0)
X, KERNEL = RNG.normal(size=(4, 3)).astype("float32"), RNG.normal(size=(3, 5)).astype("float32")


def layer(x, kernel):
    return [ops.tanh(ops.matmul(x, kernel))]


def value_and_gradients(function, *inputs):
    """The sum of squares of all outputs, and its gradients of the inputs."""

    def loss(*tensors):
        return sum(ops.sum(ops.square(output)) for output in function(*tensors))

    inputs = [ops.convert_to_tensor(x) for x in inputs]
    if keras.backend.backend() == "jax":
        import jax

        value, gradients = jax.value_and_grad(loss, argnums=tuple(range(len(inputs))))(*inputs)
    elif keras.backend.backend() == "torch":
        inputs = [x.detach().clone().requires_grad_() for x in inputs]
        value = loss(*inputs)
        value.backward()
        gradients = [x.grad for x in inputs]
    else:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = loss(*inputs)
        gradients = tape.gradient(value, inputs)
    return NUMPY(value), [NUMPY(g) for g in gradients]


def test_values_are_those_of_the_function():
    (output,) = recompute(layer)(ops.convert_to_tensor(X), ops.convert_to_tensor(KERNEL))
    np.testing.assert_allclose(NUMPY(output), np.tanh(X @ KERNEL), atol=1e-6)


def test_gradients_are_those_of_the_function():
    value, gradients = value_and_gradients(recompute(layer), X, KERNEL)
    y = np.tanh(X @ KERNEL)
    inner = 2 * y * (1 - y**2)
    # Sums of at most 5 products in float32.
    np.testing.assert_allclose(value, (y**2).sum(), rtol=1e-5)
    np.testing.assert_allclose(gradients[0], inner @ KERNEL.T, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gradients[1], X.T @ inner, rtol=1e-4, atol=1e-5)


def test_all_outputs_have_gradients():
    def both(x, kernel):
        y = ops.matmul(x, kernel)
        return [ops.tanh(y), ops.exp(y)]

    expected, actual = (value_and_gradients(f, X, KERNEL) for f in (both, recompute(both)))
    np.testing.assert_allclose(actual[0], expected[0], rtol=1e-6)
    for ours, theirs in zip(actual[1], expected[1], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_recomputed_functions_nest_in_a_chain():
    def chain(x, kernel):
        (y,) = recompute(layer)(x, kernel)
        return recompute(layer)(y, ops.transpose(kernel))

    def plain(x, kernel):
        return layer(layer(x, kernel)[0], ops.transpose(kernel))

    expected, actual = (value_and_gradients(f, X, KERNEL) for f in (plain, chain))
    for ours, theirs in zip(actual[1], expected[1], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="a function is traced once, see below")
def test_the_gradient_runs_the_function_a_second_time():
    runs = []

    def counted(x, kernel):
        runs.append(1)
        return layer(x, kernel)

    value_and_gradients(counted, X, KERNEL)
    assert len(runs) == 1
    value_and_gradients(recompute(counted), X, KERNEL)
    assert len(runs) == 3


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="looks at JAX's program")
def test_the_program_of_the_gradient_holds_the_function_twice():
    import jax

    def program(function):
        return str(jax.make_jaxpr(jax.grad(lambda x: ops.sum(function(x, KERNEL)[0])))(X))

    assert program(layer).count("= tanh") == 1
    assert program(recompute(layer)).count("= tanh") == 2
