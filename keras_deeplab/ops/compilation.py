"""Compiles array functions where the backend would otherwise run them one operation at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras


def compiled(function: Callable, static: Sequence[str] = ()) -> Callable:
    """Compiles a function of tensors with XLA on TensorFlow and JAX; returns it unchanged on torch.

    Eager calls, and TensorFlow's `predict` on a CPU, run one operation at a time, each a pass over
    memory. A compiled function can be called eagerly, from graphs and from other compiled functions.
    Each new set of shapes is compiled once.

    Args:
        function: callable. Takes and returns nests of tensors.
        static: sequence of str. Keyword arguments that are plain hashable values; each new value is
            compiled once.

    Returns:
        Callable with the signature of `function`.

    Example:
    ```python
    double = compiled(lambda x: x + x)
    double(keras.ops.ones((2,)))  # [2. 2.]
    ```
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.jit(function, static_argnames=tuple(static))
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=True, autograph=False)
    return function
