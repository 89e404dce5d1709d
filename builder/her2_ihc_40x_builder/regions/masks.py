"""A PNG mask of a whole slide, at any scale: zero is outside, each piece of anything else is a region."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from shapely.affinity import scale as scaled

from ..errors import RegionError
from ..geometry import Size
from .classes import ClassRules
from .model import Drawn, Reading
from .names import shown
from .polygons import of_pieces

#: Values of a mask, each a class of its own; more is a picture.
MAX_VALUES = 8
#: Separate pieces of a value, each a region.
MAX_PIECES = 2000
#: Share of pixels that may lie between black and white, as a resized mask's edges do.
_EDGE_SHARE = 0.1


def downscale(mask: Size, slide: Size) -> tuple[float, float] | None:
    """How many level-0 pixels a mask pixel is wide and high; None if the mask is not of that slide's shape.

    A whole number wins if it explains the mask's size to the pixel, rounded either way.
    """
    if not mask.width or not mask.height:
        return None
    across, down = slide.width / mask.width, slide.height / mask.height
    whole = max(1, round(across))
    if abs(slide.width / whole - mask.width) < 1 and abs(slide.height / whole - mask.height) < 1:
        return float(whole), float(whole)
    if across >= 1 and abs(slide.height / across - mask.height) < 1:
        return across, down
    return None


def read(
    values: NDArray[Any],
    source: Path,
    slide: str,
    roi: str | None,
    class_name: str | None,
    size: Size,
    rules: ClassRules,
    reading: Reading,
) -> None:
    """Add the regions of a mask to a reading: one if the file's name gives its id, else one for each separate piece.

    Args:
        values: (height, width), 0 outside.
        source: the file.
        slide: the slide's id.
        roi: the region's id, if the file is for one region.
        class_name: the class of its regions, if its folder gives one.
        size: the slide's size at level 0.
        rules: what classes mean; a mask of ones alone has no class unless a rule speaks of "value 1".
        reading: where shapes and findings go.

    Raises:
        RegionError: not of the slide's shape, or a picture rather than a mask.
    """
    where = shown(source)
    scale = downscale(Size(values.shape[1], values.shape[0]), size)
    if scale is None:
        expected = f"a mask of the shape of {slide} ({size.width} x {size.height}), shrunk"
        found = f"{values.shape[1]} x {values.shape[0]}"
        raise RegionError(where, expected, found, "Export the mask of the whole slide, or check its name.")
    painted = _painted(values, where, reading)
    for value, mask in painted:
        binary = len(painted) == 1 and value in {1, 255} and not rules.mentions(f"value {value}")
        name = class_name if binary or class_name else f"value {value}"
        for area in of_pieces(mask if roi is not None else _pieces(mask, where), where):
            shape = scaled(area, *scale, origin=(0, 0))
            tolerance = 1.5 * max(scale)
            reading.drawn.append(Drawn(slide, roi, name, shape, source, where, rank=1, tolerance=tolerance))
    if not painted:
        reading.report("ignored", where, "the mask is empty")


def _painted(values: NDArray[Any], where: str, reading: Reading) -> list[tuple[int, NDArray[np.bool_]]]:
    present, counts = np.unique(values, return_counts=True)
    if len(present) > MAX_VALUES + 1:
        ends = counts[(present == 0) | (present == 255)].sum()
        if present[-1] != 255 or ends < (1 - _EDGE_SHARE) * values.size:
            remedy = "Save it as a mask: 0 outside, one value for each class."
            raise RegionError(where, f"a mask of at most {MAX_VALUES} values", f"{len(present)} values", remedy)
        reading.report("ignored", where, "grey edges of the mask: 128 and more counts as inside")
        return [(255, values >= 128)]
    return [(int(value), values == value) for value in present if value != 0]


def _pieces(mask: NDArray[np.bool_], where: str) -> NDArray[Any]:
    """Number the separate pieces of a mask from 1; pixels that touch at a corner are one piece."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    if count - 1 > MAX_PIECES:
        remedy = "Paint the regions as areas, without noise."
        raise RegionError(where, f"at most {MAX_PIECES} separate pieces", str(count - 1), remedy)
    return np.asarray(labels)
