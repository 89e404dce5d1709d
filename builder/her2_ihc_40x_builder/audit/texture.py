"""What is kept of a patch to find it again elsewhere: corners with their surroundings, and a relief of the whole.

Perceptual hashes of whole images find no shifted copy (docs/decisions.md). So corners are compared, by ORB (Rublee et
al. 2011, in OpenCV), which stays the same under rotation and shift and nearly so under changes of brightness. It does
not under mirroring: where that matters the mirror image is described as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..patches.pixels import Rgb

#: The longer side that a patch is shrunk to: about 1 micrometre a pixel for 1024 x 1024 at 40x.
OVERVIEW = 256
CORNERS = 48
#: Pixels of the overview along a cell of the relief.
CELL = 4
_EDGE = 16  # half of what ORB describes around a corner
_LEAST_CONTRAST = 5
_STEPS_A_DEVIATION = 32  # of a relief; four deviations fill an int8


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
        relief: its overview in cells, without what changes slowly, in deviations x 32.
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
    orb = cv2.ORB.create(nfeatures=CORNERS, nlevels=1, edgeThreshold=_EDGE, fastThreshold=_LEAST_CONTRAST)
    found, codes = orb.detectAndCompute(cv2.GaussianBlur(grey, (0, 0), 1.0), None)
    if codes is None:
        return Corners(np.empty((0, 2), np.float32), np.empty(0, np.float32), np.empty((0, 32), np.uint8))
    places = np.array([corner.pt for corner in found], np.float32)
    return Corners(places, np.array([corner.angle for corner in found], np.float32), np.asarray(codes, np.uint8))


def _relief(grey: NDArray[np.uint8]) -> NDArray[np.int8]:
    height, width = grey.shape
    rows, columns = max(1, height // CELL), max(1, width // CELL)
    cells = cv2.resize(
        grey[: rows * CELL, : columns * CELL].astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA
    )
    cells = cells - cv2.GaussianBlur(cells, (0, 0), 4.0)
    deviation = max(float(cells.std()), 0.1)
    return np.asarray(np.clip(cells / deviation * _STEPS_A_DEVIATION, -127, 127), np.int8)
