"""What overlaying shapes costs, known before it is paid: a few outlines can cross each other anywhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from ..errors import RegionError
from .model import Area

#: Meetings, beside those of an edge with itself and its neighbours, that GEOS overlays in some 10 s and 1 GB.
MAX_MEETINGS = 1_200_000
#: Edges looked up at once, which bounds the memory of the answers.
_BLOCK = 16


def meetings(areas: Sequence[Area], where: str) -> int:
    """Return how often an edge of some shapes has a box that meets that of an edge, itself included.

    Args:
        areas: what is to be overlaid: valid, level-0 pixels.
        where: the shapes, for messages.

    Raises:
        RegionError: more than MAX_MEETINGS beside those with itself and its neighbours.
    """
    edges = np.concatenate([_edges(ring) for area in areas for ring in shapely.get_rings(shapely.get_parts(area))])
    tree = shapely.STRtree(edges)
    met = 0
    for start in range(0, len(edges), _BLOCK):
        met += tree.query(edges[start : start + _BLOCK]).shape[1]
        if met - 3 * len(edges) > MAX_MEETINGS:
            expected = f"outlines whose edges come close to each other at most {MAX_MEETINGS} times"
            raise RegionError(where, expected, "more", "Simplify the shapes, or export annotations rather than pixels.")
    return met


def same(a: Area, b: Area) -> bool:
    """Whether two outlines have the same vertices, wherever they begin."""
    return a.normalize().equals_exact(b.normalize())


def _edges(ring: shapely.LinearRing) -> NDArray[np.object_]:
    points = shapely.get_coordinates(ring)
    return np.asarray(shapely.linestrings(np.stack([points[:-1], points[1:]], axis=1)), dtype=object)
