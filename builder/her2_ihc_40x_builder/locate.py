"""Where in its slide a cropped picture was cut: found by correlation, checked against every slide, never guessed.

The thresholds are measured. On 24 crops of 8 real slides the right place scores 0.63 to 0.99 and the best wrong place
at most 0.45, with templates of 44 pixels and more; a nearly blank crop of a wrong slide scores 0.61, hence the lead
over every other place and the check at level 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import cv2
import numpy as np

from .errors import Her2Error, RegionError, SlideError
from .geometry import Box, Size
from .matching import Correlation, Crop, peaks
from .search import (
    Overviews,
    Place,
    SlideLike,
    Thumb,
    around,
    downsample_for,
    search,
    sweep,
    to_gray,
)

#: Least coarse correlation, and least lead over the second place in any slide.
COARSE, LEAD = 0.5, 0.25
#: Least correlation at level 0, for a crop of the slide's own scale and for a rescaled one.
EXACT, RESCALED = 0.98, 0.9
#: Shortest side of a crop in level-0 pixels; shorter ones are misplaced.
SHORTEST = 256
#: Least standard deviation of a shrunken crop in grey levels: glass has 0.6 to 1.2, the faintest real crop 7.
LEAST_TEXTURE = 4.0
#: Scales tried first, in level-0 pixels a crop pixel.
SIMPLE_SCALES = (1.0, 2.0, 4.0, 8.0)
#: Side of the part of a crop that is matched at level 0, and level-0 pixels read at a time to compare all of it.
FINE_SIDE, STRIP_PIXELS = 1024, 4_000_000
#: Slides whose overviews are kept, of at most 11 MB each.
SLIDES_IN_MEMORY = 12


class UnfitCropError(RegionError):
    """A crop that is too small or too flat for its place to be known."""


@dataclass(frozen=True, eq=False)
class Request:
    """A crop to be placed in a slide.

    Attributes:
        name: for messages.
        slide_id: the slide that the crop is named after.
        load: reads the crop; called twice, so that no more than one is in memory at a time.
        extent: its size at level 0, where an annotation of the same region tells.
    """

    name: str
    slide_id: str
    load: Callable[[], Crop]
    extent: Size | None = None


def locate(requests: Sequence[Request], slides: Mapping[str, SlideLike]) -> list[Place | Her2Error]:
    """Place each crop in its slide, or say why it cannot be.

    Slides are gone through in turn, not crops, so that few slides' overviews are in memory at a time.

    Args:
        requests: crops, each with the id of the slide that it is named after.
        slides: every slide of the build by id, among them those of the requests.

    Returns:
        For each request its place, with the correlation at level 0, or the error that stops its slide. A slide whose
        pixels cannot be read stops its own crops alone; the others are not compared with it.
    """
    sought = [_Sought(request) for request in requests]
    overviews_of = lru_cache(SLIDES_IN_MEMORY)(lambda slide_id: Overviews(slides[slide_id]))
    for slide_id in sorted(slides):
        for one in sought:
            if one.request.slide_id == slide_id:
                one.look_at_home(overviews_of(slide_id))
    broken: set[str] = set()
    for slide_id in sorted(slides, reverse=True):
        for one in sought:
            if one.request.slide_id != slide_id and slide_id not in broken:
                try:
                    one.look_abroad(overviews_of(slide_id))
                except SlideError:
                    broken.add(slide_id)
    return [one.verdict(slides[one.request.slide_id]) for one in sought]


def accepted(best: float, second: float) -> bool:
    """Whether a coarse correlation is high enough, and far enough above the second place in any slide."""
    return best >= COARSE and best - second >= LEAD


def confirmed(score: float, scale: float) -> bool:
    """Whether a correlation at level 0 proves a place, at the slide's own scale or rescaled."""
    return score >= (EXACT if scale == 1 else RESCALED)


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


@dataclass
class _Sought:
    """A crop on its way through the slides: its small picture, its best places, or why it has none."""

    request: Request
    thumb: Thumb | None = None
    home: list[Place] = field(default_factory=list)
    abroad: list[Place] = field(default_factory=list)
    error: Her2Error | None = None

    def look_at_home(self, overviews: Overviews) -> None:
        """Find the best places in the slide that the crop is named after."""
        try:
            self._look_at_home(overviews, self.request.load())
        except (RegionError, SlideError) as error:
            self.error = error

    def _look_at_home(self, overviews: Overviews, crop: Crop) -> None:
        extent = self.request.extent
        self.error = unusable(crop, extent)
        if self.error:
            return
        self.thumb = Thumb.of(crop)
        self.home = max((search(self.thumb, s, overviews) for s in self._scales(self.thumb)), default=[])
        if extent is None and not self._found:
            self.home = max(self.home, sweep(self.thumb, SHORTEST / self.thumb.shorter, overviews))

    def look_abroad(self, overviews: Overviews) -> None:
        """Find the best place in another slide, at the scale found at home if one was."""
        if self.thumb is not None:
            for scale in self._scales(self.thumb):
                self.abroad += search(self.thumb, scale, overviews)[:1]
            self.abroad = sorted(self.abroad, reverse=True)[:3]

    def verdict(self, slide: SlideLike) -> Place | Her2Error:
        """Return the place, if it is beyond doubt; else an error that shows the best scores and where."""
        try:
            return self._verdict(slide)
        except (RegionError, SlideError) as error:
            return error

    def _verdict(self, slide: SlideLike) -> Place | Her2Error:
        if self.error or self.thumb is None:
            return self.error or RegionError(self.request.name, "a slide", "none", "Give its slide to the build.")
        others = sorted(self.home[1:] + self.abroad, reverse=True)
        if self.home and accepted(self.home[0].score, others[0].score if others else 0.0):
            refined = refine(self.request.load(), self.home[0], slide)
            if confirmed(refined.score, refined.scale):
                return refined
            expected = f"a correlation of {EXACT} at level 0 ({RESCALED} if rescaled)"
            found = f"{refined.score:.3f} at the best place, {self.home[0]}"
        else:
            best = sorted(self.home + self.abroad, reverse=True)[:3]
            expected = f"one place in {slide.slide_id} with a correlation of {COARSE}, {LEAD} above any other place"
            found = "; ".join(map(str, best)) or "no place that it fits in"
        return RegionError(self.request.name, expected, found, self._advice(slide))

    def _advice(self, slide: SlideLike) -> str:
        """Return what the reader may do; other orientations are tried for this sentence alone."""
        best = self.home[0].score if self.home else 0.0
        second = max(self.home[1:] + self.abroad, default=None)
        if second and min(best, second.score) >= COARSE:
            return "It fits in two places: give the region as an annotation."
        if self.abroad and self.abroad[0].score >= COARSE:
            return f"It seems to come from {self.abroad[0].slide_id}: check its name, or give an annotation."
        overviews = Overviews(slide)
        for name, turned in self.thumb.orientations() if self.thumb else ():
            for place in (p for scale in self._scales(turned) for p in search(turned, scale, overviews)[:1]):
                if place.score >= max(COARSE, best):
                    return f"It fits when {name} ({place}): export it as the slide has it, or give an annotation."
        return "Export the crop again from the unscaled slide, or give the region as an annotation."

    @property
    def _found(self) -> bool:
        return bool(self.home) and self.home[0].score >= COARSE

    def _scales(self, thumb: Thumb) -> tuple[float, ...]:
        if self._found:
            return (self.home[0].scale,)
        return simple_scales(thumb.width, thumb.height, self.request.extent)


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
