"""Gradient checkpointing: memory for time (Chen et al. 2016, arXiv 1604.06174)."""

from __future__ import annotations

import keras

from keras_deeplab.ops.device import runs_on_cpu


def recompute(function):
    """Wraps a function so that its gradient computes the function again instead of keeping its insides.

    Args:
        function: pure function of tensors, given one by one, that returns a list of tensors. What it
            closes over gets no gradient.

    Returns:
        A function with the same results and gradients.

    Example:
    ```python
    recompute(lambda x, kernel: [keras.ops.tanh(keras.ops.matmul(x, kernel))])(x, kernel)
    ```
    """
    return {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}.get(
        keras.backend.backend(), lambda f: f
    )(function)


def _tensorflow(function):
    import tensorflow as tf

    return tf.recompute_grad(function)


def _jax(function):
    import jax

    return _tied_to_gradient(function) if runs_on_cpu() else jax.checkpoint(function)


def _tied_to_gradient(function):
    """`jax.checkpoint` for CPUs, whose compiler removes the barriers that keep the second run late.

    Without them it runs early, and its insides are kept after all. Here it waits for the gradient, since its
    first tensor gets nought times a number of it added.
    """
    import jax

    recomputed = jax.custom_vjp(function)

    def forward(*tensors):
        return function(*tensors), tensors

    def backward(tensors, gradients):
        # Integers have gradients without numbers, of dtype float0.
        numbers = [g.ravel()[0].astype("float32") for g in gradients if g.dtype != jax.dtypes.float0]
        late = 0.0 * sum(numbers)
        first, *others = tensors
        _, differentiate = jax.vjp(function, first + late.astype(first.dtype), *others)
        return differentiate(gradients)

    recomputed.defvjp(forward, backward)
    return recomputed


def _torch(function):
    import torch

    def checkpointed(*tensors):
        return torch.utils.checkpoint.checkpoint(function, *tensors, use_reentrant=False)

    return checkpointed
