"""The state of random numbers that a backend draws outside of Keras' `SeedGenerator`s.

On torch, Keras' dropout without a seed draws from torch's own generators. TensorFlow and JAX have none that
Keras uses.
"""

from __future__ import annotations

import keras
import numpy as np


def get_random_state() -> dict[str, np.ndarray]:
    """The state as arrays by the name of the generator: empty on TensorFlow and JAX.

    Returns:
        dict of uint8 `[n]`.

    Example:
    ```python
    state = get_random_state()
    ```
    """
    if keras.backend.backend() != "torch":
        return {}
    import torch

    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    states = {"cpu": torch.get_rng_state()}
    states |= {f"cuda{number}": state for number, state in enumerate(devices)}
    return {name: state.cpu().numpy() for name, state in states.items()}


def set_random_state(state: dict[str, np.ndarray]) -> None:
    """Goes back to a state of `get_random_state`. Generators that this machine lacks are left out.

    Args:
        state: dict of uint8 `[n]`.

    Example:
    ```python
    set_random_state(state)
    ```
    """
    if keras.backend.backend() != "torch":
        return
    import torch

    if "cpu" in state:
        torch.set_rng_state(torch.from_numpy(state["cpu"].copy()))
    for number in range(torch.cuda.device_count()):
        if f"cuda{number}" in state:
            torch.cuda.set_rng_state(torch.from_numpy(state[f"cuda{number}"].copy()), number)
