"""Shapes made fit for arithmetic: finite, valid, polygons only, bounded in what they cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon
from shapely.affinity import affine_transform
from shapely.geometry.base import BaseGeometry

from ..errors import RegionError
from ..geometry import Size
from .model import Area
from .overlays import check_fineness, edges, meetings

#: More vertices than any hand or brush makes in one shape.
MAX_VERTICES = 200_000
#: Ten times the widest slide: further away is not a place on a slide.
MAX_COORDINATE = 1e7
#: Crossings of an outline with itself that are repaired; repair of n costs up to n squared.
MAX_CROSSINGS = 5_000
#: Rectangles that a painted mask may fall into; more is noise.
MAX_RUNS = 100_000
_STRIP = 512
#: Less than this many square pixels is no area.
LEAST_AREA = 1.0


def cleaned(shape: BaseGeometry, where: str) -> tuple[Area | None, str | None]:
    """Return the polygons of a shape, valid, and what was done to them; or None, and why it has no area.

    Args:
        shape: any geometry, level-0 pixels.
        where: file and shape, for messages.

    Raises:
        RegionError: coordinates that are no place on a slide, or more than can be worked on.
    """
    count = shapely.get_num_coordinates(shape)
    if count > MAX_VERTICES:
        remedy = "Simplify the shape, or export annotations rather than pixels."
        raise RegionError(where, f"at most {MAX_VERTICES} vertices", str(count), remedy)
    if count == 0:
        return None, "the shape is empty"
    points = shapely.get_coordinates(shape)
    if not np.isfinite(points).all() or np.abs(points).max() > MAX_COORDINATE:
        worst = points[~np.isfinite(points) | (np.abs(points) > MAX_COORDINATE)][0]
        remedy = "Export the annotations again; a damaged vertex makes the whole shape doubtful."
        raise RegionError(where, f"coordinates of at most {MAX_COORDINATE:g} pixels", str(worst), remedy)
    shape = shapely.force_2d(shape)
    check_fineness(shape, where)
    kind, note = shape.geom_type, None
    if not shape.is_valid:
        meetings([shape], where)
        if _crossings(shape) > MAX_CROSSINGS:
            found = f"more than {MAX_CROSSINGS}"
            raise RegionError(where, "an outline that crosses itself seldom", found, "Draw the region again.")
        alone = len(shapely.get_rings(shapely.get_parts(shapely.get_parts(shape)))) == 1
        shape = _repaired(shape)
        rings = "its outlines crossed or touched: they are joined, and holes taken away"
        note = "the outline crossed or touched itself" if alone else rings
    if not isinstance(shape, Polygon | MultiPolygon):
        meetings([shape], where)  # its polygons may overlap: they are joined
    area = polygonal(shape)
    if area is None:
        return None, f"this {kind} has no area"
    return area, note


def polygonal(shape: BaseGeometry) -> Area | None:
    """Return the parts of a valid geometry that have an area as one polygon or multi-polygon; None without any."""
    parts = shapely.get_parts(shapely.get_parts(shape))
    polygons = [p for p in parts if isinstance(p, Polygon) and p.area >= LEAST_AREA]
    if len(polygons) > 1 and isinstance(shape, MultiPolygon):
        return MultiPolygon(polygons)  # valid, and so are some of its parts
    if len(polygons) > 1:
        union = shapely.union_all(polygons)
        return union if isinstance(union, Polygon | MultiPolygon) else None
    return polygons[0] if polygons else None


def _repaired(shape: BaseGeometry) -> BaseGeometry:
    """Return what a shape means: its outlines joined, less their holes.

    Only of one ring by itself may lines be counted, inside where their number is odd: a hole that shares a side with
    its outline, or the overlap of two outlines, would turn into its opposite.
    """
    pieces: list[BaseGeometry] = []
    for polygon in shapely.get_parts(shapely.get_parts(shape)):
        rings = [polygonal(shapely.make_valid(Polygon(ring))) for ring in shapely.get_rings(polygon)]
        outline, *holes = rings or [None]
        taken = [hole for hole in holes if hole is not None]
        if outline is not None:
            pieces.append(shapely.difference(outline, shapely.union_all(taken)) if taken else outline)
    return shapely.union_all(pieces)


def _crossings(shape: BaseGeometry) -> int:
    """Pairs of edges of a shape that meet, neighbours left out; counting stops above the limit."""
    lines = edges([shape])
    tree = shapely.STRtree(lines)
    total = 0
    for start in range(0, len(lines), 64):
        first, second = tree.query(lines[start : start + 64], predicate="intersects")
        total += int(np.count_nonzero(second > first + start + 1))
        if total > MAX_CROSSINGS:
            break
    return total


def from_bottom(shape: BaseGeometry, slide: Size) -> BaseGeometry:
    """Turn a shape whose y counts from the slide's bottom edge into one with y from the top."""
    return affine_transform(shape, [1, 0, 0, -1, 0, slide.height])


def clipped(area: Area, slide: Size) -> Area | None:
    """Return the part of an area that lies on the slide; None if there is none."""
    left, top, right, bottom = area.bounds
    if left >= 0 and top >= 0 and right <= slide.width and bottom <= slide.height:
        return area
    return polygonal(shapely.intersection(area, shapely.box(0, 0, slide.width, slide.height)))


def of_mask(mask: NDArray[np.bool_], where: str) -> Area | None:
    """Return the outline of the true pixels of a mask, to the pixel's edge, holes and all; None if there are none.

    Arguments and errors as in `of_pieces`.
    """
    return next(iter(of_pieces(mask, where)), None)


def of_pieces(labels: NDArray[Any], where: str) -> list[Area]:
    """Return the outline of the pixels of each number above 0, in order of the numbers, to the pixel's edge.

    All are found in one pass, so that many pieces cost no more than one.

    Args:
        labels: (height, width), whole numbers or a mask, 0 outside.
        where: the file, for messages.

    Raises:
        RegionError: the mask is noise rather than painted areas.
    """
    # Rows like the one above only make its rectangles taller.
    tops = np.flatnonzero(np.r_[True, (labels[1:] != labels[:-1]).any(axis=1)])
    bottoms = np.r_[tops[1:], len(labels)]
    found: list[tuple[NDArray[Any], ...]] = []
    count = 0
    for first in range(0, len(tops), _STRIP):
        padded = np.pad(labels[tops[first : first + _STRIP]], ((0, 0), (1, 1)))
        rows, steps = np.nonzero(padded[:, 1:] != padded[:, :-1])
        numbers = padded[rows, steps + 1]
        runs = np.flatnonzero(numbers)
        count += len(runs)
        if count > MAX_RUNS:
            remedy = "Paint the regions as areas, without noise."
            raise RegionError(where, f"a mask of at most {MAX_RUNS} runs of pixels", "more", remedy)
        # A run ends at the next step of its row, which the padding makes sure of.
        rows, starts, ends = rows[runs] + first, steps[runs], steps[runs + 1]
        found.append((numbers[runs], starts, tops[rows], ends, bottoms[rows]))
    numbers, left, top, right, bottom = (np.concatenate(parts) for parts in zip(*found, strict=True))
    boxes = shapely.box(left, top, right, bottom)
    areas = (polygonal(shapely.union_all(boxes[numbers == number]).simplify(0)) for number in np.unique(numbers))
    return [area for area in areas if area is not None]
