"""Picking one of a few values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def pick(rng: np.random.Generator, values: Sequence):
    """What `rng.choice(values)` picks, without the array of values that it makes and that takes most time."""
    return values[rng.integers(len(values))]
