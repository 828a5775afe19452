"""Where the backend computes."""

from __future__ import annotations

import functools

import keras


@functools.cache
def runs_on_cpu() -> bool:
    """Whether the backend computes on the processor rather than on an accelerator.

    Example:
    ```python
    runs_on_cpu()  # False on a machine with a GPU that the backend can use
    ```
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.default_backend() == "cpu"
    if backend == "tensorflow":
        import tensorflow as tf

        return not (tf.config.list_physical_devices("GPU") or tf.config.list_physical_devices("TPU"))
    if backend == "torch":
        import torch

        return not torch.cuda.is_available()
    return True
