"""The centre nearest to each point on torch, where each operation is a pass over memory.

The plane is divided into cells. A cell lists the centres that can be nearest to a point in it, about
two of them however many there are; each point compares only those.
"""

from __future__ import annotations

import torch

# Side of a cell in pixels; a power of two, so that dividing by it is exact.
_CELL = 32
# How far the outermost cells reach beyond the image, in pixels.
_MARGIN = 4096
# Points searched at a time: in cache, and too few for torch to spend time on sharing them among threads.
_CHUNK = 1 << 15
# Candidates compared for all points of a chunk; few points have more.
_COMMON = 3
# Bound on the rounding error of the difference of two float32 squared distances, relative to the
# larger one, with room to spare.
_ROUNDING = 4e-6


def nearest_center(centers, y, x, size):
    """Index of the centre nearest to each point: centers (k, 2), y and x (n,) -> (n,).

    Equal to the argmin over all float32 squared distances, rounding included.

    Args:
        centers: float32 tensor `(k, 2)`, finite, at least one.
        y: float32 tensor `(n,)`.
        x: float32 tensor `(n,)`.
        size: pair of int, height and width of the image. Most points should be around it.

    Returns:
        int32 tensor `(n,)`, the first of equally near ones; 0 when no distance is finite.
    """
    cells = Cells(centers, *size)
    nearest = [cells.search(*points) for points in zip(y.split(_CHUNK), x.split(_CHUNK), strict=True)]
    return torch.cat(nearest) if nearest else y.to(torch.int32)


class Cells:
    """A grid of cells around an image with their candidates."""

    def __init__(self, centers, height, width):
        self.centers = centers
        self.height, self.width = height, width
        self.rows, self.columns = -(-height // _CELL), -(-width // _CELL)
        candidate = self._candidates()
        cell, center = candidate.nonzero(as_tuple=True)
        self.counts = candidate.sum(dim=-1)
        first = self.counts.cumsum(0) - self.counts
        # Row i has the i-th candidate of each cell; cells with fewer repeat their first one.
        self.table = center[first].repeat(int(self.counts.max()), 1)
        self.table[torch.arange(len(cell), device=cell.device) - first[cell], cell] = center
        self.y, self.x = centers[:, 0][self.table], centers[:, 1][self.table]
        self.table = self.table.to(torch.int32)

    def _candidates(self):
        """bool (cells, k): whether a centre can be nearest to a point in a cell.

        It cannot when another centre is nearer to all four corners of the cell: what is nearer to one
        centre than to another is a half-plane.
        """
        y, x = self.centers.unbind(-1)
        from_y = (self._edges(self.rows, self.height)[:, None] - y).square()
        from_x = (self._edges(self.columns, self.width)[:, None] - x).square()
        sides = slice(None, -1), slice(1, None)
        corners = torch.stack([(from_y[v, None] + from_x[h]).flatten(0, 1) for v in sides for h in sides])
        rounding = _ROUNDING * corners.amax(dim=0)
        candidate = torch.ones_like(rounding, dtype=torch.bool)
        for distances in corners:
            rival = distances.argmin(dim=-1)[None, :, None].expand(4, -1, 1)
            candidate &= (corners - corners.gather(-1, rival) <= rounding).any(dim=0)
        return candidate

    def _edges(self, count, length):
        """Where the cells along an axis begin and end: `count` regular ones and one on either side."""
        inner = torch.arange(count + 1, dtype=torch.float32, device=self.centers.device) * _CELL
        return torch.cat([inner.new_tensor([-_MARGIN]), inner, inner.new_tensor([length + _MARGIN])])

    def search(self, y, x):
        """Index of the centre nearest to each point: y and x (n,) -> int32 (n,)."""
        row = (y / _CELL).floor_().clamp_(-1, self.rows).nan_to_num_()
        column = (x / _CELL).floor_().clamp_(-1, self.columns).nan_to_num_()
        cell = (row.add_(1) * (self.columns + 2)).add_(column).add_(1).to(torch.int32)
        best = torch.full_like(y, torch.inf)
        place = torch.zeros_like(cell)
        self._compare(range(min(_COMMON, len(self.table))), y, x, cell, best, place)
        if len(self.table) > _COMMON:
            rest = (self.counts.index_select(0, cell) > _COMMON).nonzero()[:, 0]
            some = [values.index_select(0, rest) for values in (y, x, cell, best, place)]
            self._compare(range(_COMMON, len(self.table)), *some)
            place[rest] = some[-1]
        nearest = self.table.flatten().index_select(0, place.mul_(self.table.shape[1]).add_(cell))
        inside = (
            (y >= -_MARGIN) & (y <= self.height + _MARGIN) & (x >= -_MARGIN) & (x <= self.width + _MARGIN)
        )
        if not inside.all():
            outside = (~inside).nonzero()[:, 0]
            nearest[outside] = self._search_all(y[outside], x[outside])
        return nearest

    def _compare(self, candidates, y, x, cell, best, place):
        """Updates `best` and `place` with the given candidates of each point's cell."""
        for i in candidates:
            distance = (y - self.y[i].index_select(0, cell)).square_()
            distance += (x - self.x[i].index_select(0, cell)).square_()
            place.masked_fill_(distance < best, i)
            torch.fmin(best, distance, out=best)

    def _search_all(self, y, x):
        best = torch.full_like(y, torch.inf)
        nearest = torch.zeros_like(y, dtype=torch.int32)
        for i, (center_y, center_x) in enumerate(self.centers.tolist()):
            distance = (y - center_y).square_() + (x - center_x).square_()
            nearest.masked_fill_(distance < best, i)
            torch.fmin(best, distance, out=best)
        return nearest
