"""A look at a whole slide from afar: the colour of its glass, and a fingerprint of its file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .errors import Her2Error
from .plan import SlidePlan
from .regions import Area
from .slides import open_slide
from .white import COARSEST, FINEST, White, estimate_white

#: The longer side of an overview in pixels, where the downsample that white points need allows it.
_OVERVIEW = 2048
_SAMPLES, _SAMPLE_BYTES = 64, 1 << 16


@dataclass(frozen=True)
class Survey:
    """What was seen of a slide.

    Args:
        white: its glass, None where none can be trusted.
        reason: in words.
        fingerprint: of the file.
    """

    white: White | None
    reason: str
    fingerprint: str


@dataclass(frozen=True)
class SurveyTask:
    """Which slide to look at; `white` where the user gave it."""

    slide: SlidePlan
    white: White | None


def survey_slide(task: SurveyTask) -> Survey | Her2Error:
    """Find the white point outside a slide's regions; an error is returned, for the other slides to go on."""
    try:
        mark = fingerprint(task.slide.path)
        if task.white is not None:
            return Survey(task.white, "given by --white", mark)
        with open_slide(task.slide.path) as slide:
            longest = max(slide.size.width, slide.size.height)
            downsample = min(max(longest / _OVERVIEW, FINEST), COARSEST)
            overview = slide.thumbnail(max(1, round(longest / downsample)))
            downsample = slide.size.width / overview.shape[1]
        mask = draw_mask((region.polygon for region in task.slide.regions), overview.shape[:2], downsample)
        found = estimate_white(overview, mask, downsample)
        return Survey(found.white, found.reason, mark)
    except Her2Error as error:
        return error


def draw_mask(polygons: Iterable[Area], shape: tuple[int, ...], downsample: float) -> NDArray[np.bool_]:
    """A mask (height, width) of polygons in level-0 pixels at a downsample; holes are left out."""
    canvas = Image.new("1", (shape[1], shape[0]))
    draw = ImageDraw.Draw(canvas)
    for polygon in polygons:
        for part in getattr(polygon, "geoms", [polygon]):
            for fill, ring in ((1, part.exterior), *((0, hole) for hole in part.interiors)):
                draw.polygon([(x / downsample, y / downsample) for x, y in ring.coords], fill=fill)
    return np.asarray(canvas, dtype=np.bool_)


def fingerprint(path: Path) -> str:
    """A digest of a file's size, ends and 64 samples between: it tells another scan or export, without reading all."""
    digest = hashlib.sha256()
    size = path.stat().st_size
    digest.update(str(size).encode())
    with path.open("rb") as file:
        for sample in range(_SAMPLES):
            file.seek(max(0, size - _SAMPLE_BYTES) * sample // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()
