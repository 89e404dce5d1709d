"""How much of a patch is tissue, by optical density against the slide's own glass."""

from __future__ import annotations

import math

import cv2
import numpy as np

from .pixels import Rgb, check_rgb
from .white import White

#: A pixel is glass if its largest optical density (base 10) is below this; 0.06 lost nearly all of a real faint slide.
GLASS_DENSITY = 0.03
#: Pixels are averaged to about this size, in micrometres, so that the scanner's noise is not tissue.
GRAIN = 1.0


def tissue_fraction(patch: Rgb, white: White, mpp: float, *, glass_density: float = GLASS_DENSITY) -> float:
    """Return the share of a patch that is tissue, 0 to 1.

    Padding of exact 255 counts as glass. Without a white point there is no such figure: it is unknown, not 0 or 1.

    Args:
        patch: (height, width, 3), as scanned, before any change of intensity.
        white: the slide's glass.
        mpp: micrometres along one pixel of the patch.
        glass_density: the largest optical density over red, green and blue, -log10(v / white), that is still glass.

    Raises:
        ImageError: the patch is no RGB image.
        ValueError: `mpp` is not above 0.
    """
    check_rgb(patch, "patch")
    if not (mpp > 0 and math.isfinite(mpp)):
        raise ValueError(f"mpp {mpp}")
    height, width = patch.shape[:2]
    factor = min(max(1, round(GRAIN / mpp)), height, width)
    rows, columns = height // factor, width // factor
    # Whole multiples of the factor only: OpenCV then averages exact cells, and does it fast.
    cells = patch[: rows * factor, : columns * factor]
    coarse = cv2.resize(cells, (columns, rows), interpolation=cv2.INTER_AREA)
    # density < limit in every channel, turned round: one comparison of levels instead of a logarithm a pixel.
    floors = [math.floor(level * 10**-glass_density) + 1 for level in white.levels]
    glass = cv2.countNonZero(cv2.inRange(coarse, np.array(floors), np.array([255, 255, 255])))
    bare: float = glass / (rows * columns)
    return 1.0 - bare
