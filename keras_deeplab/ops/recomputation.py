"""Gradient checkpointing: memory for time (Chen et al. 2016, arXiv 1604.06174)."""

from __future__ import annotations

import keras


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

    return jax.checkpoint(function)


def _torch(function):
    import torch

    def checkpointed(*tensors):
        return torch.utils.checkpoint.checkpoint(function, *tensors, use_reentrant=False)

    return checkpointed
