"""Find patches that show the same tissue: candidates by parts of corners' codes, then their reliefs laid together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from .texture import CELL, VOID, Corners, Texture

#: Two patches show the same tissue if their reliefs, laid together, correlate by this much over this share of the
#: smaller one. Calibrated on real patches: docs/decisions.md.
LIKENESS = 0.65
OVERLAP = 0.3
#: Bits in which two codes of one corner may differ, of 256, and how exactly the turn must be one of quarters.
_MAX_BITS = 42
_MAX_TILT = 25.0
#: Codes meet where one of 12 separate sets of 20 bits is equal.
_TABLES = 12
_KEY_BITS = 20
#: What is in memory at a time: patches, and pairs of corners.
_QUERIES_AT_ONCE = 256
_POOL_AT_ONCE = 1024
_CHUNK = 50_000
#: What bounds time where thousands of corners look the same: of those with one key, of a pair of patches, of a query.
_CROWD = 16
_TRIES = 6
_TRIES_A_QUERY = 60

_POPCOUNT = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)
_MEETING = np.dtype([("query", np.int32), ("pool", np.int32), ("bits", np.int16), ("turn", np.int8)])


class Textures(Protocol):
    """Textures in a row, each asked for when it is needed."""

    def __len__(self) -> int: ...

    def __getitem__(self, at: int, /) -> Texture: ...


@dataclass(frozen=True, order=True, slots=True)
class Match:
    """Two patches that show the same tissue.

    Args:
        query, pool: positions in the sequences that were compared.
        likeness: correlation of their reliefs where they overlap, -1 to 1.
        overlap: the share of the smaller one that is in both, and to be seen in both.
        mirrored: whether one is a mirror image.
        turn: quarter turns between them.
        shift: along x and y after that, as a share of the window.
    """

    query: int
    pool: int
    likeness: float
    overlap: float
    mirrored: bool
    turn: int
    shift: tuple[float, float]


def find_near(queries: Textures, pool: Textures) -> list[Match]:
    """The pairs of a query and one of the pool that show the same tissue, in order; few are in memory at a time.

    Covered: recompression, brightness, quarter turns and mirror images, and shifts that leave half of the window, alone
    or together; not scaling or other angles. A patch with hardly a corner (glass) matches nothing.

    Args:
        queries: with mirror images.
        pool: what they are looked for in.
    """
    found: list[Match] = []
    for start in range(0, len(pool), _POOL_AT_ONCE):
        found += _find_in(queries, _take(pool, start, _POOL_AT_ONCE), start)
    return sorted(found)


def _find_in(queries: Textures, known: Sequence[Texture], first: int) -> Iterator[Match]:
    """The pairs with some of the pool, of which the first has this position."""
    index = _Index.of(_Codes.gather([texture.corners for texture in known]))
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        for match in _find(_take(queries, start, _QUERIES_AT_ONCE), known, index):
            yield replace(match, query=match.query + start, pool=match.pool + first)


def _take(textures: Textures, start: int, count: int) -> list[Texture]:
    return [textures[at] for at in range(start, min(start + count, len(textures)))]


def _find(queries: Sequence[Texture], pool: Sequence[Texture], index: _Index) -> Iterator[Match]:
    asked = _Codes.gather([texture.corners for texture in queries] + [_mirror(texture) for texture in queries])
    meetings = np.empty(0, _MEETING)
    for table in range(_TABLES):
        meetings = _best(np.concatenate([meetings, *_meet(asked, index, table)]), asked, index.known, len(queries))
    return _confirm(meetings, asked, index.known, queries, pool)


def _mirror(texture: Texture) -> Corners:
    if texture.mirrored is None:
        raise ValueError("a query without its mirror image")
    return texture.mirrored


@dataclass(frozen=True)
class _Codes:
    """Corners of many patches in a row; `owner` is the position of each one's patch, mirror images after all others."""

    owner: NDArray[np.int32]
    places: NDArray[np.float32]
    angles: NDArray[np.float32]
    codes: NDArray[np.uint8]

    @classmethod
    def gather(cls, corners: Sequence[Corners]) -> _Codes:
        counts = [len(each.codes) for each in corners]
        return cls(
            np.repeat(np.arange(len(corners), dtype=np.int32), counts),
            np.concatenate([each.places for each in corners] or [np.empty((0, 2), np.float32)]),
            np.concatenate([each.angles for each in corners] or [np.empty(0, np.float32)]),
            np.concatenate([each.codes for each in corners] or [np.empty((0, 32), np.uint8)]),
        )

    def keys(self, table: int) -> NDArray[np.uint32]:
        keys = np.zeros(len(self.codes), np.uint32)
        for at in range(_KEY_BITS):
            byte, bit = divmod(table + at * _TABLES, 8)
            keys |= ((self.codes[:, byte] >> (7 - bit)) & 1).astype(np.uint32) << at
        return keys


@dataclass(frozen=True)
class _Index:
    """Corners to be found: for each table their keys, sorted, and the order that sorts them."""

    known: _Codes
    tables: tuple[tuple[NDArray[np.uint32], NDArray[np.int32]], ...]

    @classmethod
    def of(cls, known: _Codes) -> _Index:
        tables = []
        for table in range(_TABLES):
            keys = known.keys(table)
            order = np.argsort(keys, kind="stable").astype(np.int32)
            tables.append((keys[order], order))
        return cls(known, tuple(tables))


