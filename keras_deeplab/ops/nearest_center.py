"""The centre nearest to each point, as a running minimum over the centres."""

from __future__ import annotations

from keras import ops

# Centres compared in one pass over the points; XLA fuses them into one loop.
_CENTERS_PER_PASS = 8


def nearest_center(centers, count, y, x):
    """Index of the centre nearest to each point: centers (b, k, 2), y and x (b, h, w) -> (b, h, w).

    Args:
        centers: float32 tensor `(b, k, 2)`, infinite in slots that are never nearest.
        count: int32 scalar. Slots from here on are not looked at.
        y: float32 tensor `(b, h, w)`.
        x: float32 tensor `(b, h, w)`.

    Returns:
        int32 tensor `(b, h, w)`, the first of equally near ones; 0 when no distance is finite.
    """
    step = _CENTERS_PER_PASS
    slots = centers.shape[1]
    passes = -(-slots // step)
    centers = ops.pad(centers, [[0, 0], [0, passes * step - slots], [0, 0]], constant_values=float("inf"))
    groups = ops.reshape(ops.transpose(centers, (1, 2, 0)), (passes, step, 2, -1, 1, 1))

    def compare(index, state):
        best, nearest = state
        group = ops.take(groups, index, axis=0)
        for i in range(step):
            distance = ops.square(y - group[i, 0]) + ops.square(x - group[i, 1])
            closer = distance < best
            best = ops.where(closer, distance, best)
            nearest = ops.where(closer, index * step + i, nearest)
        return best, nearest

    start = ops.full_like(y, float("inf")), ops.zeros_like(y, dtype="int32")
    return ops.fori_loop(0, (count + step - 1) // step, compare, start)[1]
