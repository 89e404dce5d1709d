"""How much of a region each window of a grid holds: sums over its edges rather than an overlay for each window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon

Floats = NDArray[np.float64]


def held_areas(polygon: Polygon | MultiPolygon, xs: Sequence[int], ys: Sequence[int], side: int) -> Floats:
    """Return the area of a region in each window, in square pixels, exact but for rounding: shape (len(ys), len(xs)).

    The area under an edge, within the window, is a trapezium and a rectangle; counted along the outline, forwards as
    more and backwards as less, what lies under the region itself cancels out.

    Args:
        polygon: a valid region.
        xs: left edges of the windows.
        ys: their top edges.
        side: of a window.
    """
    edges = _edges(polygon)
    areas = np.zeros((len(ys), len(xs)))
    for column, x in enumerate(xs):
        areas[:, column] = list(_down(_between(edges, x, x + side), ys, side))
    return areas


def _edges(polygon: Polygon | MultiPolygon) -> Floats:
    """The edges that are not upright as rows of x, y, x, y: outer rings turn one way, holes the other."""
    rings = shapely.get_rings(shapely.get_parts(shapely.normalize(polygon)))
    points, ring = shapely.get_coordinates(rings, return_index=True)
    edges = np.hstack([points[:-1], points[1:]])
    return np.asarray(edges[(ring[:-1] == ring[1:]) & (edges[:, 0] != edges[:, 2])])


def _between(edges: Floats, left: float, right: float) -> Floats:
    """The pieces of edges between two upright lines, as rows of width (signed), y, y."""
    x1, _, x2, _ = edges.T
    crossing = edges[(np.minimum(x1, x2) < right) & (np.maximum(x1, x2) > left)]
    x1, y1, x2, y2 = crossing.T
    start, stop = x1.clip(left, right), x2.clip(left, right)
    # Shares of the edge, which no edge is too steep for; an end that is not cut stays, so that whole pixels give whole
    # areas.
    first, last = (start - x1) / (x2 - x1), (stop - x1) / (x2 - x1)
    return np.column_stack([stop - start, y1 + first * (y2 - y1), np.where(stop == x2, y2, y1 + last * (y2 - y1))])


def _down(pieces: Floats, ys: Sequence[int], side: int) -> Iterator[float]:
    """Yield the area in each window of a column."""
    low, high = pieces[:, 1:].min(axis=1), pieces[:, 1:].max(axis=1)
    for y in ys:
        beyond = pieces[low >= y + side, 0].sum() * side
        crossing = pieces[(low < y + side) & (high > y)]
        if not len(crossing):
            yield float(beyond)
            continue
        width, start, stop = crossing.T
        start, stop = start - y, stop - y
        rise = stop - start
        level = rise == 0
        rise[level] = 1
        inside, after = stop.clip(0, side) - start.clip(0, side), stop.clip(side) - start.clip(side)
        mean = (start.clip(0, side) + stop.clip(0, side)) / 2
        height = np.where(level, mean, inside / rise * mean + after / rise * side)
        yield float(beyond + (width * height).sum())
