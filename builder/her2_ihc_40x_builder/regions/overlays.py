"""What work on shapes costs, known before it is paid: a few outlines can cross each other anywhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from ..errors import RegionError
from .model import Area

#: Meetings, beside those of an edge with itself and its neighbours, that GEOS overlays in some 10 s and 1 GB.
MAX_MEETINGS = 1_200_000
#: Such meetings, of edges or of rings, that GEOS looks at within 2 s to tell whether a shape is valid.
MAX_LOOKED_AT = 50_000_000
#: Edges looked up at once, which bounds the memory of the answers.
_BLOCK = 16


def meetings(shapes: Sequence[BaseGeometry], where: str) -> int:
    """Return how often an edge of some shapes has a box that meets that of an edge, itself included.

    Args:
        shapes: what is to be overlaid, level-0 pixels; collections of simple geometries at most.
        where: the shapes, for messages.

    Raises:
        RegionError: more than MAX_MEETINGS beside those with itself and its neighbours.
    """
    return _meetings(edges(shapes), MAX_MEETINGS, where)


def check_fineness(shape: BaseGeometry, where: str) -> None:
    """Refuse a shape of which GEOS would not soon know whether it is valid: a zigzag of long edges, rings in rings.

    Args:
        shape: whatever was drawn, a collection of simple geometries at most.
        where: the shape, for messages.

    Raises:
        RegionError: more than MAX_LOOKED_AT meetings.
    """
    for lines in (edges([shape]), _rings([shape])):
        _meetings(lines, MAX_LOOKED_AT, where)


def edges(shapes: Sequence[BaseGeometry]) -> NDArray[np.object_]:
    """Return the edges of shapes as lines, ring after ring, less those without a length."""
    points, ring = shapely.get_coordinates(_rings(shapes), return_index=True)
    kept = (ring[:-1] == ring[1:]) & (points[:-1] != points[1:]).any(axis=1)
    return np.asarray(shapely.linestrings(np.stack([points[:-1], points[1:]], axis=1)[kept]), dtype=object)


def _rings(shapes: Sequence[BaseGeometry]) -> NDArray[np.object_]:
    return np.asarray(shapely.get_rings(shapely.get_parts(shapely.get_parts(shapes))), dtype=object)


def _meetings(lines: NDArray[np.object_], most: int, where: str) -> int:
    tree = shapely.STRtree(lines)
    met = 0
    for start in range(0, len(lines), _BLOCK):
        met += tree.query(lines[start : start + _BLOCK]).shape[1]
        if met - 3 * len(lines) > most:
            expected = f"outlines whose edges come close to each other at most {most} times"
            raise RegionError(where, expected, "more", "Simplify the shapes, or export annotations rather than pixels.")
    return met


def same(a: Area, b: Area) -> bool:
    """Whether two outlines have the same vertices, wherever they begin."""
    return a.normalize().equals_exact(b.normalize())
