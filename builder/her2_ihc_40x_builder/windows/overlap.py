"""Which windows of a slide share pixels, directly or by way of others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..geometry import Box


def overlapping_pairs(windows: Sequence[Box]) -> Iterator[tuple[int, int]]:
    """Yield the indices of each two windows that share a pixel, once."""
    active: list[int] = []
    for index in sorted(range(len(windows)), key=windows.__getitem__):
        window = windows[index]
        # Windows come from the top down: what ends above this one touches none of the rest.
        active = [other for other in active if windows[other].bottom > window.y]
        for other in active:
            if window.overlaps(windows[other]):
                yield other, index
        active.append(index)


def first_joined(windows: Sequence[Box]) -> list[Box]:
    """Return for each window the first, by y then x, of all that overlaps join it to; itself where it stands alone.

    Args:
        windows: in level-0 pixels, in any order, equal ones included.
    """
    parent = list(range(len(windows)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for index, other in overlapping_pairs(windows):
        parent[root(index)] = root(other)
    first: dict[int, Box] = {}
    for index, window in enumerate(windows):
        top = root(index)
        first[top] = min(window, first.get(top, window))
    return [first[root(index)] for index in range(len(windows))]


def leaking(windows: Sequence[Box], sides: Sequence[str]) -> tuple[Box, Box] | None:
    """Return two windows that share a pixel and are on different sides, or None: for sides that were given.

    Args:
        windows: in level-0 pixels.
        sides: the side of each.
    """
    for index, other in overlapping_pairs(windows):
        if sides[index] != sides[other]:
            return windows[index], windows[other]
    return None
