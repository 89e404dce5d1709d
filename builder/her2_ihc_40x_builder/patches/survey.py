"""A look at a whole slide from afar: the colour of its glass, and a fingerprint of its file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ..errors import Her2Error, SlideError
from ..parallel import Processes, run_tasks
from ..parameters import digest_of
from ..regions import Area
from ..slide_plan import SlidePlan
from ..slides.fingerprint import fingerprint
from ..slides.slide import killed_by, open_slide
from .white import COARSEST, FINEST, White, estimate_white

#: The longer side of an overview in pixels, where the downsample that white points need allows it.
_OVERVIEW = 1024


@dataclass(frozen=True)
class Survey:
    """What was seen of a slide.

    Args:
        white: its glass, None where none can be trusted.
        reason: in words.
        fingerprint: of the file.
        inputs: a digest of all that it hangs on.
    """

    white: White | None
    reason: str
    fingerprint: str
    inputs: str

    def to_entry(self) -> dict[str, Any]:
        """What the manifest says of it; `from_entry` takes it back."""
        white = None if self.white is None else list(self.white.levels)
        return {"white": white, "white_reason": self.reason, "surveyed": self.inputs}


def survey_slides(
    slides: Sequence[SlidePlan], white: White | None, entries: Mapping[str, Mapping[str, Any]], workers: Processes
) -> dict[str, Survey | Her2Error]:
    """Find the white point of each slide outside its regions, or why the slide cannot be read.

    Args:
        slides: what to look at.
        white: the glass of every slide, where the user gave it.
        entries: slide -> what an earlier manifest says of it; where it was the same, it is not looked at again.
        workers: that look.
    """
    found: dict[str, Survey | Her2Error] = {}
    tasks = []
    marks = run_tasks(_mark, slides, workers=workers, label="Reading", unit="slide", threads=True)
    for slide, mark in zip(slides, marks, strict=True):
        if isinstance(mark, SlideError):
            found[slide.slide_id] = mark
            continue
        outlines = [shapely.to_wkb(region.polygon, hex=True) for region in slide.regions]
        inputs = slide.sealed(digest_of([mark, white and white.levels, outlines]))
        if white is not None:
            found[slide.slide_id] = Survey(white, "given by --white", mark, inputs)
        elif earlier := _from_entry(entries.get(slide.slide_id, {}), mark, inputs):
            found[slide.slide_id] = earlier
        else:
            tasks.append(_Task(slide, mark, inputs))
    surveys = run_tasks(_survey, tasks, workers=workers, label="White points", unit="slide", killed=_killed)
    found.update((task.slide.slide_id, survey) for task, survey in zip(tasks, surveys, strict=True))
    return found


def _mark(slide: SlidePlan) -> str | SlideError:
    try:
        return fingerprint(*slide.files)
    except SlideError as error:
        return error


@dataclass(frozen=True)
class _Task:
    slide: SlidePlan
    fingerprint: str
    inputs: str


def _survey(task: _Task) -> Survey | Her2Error:
    try:
        with open_slide(task.slide.path) as slide:
            longest = max(slide.size.width, slide.size.height)
            downsample = min(max(longest / _OVERVIEW, FINEST), COARSEST)
            overview = slide.thumbnail(max(1, round(longest / downsample)))
            downsample = slide.size.width / overview.shape[1]
        mask = draw_mask((region.polygon for region in task.slide.regions), overview.shape[:2], downsample)
        found = estimate_white(overview, mask, downsample)
    except Her2Error as error:
        return error
    return Survey(found.white, found.reason, task.fingerprint, task.inputs)


def _killed(task: _Task) -> Her2Error:
    return killed_by(task.slide.path)


def _from_entry(entry: Mapping[str, Any], mark: str, inputs: str) -> Survey | None:
    """What an entry says, None if it was made of something else, or is damaged."""
    try:
        if entry["surveyed"] != inputs:
            return None
        white = None if entry["white"] is None else White(*entry["white"])
        return Survey(white, str(entry["white_reason"]), mark, inputs)
    except (KeyError, TypeError, ValueError, Her2Error):
        return None


def draw_mask(polygons: Iterable[Area], shape: tuple[int, ...], downsample: float) -> NDArray[np.bool_]:
    """A mask (height, width) of all that polygons in level-0 pixels cover, whatever their order, at a downsample."""
    canvas = Image.new("1", (shape[1], shape[0]))
    for polygon in polygons:
        for part in getattr(polygon, "geoms", [polygon]):
            # Each apart from the others, in its own box: its holes must not reach what they left.
            left, top, right, bottom = (int(end / downsample) for end in part.bounds)
            piece = Image.new("1", (right - left + 1, bottom - top + 1))
            draw = ImageDraw.Draw(piece)
            for fill, ring in ((1, part.exterior), *((0, hole) for hole in part.interiors)):
                draw.polygon([(x / downsample - left, y / downsample - top) for x, y in ring.coords], fill=fill)
            canvas.paste(1, (left, top), piece)
    return np.asarray(canvas, dtype=np.bool_)
