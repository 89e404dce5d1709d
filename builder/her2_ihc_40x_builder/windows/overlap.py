"""Which windows of a slide share pixels, directly or by way of others."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from ..geometry import Box

Indices = NDArray[np.int64]

#: Windows looked up at once, which bounds the memory of the answers.
_BLOCK = 16


def crossing(ones: Sequence[Box], others: Sequence[Box]) -> tuple[Indices, Indices]:
    """Return the indices of the `ones` that share a pixel with one of the `others`, and of one such other for each.

    No slower where very many share one.
    """
    if not ones or not others:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    # Of whole pixels, those nearer than half a pixel are the same.
    first, second = shapely.STRtree(_pixels(others)).query_nearest(_pixels(ones), max_distance=0.5, all_matches=False)
    return first, second


def crossing_pairs(ones: Sequence[Box], others: Sequence[Box]) -> Iterator[tuple[Indices, Indices]]:
    """Yield the indices of each of the `ones` and each of the `others` that share a pixel, once, in blocks."""
    tree = shapely.STRtree(_pixels(others))
    boxes = _pixels(ones)
    for start in range(0, len(boxes), _BLOCK):
        first, second = tree.query(boxes[start : start + _BLOCK])
        if len(first):
            yield first + start, second


def _pixels(windows: Sequence[Box]) -> NDArray[np.object_]:
    """The windows as shapes from the middle of their first pixel to that of their last: neighbours do not touch."""
    ends = [(window.x, window.y, window.right - 1, window.bottom - 1) for window in windows]
    return np.asarray(shapely.box(*np.array(ends, np.float64).reshape(-1, 4).T), dtype=object)


def first_joined(windows: Sequence[Box]) -> list[Box]:
    """Return for each window the first, by y then x, of all that overlaps join it to; itself where it stands alone.

    Args:
        windows: in level-0 pixels, in any order, equal ones included. Many of one size cost little more than sorting
            them, however often they overlap.
    """
    parent = list(range(len(windows)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    # Windows come from the top down. Of those over a column that reach this far down, which all share its pixel and are
    # joined already, the one that reaches furthest is kept: pieces [left, right) of the width, each with its window.
    lefts: list[int] = []
    pieces: list[tuple[int, int]] = []
    for index in sorted(range(len(windows)), key=windows.__getitem__):
        window = windows[index]
        first, stop = bisect_right(lefts, window.x), bisect_left(lefts, window.right)
        if first and pieces[first - 1][0] > window.x:
            first -= 1
        kept: list[tuple[int, int, int]] = []
        free = window.x
        for left, (right, other) in zip(lefts[first:stop], pieces[first:stop], strict=True):
            bottom = windows[other].bottom
            if bottom > window.y:
                parent[root(index)] = root(other)
            if left < window.x:
                kept.append((left, window.x, other))
            if bottom > window.bottom:
                start, end = max(left, window.x), min(right, window.right)
                kept += [(free, start, index), (start, end, other)]
                free = end
            if right > window.right:
                kept += [(free, window.right, index), (window.right, right, other)]
                free = window.right
        kept.append((free, window.right, index))
        kept = [piece for piece in kept if piece[0] < piece[1]]
        lefts[first:stop] = [left for left, _, _ in kept]
        pieces[first:stop] = [(right, other) for _, right, other in kept]
    least: dict[int, Box] = {}
    for index, window in enumerate(windows):
        top = root(index)
        least[top] = min(window, least.get(top, window))
    return [least[root(index)] for index in range(len(windows))]


def leaking(windows: Sequence[Box], sides: Sequence[str]) -> tuple[Box, Box] | None:
    """Return two windows that share a pixel and are on different sides, or None: for sides that were given.

    Args:
        windows: in level-0 pixels.
        sides: the side of each, of two.
    """
    ones = [window for window, side in zip(windows, sides, strict=True) if side == sides[0]]
    others = [window for window, side in zip(windows, sides, strict=True) if side != sides[0]]
    pairs = ((ones[one], others[other]) for one, other in zip(*crossing(ones, others), strict=True))
    pair = min(pairs, default=None)
    return None if pair is None else (min(pair), max(pair))
