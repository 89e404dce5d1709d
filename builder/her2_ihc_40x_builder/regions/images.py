"""PNG files of regions: their size before any pixel is decoded, and their pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from her2_ihc_40x import IMAGE_ERRORS

from ..errors import RegionError
from ..geometry import Size
from ..matching import Crop
from .names import shown

#: Pixels of one crop or mask: 8000 x 8000, 256 MB while an RGBA is decoded.
MAX_PIXELS = 64_000_000
_GREY_MODES = frozenset({"1", "L", "LA", "P", "I;16", "I"})
COLOUR_MODES = frozenset({"RGB", "RGBA"})


def header(path: Path) -> tuple[Size, str]:
    """Size and mode of a PNG, without decoding it.

    Raises:
        RegionError: not a PNG that a region can be, or larger than is decoded.
    """
    remedy = "Save the region as an 8-bit PNG again."
    try:
        with Image.open(path, formats=("PNG",)) as image:
            size, mode = Size(*image.size), image.mode
    except IMAGE_ERRORS as error:
        raise RegionError(shown(path), "a PNG", str(error)[:200], remedy) from error
    if size.width * size.height > MAX_PIXELS:
        found = f"{size.width} x {size.height}"
        raise RegionError(
            shown(path), f"at most {MAX_PIXELS} pixels", found, "Save it at half or a quarter of its scale."
        )
    if mode not in _GREY_MODES | COLOUR_MODES:
        raise RegionError(shown(path), "a grey, palette, RGB or RGBA PNG", f"mode {mode}", remedy)
    return size, mode


def pixels(path: Path) -> NDArray[Any]:
    """Pixels of a PNG whose header was looked at: (height, width) or (height, width, channels); palette indices.

    Raises:
        RegionError: it cannot be decoded.
    """
    header(path)
    try:
        with Image.open(path, formats=("PNG",)) as image:
            return np.asarray(image)
    except IMAGE_ERRORS as error:
        raise RegionError(shown(path), "a whole PNG", str(error)[:200], "Save the region again.") from error


def values_of_mask(path: Path) -> NDArray[Any] | None:
    """Return grey values or palette indices of a PNG, 0 where transparent; None if it is in colour, as a crop is."""
    _, mode = header(path)
    array = pixels(path)
    if mode in _GREY_MODES - {"LA"}:
        return array
    alpha = array[..., -1] >= 128 if mode in {"LA", "RGBA"} else None
    grey = array[..., 0]
    if mode != "LA" and not (np.array_equal(grey, array[..., 1]) and np.array_equal(grey, array[..., 2])):
        return None
    return grey if alpha is None else np.where(alpha, grey, 0)


def crop(path: Path) -> Crop:
    """Read a colour PNG as a crop: grey, and a mask where it has an alpha channel with a hole in it.

    Raises:
        RegionError: it cannot be decoded, is not in colour, or is all transparent.
    """
    _, mode = header(path)
    if mode not in COLOUR_MODES:
        raise RegionError(shown(path), "a crop in RGB or RGBA", f"mode {mode}", "Save the crop in colour.")
    array = np.asarray(pixels(path), dtype=np.uint8)
    gray = np.asarray(cv2.cvtColor(np.ascontiguousarray(array[..., :3]), cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    mask = array[..., 3] >= 128 if mode == "RGBA" else None
    if mask is not None and not mask.any():
        raise RegionError(shown(path), "a crop with a visible pixel", "all transparent", "Save the crop again.")
    return Crop(shown(path), gray, None if mask is None or mask.all() else mask)
