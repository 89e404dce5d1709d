"""What is kept of a patch to find it again elsewhere: corners with their surroundings, and a relief of the whole.

Perceptual hashes of whole images find no shifted copy (docs/decisions.md). So corners are compared, by ORB (Rublee et
al. 2011, in OpenCV), which stays the same under rotation and shift and nearly so under changes of brightness. It does
not under mirroring: where that matters the mirror image is described as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..patches.pixels import Rgb

#: The longer side that a patch is shrunk to: about 1 micrometre a pixel for 1024 x 1024 at 40x.
OVERVIEW = 256
CORNERS = 48
#: Of these in one part of the overview, so that a mark on the patch (a pen, a scale bar) does not take them all.
_CORNERS_A_PART = 6
_PART = OVERVIEW // 4
#: Pixels of the overview along a cell of the relief.
CELL = 4
_EDGE = 16  # half of what ORB describes around a corner
_LEAST_CONTRAST = 5
#: In cells: what changes more slowly than this is no relief, and over this much its depth is levelled.
_SLOW = 4.0
#: In levels: what is no deeper is noise.
_LEAST_DEPTH = 3.0
_STEPS_A_DEVIATION = 32  # of a relief; four deviations fill an int8
#: What a relief has where nothing is to be seen.
VOID = -128
#: Void, as where a scanner did not scan, is flat to so many levels and darker than this share of the brightest cell.
_FLAT = 2.0
_DARK = 0.6


@dataclass(frozen=True)
class Corners:
    """Corners of an overview: places (n, 2) as x, y; directions (n,) in degrees; codes (n, 32) of 256 bits."""

    places: NDArray[np.float32]
    angles: NDArray[np.float32]
    codes: NDArray[np.uint8]


@dataclass(frozen=True)
class Texture:
    """What a patch is known by, in at most 8 kB.

    Args:
        size: width and height of the overview.
        corners: of the patch.
        mirrored: of its mirror image (x turned round); None where it is only compared with, not looked up.
        relief: its overview in cells, without what changes slowly, in local deviations x 32; or `VOID`.
    """

    size: tuple[int, int]
    corners: Corners
    mirrored: Corners | None
    relief: NDArray[np.int8]


def shrink(pixels: Rgb) -> Rgb:
    """A patch at about `OVERVIEW` pixels, each the mean of whole pixels."""
    height, width = pixels.shape[:2]
    factor = max(1, round(max(height, width) / OVERVIEW))
    rows, columns = max(1, height // factor), max(1, width // factor)
    return np.asarray(
        cv2.resize(pixels[: rows * factor, : columns * factor], (columns, rows), interpolation=cv2.INTER_AREA)
    )


def darkest(overview: Rgb) -> NDArray[np.uint8]:
    """The darkest channel: stain darkens it most, and brightening saturates it last."""
    return np.ascontiguousarray(overview.min(axis=2))


def describe(grey: NDArray[np.uint8], *, mirror: bool) -> Texture:
    """Describe an overview.

    Args:
        grey: uint8, (height, width).
        mirror: describe the mirror image too, so that the patch can be looked up among others.
    """
    height, width = grey.shape
    return Texture(
        (width, height),
        _find_corners(grey),
        _find_corners(np.ascontiguousarray(grey[:, ::-1])) if mirror else None,
        _relief(grey),
    )


def _find_corners(grey: NDArray[np.uint8]) -> Corners:
    orb = cv2.ORB.create(nfeatures=4 * CORNERS, nlevels=1, edgeThreshold=_EDGE, fastThreshold=_LEAST_CONTRAST)
    blurred = cv2.GaussianBlur(grey, (0, 0), 1.0)
    found, codes = orb.compute(blurred, _spread(orb.detect(blurred, None)))
    if codes is None:
        return Corners(np.empty((0, 2), np.float32), np.empty(0, np.float32), np.empty((0, 32), np.uint8))
    places = np.array([corner.pt for corner in found], np.float32)
    return Corners(places, np.array([corner.angle for corner in found], np.float32), np.asarray(codes, np.uint8))


def _spread(corners: Sequence[cv2.KeyPoint]) -> list[cv2.KeyPoint]:
    """The strongest corners, but not too many of one part."""
    parts: Counter[tuple[int, int]] = Counter()
    chosen = []
    for corner in sorted(corners, key=lambda each: -each.response):
        part = int(corner.pt[0]) // _PART, int(corner.pt[1]) // _PART
        parts[part] += 1
        if parts[part] <= _CORNERS_A_PART:
            chosen.append(corner)
    return chosen[:CORNERS]


def _relief(grey: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Of each cell how much it is above or below its surroundings, as a share of how uneven these are.

    By that share a hard edge counts no more than tissue of the same area, and what borders on void counts as if it went
    on: else two patches would be alike that have nothing in common but an edge (docs/decisions.md).
    """
    height, width = grey.shape
    rows, columns = max(1, height // CELL), max(1, width // CELL)
    whole = grey[: rows * CELL, : columns * CELL].astype(np.float32)
    cells = np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)
    void = _void(cells)
    seen = (~void).astype(np.float32)
    known = np.maximum(_surroundings(seen), np.float32(1e-3))
    above = np.asarray((cells - _surroundings(cells * seen) / known) * seen, np.float32)
    depth = np.sqrt(_surroundings(above * above) / known + _LEAST_DEPTH**2)
    relief = np.asarray(np.clip(above / depth * _STEPS_A_DEVIATION, -127, 127), np.int8)
    relief[void] = VOID
    return relief


def _surroundings(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(cells, (0, 0), _SLOW), np.float32)


def _void(cells: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which cells show nothing that is dark, and those beside them, which an edge may cross."""
    beside = np.ones((3, 3), np.uint8)
    flat = cv2.dilate(cells, beside) - cv2.erode(cells, beside) <= _FLAT
    void = (flat & (cells < _DARK * cells.max())).astype(np.uint8)
    return np.asarray(cv2.dilate(void, np.ones((5, 5), np.uint8)), bool)
