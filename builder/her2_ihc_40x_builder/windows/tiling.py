"""Which windows of a slide become patches: pure arithmetic on a region and a slide's size."""

from __future__ import annotations

import math

import numpy as np
from shapely import MultiPolygon, Polygon

from ..errors import RegionError
from ..geometry import Box, Size
from .held import held_areas

#: A window that covers this share of its region is kept, however little of the window that is.
REGION_COVERED = 0.9

#: Windows of one region beyond which the arguments are a mistake (a stride of one pixel, a patch of two).
MAX_WINDOWS = 1_000_000

#: Share of a window that a sum of areas may be short of by rounding alone.
_ROUNDING = 1e-9


def adaptive_windows(
    polygon: Polygon | MultiPolygon, slide_size: Size, patch_size: int = 1024, min_overlap: float = 0.5
) -> tuple[Box, ...]:
    """Return the fewest evenly spread windows that cover a region's box, less those that hold too little of it.

    Along each axis the windows are as few as reach from one side of the region's box to the other, and never run past
    it; a side shorter than a window gets one window centred on it and moved to stay on the slide.

    Args:
        polygon: the region, in level-0 pixels.
        slide_size: the slide's size at level 0.
        patch_size: side of a window in level-0 pixels.
        min_overlap: share of a window that must lie in the region, unless the window covers 90 % of the region.

    Returns:
        Windows in order of (y, x); none if no window qualifies or the slide is smaller than a window.

    Raises:
        RegionError: the sizes or the share make no sense.
    """
    _check(patch_size, patch_size, min_overlap)
    if _too_small(polygon, slide_size, patch_size):
        return ()
    left, top, right, bottom = _whole_pixels(polygon, slide_size)
    xs = _spread(left, right, patch_size, slide_size.width)
    ys = _spread(top, bottom, patch_size, slide_size.height)
    return _kept(polygon, xs, ys, patch_size, min_overlap)


def grid_windows(
    polygon: Polygon | MultiPolygon,
    slide_size: Size,
    patch_size: int = 1024,
    stride: int = 1024,
    min_overlap: float = 0.5,
) -> tuple[Box, ...]:
    """Windows of the slide's own grid, `stride` level-0 pixels apart from (0, 0), that hold enough of a region.

    Arguments, result and errors otherwise as in `adaptive_windows`.
    """
    _check(patch_size, stride, min_overlap)
    if _too_small(polygon, slide_size, patch_size):
        return ()
    left, top, right, bottom = _whole_pixels(polygon, slide_size)
    xs = _grid(left, right, patch_size, stride, slide_size.width)
    ys = _grid(top, bottom, patch_size, stride, slide_size.height)
    return _kept(polygon, xs, ys, patch_size, min_overlap)


def _check(patch_size: int, stride: int, min_overlap: float) -> None:
    if patch_size < 1 or stride < 1:
        found = f"{patch_size} and {stride}"
        raise RegionError("windows", "a patch size and a stride of at least 1 pixel", found, "Give whole pixels.")
    if not 0 < min_overlap <= 1:
        raise RegionError("windows", "a region overlap in (0, 1]", str(min_overlap), "0.5 is the default.")


def _too_small(polygon: Polygon | MultiPolygon, slide_size: Size, patch_size: int) -> bool:
    return polygon.is_empty or min(slide_size.width, slide_size.height) < patch_size


def _whole_pixels(polygon: Polygon | MultiPolygon, slide_size: Size) -> tuple[int, int, int, int]:
    """Return the region's box in whole pixels, cut at the slide's edges."""
    left, top, right, bottom = polygon.bounds
    return (
        min(max(math.floor(left), 0), slide_size.width),
        min(max(math.floor(top), 0), slide_size.height),
        max(min(math.ceil(right), slide_size.width), 0),
        max(min(math.ceil(bottom), slide_size.height), 0),
    )


def _spread(start: int, stop: int, patch_size: int, limit: int) -> list[int]:
    length = stop - start
    if length <= patch_size:
        return [min(max(start + (length - patch_size) // 2, 0), limit - patch_size)]
    count = -(-length // patch_size)
    # Whole pixels, the first and the last exact: i * slack / gaps, rounded half up in integers.
    slack, gaps = length - patch_size, count - 1
    return [start + (2 * i * slack + gaps) // (2 * gaps) for i in range(count)]


def _grid(start: int, stop: int, patch_size: int, stride: int, limit: int) -> list[int]:
    first = max(0, -(-(start - patch_size + 1) // stride)) * stride
    return list(range(first, min(stop, limit - patch_size + 1), stride))


def _kept(
    polygon: Polygon | MultiPolygon, xs: list[int], ys: list[int], patch_size: int, min_overlap: float
) -> tuple[Box, ...]:
    if len(xs) * len(ys) > MAX_WINDOWS:
        found = f"{len(xs) * len(ys)} windows"
        raise RegionError("windows", f"at most {MAX_WINDOWS} a region", found, "Give a larger patch size or stride.")
    enough = min(min_overlap * patch_size**2 * (1 - _ROUNDING), REGION_COVERED * polygon.area)
    rows, columns = np.nonzero(held_areas(polygon, xs, ys, patch_size) >= enough)
    places = zip(rows.tolist(), columns.tolist(), strict=True)
    return tuple(Box(y=ys[row], x=xs[column], width=patch_size, height=patch_size) for row, column in places)
