"""A place of a crop at level 0: to the pixel, and how well every pixel of the crop agrees with it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from ..geometry import Box
from .fit import SIMPLE_SCALES
from .matching import Correlation, Crop, peaks
from .search import Place, SlideLike, Thumb, around, downsample_for, to_gray

#: Side of the part of a crop that is matched at level 0, and level-0 pixels read at a time to compare all of it.
FINE_SIDE, STRIP_PIXELS = 512, 4_000_000


def refine(crop: Crop, place: Place, slide: SlideLike) -> Place:
    """Return the place to the pixel, with the correlation of the whole crop at level 0."""
    scales = [place.scale]
    if place.scale not in SIMPLE_SCALES:
        scales = [place.scale * (1 + 0.001 * i) for i in range(-6, 7)]
    margin = 3 * downsample_for(Thumb(crop.width, crop.height, crop), place.scale) + 8
    return max(_fine(crop, replace(place, scale=scale), margin, slide) for scale in scales)


def _fine(crop: Crop, place: Place, margin: int, slide: SlideLike) -> Place:
    part, left, top = _telling_part(crop, max(1, round(FINE_SIDE / place.scale)))
    enlarged = part.resized(place.scale)
    left, top = round(left * place.scale), round(top * place.scale)
    expected = Box(place.y + top, place.x + left, enlarged.width, enlarged.height)
    window = around(expected, margin, slide.size)
    for peak in peaks(to_gray(slide.read_region(window)), enlarged, 1):
        found = replace(place, x=window.x + peak.x - left, y=window.y + peak.y - top)
        if found.box(crop.width, crop.height).inside(slide.size):
            return replace(found, score=_agreement(crop, found, slide))
    return replace(place, score=-1.0)


def _telling_part(crop: Crop, side: int) -> tuple[Crop, int, int]:
    """Return the part of at most `side` pixels with the most texture, of nine over the crop; and its top left."""
    width, height = min(side, crop.width), min(side, crop.height)
    lefts = sorted({(crop.width - width) * i // 2 for i in range(3)})
    tops = sorted({(crop.height - height) * i // 2 for i in range(3)})
    parts = [(crop.part(x, y, width, height), x, y) for y in tops for x in lefts]
    return max(parts, key=lambda part: part[0].texture * (1.0 if part[0].mask is None else float(part[0].mask.mean())))


def _agreement(crop: Crop, place: Place, slide: SlideLike) -> float:
    """Correlation of the whole crop with its place at level 0, read in strips."""
    box, total = place.box(crop.width, crop.height), Correlation()
    rows = max(1, round(STRIP_PIXELS / (box.width * place.scale)))
    for top in range(0, crop.height, rows):
        part = crop.part(0, top, crop.width, min(rows, crop.height - top))
        y = box.y + round(top * place.scale)
        bottom = min(box.bottom, box.y + round((top + part.height) * place.scale))
        pixels = to_gray(slide.read_region(Box(y, box.x, box.width, max(1, bottom - y))))
        if pixels.shape != part.gray.shape:
            pixels = cv2.resize(pixels, (part.width, part.height), interpolation=cv2.INTER_AREA).astype(np.uint8)
        total.add(pixels, part.gray, part.mask)
    return total.value
