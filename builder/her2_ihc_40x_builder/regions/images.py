"""PNG files of regions: their size before any pixel is decoded, and their pixels."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from her2_ihc_40x import IMAGE_ERRORS

from ..errors import RegionError
from ..geometry import Size
from ..placing.matching import Crop
from .names import shown

#: Pixels of one crop or mask: 8000 x 8000, 256 MB while an RGBA is decoded.
MAX_PIXELS = 64_000_000
#: Rows that are looked at together.
_ROWS = 512
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
    except Image.DecompressionBombError as error:
        raise _too_large(path, "more than twice what Pillow believes") from error
    except UnidentifiedImageError as error:
        raise RegionError(shown(path), "a PNG", "a damaged head, or another kind of file", remedy) from error
    except IMAGE_ERRORS as error:
        raise RegionError(shown(path), "a PNG", str(error)[:200], remedy) from error
    if size.width * size.height > MAX_PIXELS:
        raise _too_large(path, f"{size.width} x {size.height}")
    if mode not in _GREY_MODES | COLOUR_MODES:
        raise RegionError(shown(path), "a grey, palette, RGB or RGBA PNG", f"mode {mode}", remedy)
    return size, mode


def _too_large(path: Path, found: str) -> RegionError:
    remedy = "Save it at half or a quarter of its scale."
    return RegionError(shown(path), f"a PNG of at most {MAX_PIXELS} pixels", found, remedy)


def _strips(path: Path) -> Generator[NDArray[Any]]:
    """Yield the pixels of a PNG in strips of rows, palette indices of a palette: a whole copy would triple its memory.

    Raises:
        RegionError: it cannot be decoded.
    """
    size, _ = header(path)
    try:
        with Image.open(path, formats=("PNG",)) as image:
            image.verify()  # the checksums, which decoding does not look at: other pixels would be another region
        with Image.open(path, formats=("PNG",)) as image:
            image.load()
            for top in range(0, size.height, _ROWS):
                yield np.asarray(image.crop((0, top, size.width, min(top + _ROWS, size.height))))
    except IMAGE_ERRORS as error:
        raise RegionError(shown(path), "a whole PNG", str(error)[:200], "Save the region again.") from error


def values_of_mask(path: Path) -> NDArray[Any] | None:
    """Return grey values or palette indices of a PNG, 0 where transparent; None if it is in colour, as a crop is.

    Raises:
        RegionError: it cannot be decoded.
    """
    _, mode = header(path)
    key = _key(path)
    values = []
    with closing(_strips(path)) as strips:
        for strip in strips:
            if mode in _GREY_MODES - {"LA"}:
                values.append(_without(strip, key))
                continue
            grey = strip[..., 0]
            if mode != "LA" and not (np.array_equal(grey, strip[..., 1]) and np.array_equal(grey, strip[..., 2])):
                return None
            alpha = strip[..., -1] if mode != "RGB" else 255
            values.append(np.where(alpha >= 128, _without(grey, key), 0))
    return np.concatenate(values)


def _key(path: Path) -> int | bytes | None:
    """What a PNG without an alpha channel calls transparent: the one grey value or index, or the alpha of each index.

    A colour that is no grey is in no mask, and counts as None.
    """
    with Image.open(path, formats=("PNG",)) as image:
        key, stored = image.info.get("transparency"), str(image.tile[0][3] if image.tile else "")
    if isinstance(key, tuple):
        key = key[0] if len(set(key)) == 1 else None
    if isinstance(key, int):
        # It is told in the file's own bits, of which Pillow makes eight.
        return key >> 8 if stored == "RGB;16B" else key * {"L;2": 85, "L;4": 17}.get(stored, 1)
    return key if isinstance(key, bytes) else None


def _without(values: NDArray[Any], key: int | bytes | None) -> NDArray[Any]:
    """Values with 0 where they are transparent."""
    if key is None:
        return values
    if isinstance(key, bytes):
        clear = np.frombuffer(key.ljust(256, b"\xff")[:256], np.uint8)[values] < 128
    else:
        clear = values == (bool(key) if values.dtype == np.bool_ else key)
    return np.asarray(np.where(clear, np.zeros((), values.dtype), values))


def crop(path: Path) -> Crop:
    """Read a colour PNG as a crop: grey, and a mask where it has an alpha channel with a hole in it.

    Raises:
        RegionError: it cannot be decoded, is not in colour, or is all transparent.
    """
    _, mode = header(path)
    if mode not in COLOUR_MODES:
        raise RegionError(shown(path), "a crop in RGB or RGBA", f"mode {mode}", "Save the crop in colour.")
    greys, masks = [], []
    for strip in _strips(path):
        greys.append(np.asarray(cv2.cvtColor(np.ascontiguousarray(strip[..., :3]), cv2.COLOR_RGB2GRAY), dtype=np.uint8))
        if mode == "RGBA":
            masks.append(strip[..., 3] >= 128)
    mask = np.concatenate(masks) if masks else None
    if mask is not None and not mask.any():
        raise RegionError(shown(path), "a crop with a visible pixel", "all transparent", "Save the crop again.")
    return Crop(shown(path), np.concatenate(greys), None if mask is None or mask.all() else mask)