def _meet(asked: _Codes, index: _Index, table: int) -> Iterator[NDArray[np.void]]:
    """Pairs of corners that are equal in the bits of a table and close in all."""
    keys, order = index.tables[table]
    wanted = asked.keys(table)
    first = np.searchsorted(keys, wanted, "left")
    counts = np.minimum(np.searchsorted(keys, wanted, "right") - first, _CROWD)
    ends = np.cumsum(counts)
    start = 0
    while start < len(wanted):
        base = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, base + _CHUNK, "right")))
        some = counts[start:stop]
        query = np.repeat(np.arange(start, stop, dtype=np.int32), some)
        within = np.arange(len(query)) - np.repeat(np.cumsum(some) - some, some)
        yield _close(asked, index.known, query, order[np.repeat(first[start:stop], some) + within])
        start = stop


def _close(asked: _Codes, known: _Codes, query: NDArray[np.int32], pool: NDArray[np.int32]) -> NDArray[np.void]:
    bits = _POPCOUNT[asked.codes[query] ^ known.codes[pool]].sum(axis=1, dtype=np.int16)
    turns = (asked.angles[query] - known.angles[pool]) / 90
    nearest = np.rint(turns)
    keep = (bits <= _MAX_BITS) & (np.abs(turns - nearest) * 90 <= _MAX_TILT)
    found = np.empty(int(keep.sum()), _MEETING)
    found["query"], found["pool"], found["bits"] = query[keep], pool[keep], bits[keep]
    found["turn"] = nearest[keep].astype(np.int64) % 4
    return found


def _best(meetings: NDArray[np.void], asked: _Codes, known: _Codes, count: int) -> NDArray[np.void]:
    """The closest few meetings of each pair of patches, and of those of each query; by pair."""
    left, right = asked.owner[meetings["query"]] % max(1, count), known.owner[meetings["pool"]]
    order = np.lexsort((meetings["pool"], meetings["query"], meetings["bits"], right, left))
    order = order[_changes(meetings["query"][order], meetings["pool"][order])]  # two corners may meet in many tables
    order = order[_ranks(_changes(left[order], right[order])) < _TRIES]
    closest = order[np.lexsort((meetings["bits"][order], left[order]))]
    kept = np.zeros(len(meetings), bool)
    kept[closest[_ranks(_changes(left[closest])) < _TRIES_A_QUERY]] = True
    return meetings[order[kept[order]]]


def _ranks(starts: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The place of each in its group, from 0.

    Args:
        starts: whether one is the first of its group.
    """
    firsts = np.flatnonzero(starts)
    return np.arange(len(starts)) - np.repeat(firsts, np.diff(np.r_[firsts, len(starts)]))


def _changes(*columns: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Whether each is another than the one before it, in any column."""
    changes = np.ones(len(columns[0]), bool)
    changes[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return changes


# --- Are they? ----------------------------------------------------------------------------------------------------


def _confirm(
    meetings: NDArray[np.void], asked: _Codes, known: _Codes, queries: Sequence[Texture], pool: Sequence[Texture]
) -> Iterator[Match]:
    best: Match | None = None
    for meeting in meetings:
        corner, other = int(meeting["query"]), int(meeting["pool"])
        mirrored, query = divmod(int(asked.owner[corner]), len(queries))
        target = int(known.owner[other])
        if best is not None and (best.query, best.pool) != (query, target):
            yield best
            best = None
        if best is not None and best.likeness > 0.9:
            continue
        places = asked.places[corner], known.places[other]
        match = _lay(query, target, queries[query], pool[target], bool(mirrored), int(meeting["turn"]), places)
        if match and (best is None or match.likeness > best.likeness):
            best = match
    if best is not None:
        yield best


def _lay(
    query: int,
    target: int,
    left: Texture,
    right: Texture,
    mirrored: bool,
    turn: int,
    places: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> Match | None:
    """Lay one relief on the other so that two corners meet; None if they are not alike then."""
    (x, y), (width, height) = places[0], left.size
    for _ in range(turn):  # as np.rot90 turns an image
        x, y, width, height = y, width - 1 - x, height, width
    dx, dy = (float(value) / CELL for value in (places[1][0] - x, places[1][1] - y))
    moved = np.rot90(left.relief[:, ::-1] if mirrored else left.relief, turn)
    likeness, share = _correlate(moved, right.relief, dx, dy)
    if likeness < LIKENESS or share < OVERLAP:
        return None
    shift = (round(dx * CELL / right.size[0], 3), round(dy * CELL / right.size[1], 3))
    return Match(query, target, round(likeness, 4), round(share, 4), mirrored, turn, shift)


def _correlate(moved: NDArray[np.int8], fixed: NDArray[np.int8], dx: float, dy: float) -> tuple[float, float]:
    """Correlation of two reliefs, one moved by (dx, dy) cells, and the share of the smaller that is seen in both."""
    rows, columns = fixed.shape
    left, top = max(0, int(np.ceil(dx))), max(0, int(np.ceil(dy)))
    right = min(columns, int(np.floor(dx + moved.shape[1] - 1)) + 1)
    bottom = min(rows, int(np.floor(dy + moved.shape[0] - 1)) + 1)
    if right <= left or bottom <= top:
        return 0.0, 0.0
    there, size = np.array([[1, 0, dx - left], [0, 1, dy - top]], np.float32), (right - left, bottom - top)
    hidden = cv2.warpAffine((moved == VOID).astype(np.float32), there, size, flags=cv2.INTER_LINEAR)
    seen = (hidden == 0) & (fixed[top:bottom, left:right] != VOID)
    if not seen.any():
        return 0.0, 0.0
    a = cv2.warpAffine(moved.astype(np.float32), there, size, flags=cv2.INTER_LINEAR)[seen]
    b = fixed[top:bottom, left:right][seen].astype(np.float32)
    a, b = a - a.mean(), b - b.mean()
    power = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return (float((a * b).sum()) / power if power > 0 else 0.0), int(seen.sum()) / min(fixed.size, moved.size)
