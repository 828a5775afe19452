"""Normalisation by the moments of a batch, over all replicas that train on parts of it."""

from __future__ import annotations

import math

import keras
from keras import ops


def normalize_batch(x, gamma, beta, epsilon: float, axes: tuple[int, ...]):
    """Normalises by the moments over some axes: `(x - mean) / sqrt(variance + epsilon) * gamma + beta`.

    Args:
        x: float32 tensor.
        gamma: float32 tensor of x's rank, of size 1 on `axes`.
        beta: float32 tensor of the same shape.
        epsilon: float.
        axes: tuple of int. Axes to average over.

    Returns:
        Normalised tensor like `x`, and the mean and the variance in the shape of `gamma`.

    Example:
    ```python
    one = keras.ops.ones((1, 3))
    y, mean, variance = normalize_batch(keras.ops.ones((8, 3)), one, one, 1e-3, axes=(0,))
    ```
    """
    channels_last = axes == tuple(range(len(x.shape) - 1))
    if keras.backend.backend() == "torch" and channels_last and not _has_replicas():
        return _torch(x, gamma, beta, epsilon)
    return normalize_by_moments(x, gamma, beta, epsilon, axes)


def normalize_by_moments(x, gamma, beta, epsilon: float, axes: tuple[int, ...]):
    """The same as `normalize_batch`, of Keras' own operations."""
    mean, variance = batch_moments(x, axes)
    scale = gamma * ops.rsqrt(variance + epsilon)
    return x * scale + (beta - mean * scale), mean, variance


def batch_moments(x, axes: tuple[int, ...]):
    """Mean and variance of a batch, of all its parts where replicas have one each ("synchronized").

    Replicas are those of `tf.distribute`, or the processes of `torch.distributed`. On JAX an array is that
    of all devices already.

    Args:
        x: float tensor.
        axes: tuple of int. Axes to average over, which stay with size 1.

    Returns:
        Two tensors; the variance is that of the values, not an estimate for a population.

    Example:
    ```python
    batch_moments(keras.ops.array([[1.0], [3.0]]), axes=(0,))  # [[2.]], [[1.]]
    ```
    """
    if not _has_replicas():
        return ops.mean(x, axes, keepdims=True), ops.var(x, axes, keepdims=True)
    sizes = ops.shape(x)
    count = sum_over_replicas(ops.cast(math.prod(sizes[a] for a in axes), x.dtype))
    mean = sum_over_replicas(ops.sum(x, axes, keepdims=True)) / count
    return mean, sum_over_replicas(ops.sum(ops.square(x - mean), axes, keepdims=True)) / count


def sum_over_replicas(x):
    """Sum of a tensor over the replicas that compute it side by side; its gradient is summed likewise.

    Args:
        x: tensor.

    Returns:
        Tensor of the same shape, the same on all replicas.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, x)
    if keras.backend.backend() == "torch":
        from torch.distributed.nn.functional import all_reduce

        return all_reduce(x)
    return x


def _has_replicas():
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        context = tf.distribute.get_replica_context()
        return context is not None and context.num_replicas_in_sync > 1
    if keras.backend.backend() == "torch":
        from torch import distributed

        return (
            distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
        )
    return False


def _torch(x, gamma, beta, epsilon):
    """One fused operation, whose gradient keeps the input alone."""
    import torch

    y, mean, inverse_deviation = torch.native_batch_norm(
        x.reshape(-1, x.shape[-1]), gamma.reshape(-1), beta.reshape(-1), None, None, True, 0.0, epsilon
    )
    mean, inverse_deviation = mean.detach(), inverse_deviation.detach()
    variance = inverse_deviation**-2 - epsilon
    return y.reshape(x.shape), mean.reshape(gamma.shape), variance.reshape(gamma.shape)
