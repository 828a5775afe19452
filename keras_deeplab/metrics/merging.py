"""Which metrics may be merged."""

from __future__ import annotations


def check_mergeable(metric, other, *settings: str) -> None:
    """Raises a ValueError when another metric has other settings.

    Args:
        metric: the metric that takes the counts of the other.
        other: the other metric.
        *settings: names of the attributes that both must have in common.
    """
    if type(other) is not type(metric):
        raise ValueError(f"A {type(metric).__name__} merges with its own kind. Received: {other!r}")
    for name in settings:
        ours, theirs = getattr(metric, name), getattr(other, name)
        if ours != theirs:
            ours, theirs = (getattr(value, "name", value) for value in (ours, theirs))
            raise ValueError(f"Only metrics of one {name} merge. Received: {ours!r} and {theirs!r}")
