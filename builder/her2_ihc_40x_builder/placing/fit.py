"""Whether a crop can be searched for at all, and at which scales."""

from __future__ import annotations

import math

from ..errors import RegionError
from ..geometry import Size
from .matching import Crop

#: Shortest side of a crop in level-0 pixels; shorter ones are misplaced.
SHORTEST = 256
#: Least standard deviation of a shrunken crop in grey levels: glass has 0.6 to 1.2, the faintest real crop 7.
LEAST_TEXTURE = 4.0
#: Scales tried first, in level-0 pixels a crop pixel.
SIMPLE_SCALES = (1.0, 2.0, 4.0, 8.0)


class UnfitCropError(RegionError):
    """A crop that is too small or too flat for its place to be known."""


def unusable(crop: Crop, extent: Size | None = None) -> UnfitCropError | None:
    """Why a crop must not be searched for: too small or too flat to tell places apart; None if it may be."""
    shorter = min(crop.width, crop.height)
    if not shorter or shorter * max(simple_scales(crop.width, crop.height, extent), default=0) < SHORTEST:
        found = f"{crop.width} x {crop.height} pixels"
        expected = f"a crop of at least {SHORTEST} level-0 pixels a side"
        return UnfitCropError(crop.name, expected, found, "Give the region as an annotation, or cut a larger crop.")
    texture = crop.resized(min(1.0, 80 / shorter)).texture
    if texture < LEAST_TEXTURE:
        found = f"a standard deviation of {texture:.1f} grey levels"
        expected = f"a crop with something to see (at least {LEAST_TEXTURE:g})"
        return UnfitCropError(
            crop.name, expected, found, "Give the region as an annotation: a blank crop fits anywhere."
        )
    return None


def simple_scales(width: int, height: int, extent: Size | None = None) -> tuple[float, ...]:
    """Scales to try for a crop: an annotation's alone if there is one, else those at which the crop is large enough."""
    if extent is None:
        return tuple(scale for scale in SIMPLE_SCALES if min(width, height) * scale >= SHORTEST)
    for scale in SIMPLE_SCALES:
        # A drawn box becomes whole pixels in ways unknown: within two pixels of a simple scale, it is that.
        if abs(extent.width / scale - width) <= 2 and abs(extent.height / scale - height) <= 2:
            return (scale,)
    return (math.sqrt(extent.width * extent.height / (width * height)),)
