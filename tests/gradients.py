"""Gradients of a layer's outputs on every backend."""

import keras
import numpy as np
from keras import ops


def value_and_gradients(layer, *inputs, training=False):
    """Runs a built layer and differentiates the sum of squares of its output.

    Returns:
        The output, the gradients of the inputs (a list), and a dict from the paths of the trainable
        variables to their gradients; all numpy, with `None` where nothing flows.
    """
    inputs = [ops.convert_to_tensor(x, dtype="float32") for x in inputs]
    run = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[keras.backend.backend()]
    output, of_inputs, of_weights = run(layer, inputs, training)
    paths = [variable.path for variable in layer.trainable_variables]
    return (
        ops.convert_to_numpy(output),
        [_numpy(g) for g in of_inputs],
        dict(zip(paths, map(_numpy, of_weights), strict=True)),
    )


def _numpy(gradient):
    return None if gradient is None else np.array(ops.convert_to_numpy(gradient))


def _tensorflow(layer, inputs, training):
    import tensorflow as tf

    weights = [variable.value for variable in layer.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        output = layer(*inputs, training=training)
        loss = tf.reduce_sum(tf.square(output))
    gradients = tape.gradient(loss, [*inputs, *weights])
    return output, gradients[: len(inputs)], [tf.convert_to_tensor(g) for g in gradients[len(inputs) :]]


def _jax(layer, inputs, training):
    import jax

    def loss(inputs, weights):
        frozen = [variable.value for variable in layer.non_trainable_variables]
        output, _ = layer.stateless_call(weights, frozen, *inputs, training=training)
        return ops.sum(ops.square(output)), output

    weights = [variable.value for variable in layer.trainable_variables]
    (of_inputs, of_weights), output = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))(inputs, weights)
    return output, of_inputs, of_weights


def _torch(layer, inputs, training):
    import torch

    inputs = [x.detach().clone().requires_grad_() for x in inputs]
    weights = [variable.value for variable in layer.trainable_variables]
    output = layer(*inputs, training=training)
    gradients = torch.autograd.grad((output**2).sum(), [*inputs, *weights], allow_unused=True)
    return output, gradients[: len(inputs)], gradients[len(inputs) :]
