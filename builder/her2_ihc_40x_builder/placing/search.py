"""The best places of a crop in one slide, by correlation on shrunken pictures. What a score proves is for `locate`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ..geometry import Box, Size
from .matching import Crop, Gray, peaks

#: Shortest side of a template, in pixels, for a search, for a sweep and for a glance: detail enough, pixels few.
TEMPLATE_SIDE, SWEEP_SIDE, GLANCE_SIDE = 64, 40, 16
#: A glance is at softened pictures, which agree although their pixels lie up to half a pixel apart: by 0.87 or more
#: where the place is right (50 crops); a fifth of wrong slides has a place as good as `GLANCE`, to be looked at closer.
SOFT, GLANCE, GLANCE_PLACES = 0.7, 0.75, 4
#: A sweep goes from one scale to the other in small steps (a scale off by 2 % halves the score), then finer.
SWEEP_ENDS, SWEEP_STEP, FINE_STEP = (0.5, 8.0), 1.03, 1.005
#: Largest overview of a slide; at finer scales only the surroundings of its best places are searched.
OVERVIEW_PIXELS, CANDIDATES = 8_000_000, 24


class SlideLike(Protocol):
    """What is asked of a slide: its name, its size, and its pixels at any scale."""

    @property
    def slide_id(self) -> str:
        """The slide's name."""

    @property
    def size(self) -> Size:
        """Its size at level 0."""

    def read_region(self, box: Box, downsample: float = 1.0) -> NDArray[np.uint8]:
        """Return the RGB of `box` (level 0, on the slide), each side shrunk to round(side / downsample) pixels."""


@dataclass(frozen=True, order=True)
class Place:
    """A place for a crop: correlation there, slide, top left in level-0 pixels, level-0 pixels a crop pixel."""

    score: float
    slide_id: str
    x: int
    y: int
    scale: float

    def box(self, width: int, height: int) -> Box:
        """Return the box on the slide of a crop of so many pixels."""
        return Box(self.y, self.x, round(width * self.scale), round(height * self.scale))

    def __str__(self) -> str:
        return f"{self.score:.2f} in {self.slide_id} at ({self.x}, {self.y}), scale {self.scale:.4g}"


@dataclass(frozen=True, eq=False)
class Thumb:
    """All that a search needs of a crop of `width` x `height` pixels: small enough to keep thousands of."""

    width: int
    height: int
    small: Crop

    @classmethod
    def of(cls, crop: Crop) -> Thumb:
        """Shrink a crop to twice the template's side."""
        factor = min(1.0, 2 * TEMPLATE_SIDE / min(crop.width, crop.height))
        return cls(crop.width, crop.height, crop.resized(factor))

    @property
    def shorter(self) -> int:
        """The shorter side of the crop."""
        return min(self.width, self.height)

    def template(self, factor: float) -> Crop:
        """Return the crop `factor` times as large."""
        return self.small.fitted(max(1, round(self.width * factor)), max(1, round(self.height * factor)))

    def orientations(self) -> Iterator[tuple[str, Thumb]]:
        """Return the seven other ways to turn or mirror it, each with its name."""
        for name, turned in self.small.orientations():
            across = (turned.width > turned.height) == (self.small.width > self.small.height)
            width, height = (self.width, self.height) if across else (self.height, self.width)
            yield name, Thumb(width, height, turned)


class Overviews:
    """One slide in grey at a few scales: read once, at the finest scale that it is searched at, then shrunk."""

    def __init__(self, slide: SlideLike) -> None:
        self.slide = slide
        area = slide.size.width * slide.size.height
        self.finest = 4 << max(0, math.ceil(math.log2(max(area, 1) / 16 / OVERVIEW_PIXELS) / 2))
        self._kept: dict[int, Gray] = {}
        self._soft: dict[int, Gray] = {}

    def at(self, downsample: int) -> Gray:
        """Return the whole slide, `downsample` times as small; a power of two, not finer than the finest."""
        size = self.slide.size
        if self.finest not in self._kept:
            self._kept[self.finest] = to_gray(self.slide.read_region(Box(0, 0, size.width, size.height), self.finest))
        if downsample not in self._kept:
            shape = (max(1, round(size.width / downsample)), max(1, round(size.height / downsample)))
            shrunk = cv2.resize(self._kept[self.finest], shape, interpolation=cv2.INTER_AREA)
            self._kept[downsample] = np.asarray(shrunk, dtype=np.uint8)
        return self._kept[downsample]

    def soft(self, downsample: int) -> Gray:
        """As `at`, softened by `SOFT` pixels."""
        if downsample not in self._soft:
            self._soft[downsample] = np.asarray(cv2.GaussianBlur(self.at(downsample), (0, 0), SOFT), dtype=np.uint8)
        return self._soft[downsample]

    def part(self, box: Box, downsample: int) -> tuple[Gray, int, int]:
        """Return the pixels around `box` (level 0), and the level-0 pixel of their top left; at any power of two."""
        if downsample < self.finest:
            return to_gray(self.slide.read_region(box, downsample)), box.x, box.y
        x, y = box.x // downsample, box.y // downsample
        right, bottom = -(-box.right // downsample), -(-box.bottom // downsample)
        return self.at(downsample)[y:bottom, x:right], x * downsample, y * downsample


def to_gray(rgb: NDArray[np.uint8]) -> Gray:
    """RGB pixels in grey."""
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def downsample_for(thumb: Thumb, scale: float, side: int = TEMPLATE_SIDE) -> int:
    """Return the power of two, at least 4, that shrinks the crop's shorter side to `side` pixels or little more."""
    return 4 << max(0, math.floor(math.log2(thumb.shorter * scale / (4 * side))))


def search(thumb: Thumb, scale: float, overviews: Overviews, count: int = 2) -> list[Place]:
    """Return the best places of a crop in a slide at a scale, best first; none if it does not fit in.

    Args:
        thumb: the crop.
        scale: level-0 pixels a crop pixel.
        overviews: the slide. Where it is so large that its overview is too coarse for the crop, the best places of the
            overview are looked at again at the crop's scale.
        count: how many places to return at most.
    """
    wanted = downsample_for(thumb, scale)
    coarse = max(wanted, overviews.finest)
    if coarse == wanted:
        return _overview_places(thumb, scale, overviews, coarse, count)
    candidates = _overview_places(thumb, scale, overviews, coarse, CANDIDATES)
    return _look_closer(thumb, candidates, 2 * coarse, wanted, overviews)[:count]


def elsewhere(thumb: Thumb, scale: float, overviews: Overviews) -> list[Place]:
    """Return the best places of a crop in a slide where it is not expected, best first: mostly none, and fast.

    A place that holds the crop's picture is found, with its score as by `search`; others are found if they look like it
    from afar.
    """
    wanted, coarse = downsample_for(thumb, scale), downsample_for(thumb, scale, GLANCE_SIDE)
    count = GLANCE_PLACES if coarse >= overviews.finest else CANDIDATES
    coarse = max(coarse, overviews.finest)
    found = peaks(overviews.soft(coarse), thumb.template(scale / coarse).softened(SOFT), count)
    candidates = [
        Place(p.score, overviews.slide.slide_id, p.x * coarse, p.y * coarse, scale) for p in found if p.score >= GLANCE
    ]
    return _look_closer(thumb, candidates, 2 * coarse, wanted, overviews)[:2]


def _overview_places(thumb: Thumb, scale: float, overviews: Overviews, downsample: int, count: int) -> list[Place]:
    found = peaks(overviews.at(downsample), thumb.template(scale / downsample), count)
    slide_id = overviews.slide.slide_id
    return [Place(p.score, slide_id, p.x * downsample, p.y * downsample, scale) for p in found]


def _look_closer(
    thumb: Thumb, candidates: list[Place], margin: int, downsample: int, overviews: Overviews
) -> list[Place]:
    """The best places near candidates at a finer scale, best first."""
    closer = (_closer(thumb, place, margin, downsample, overviews) for place in candidates)
    places: list[Place] = []
    for place in sorted((place for place in closer if place), reverse=True):
        # Neighbouring candidates climb to one and the same place, which is no second place.
        if all(_apart(place, better, thumb) for better in places):
            places.append(place)
    return places


def _apart(a: Place, b: Place, thumb: Thumb) -> bool:
    return abs(a.x - b.x) > thumb.width * a.scale / 4 or abs(a.y - b.y) > thumb.height * a.scale / 4


def sweep(thumb: Thumb, smallest_scale: float, overviews: Overviews) -> list[Place]:
    """Best places at the best of all scales: coarse steps on a small overview, then fine ones around the best three."""
    low, high = max(SWEEP_ENDS[0], smallest_scale), SWEEP_ENDS[1]
    steps = math.floor(math.log(high / low, SWEEP_STEP)) + 1 if low <= high else 0
    coarse: list[Place] = []
    for scale in (low * SWEEP_STEP**i for i in range(steps)):
        downsample = max(downsample_for(thumb, scale, SWEEP_SIDE), overviews.finest)
        coarse += _overview_places(thumb, scale, overviews, downsample, 1)
    best = sorted(coarse, reverse=True)[:3]
    fine = (search(thumb, place.scale * FINE_STEP**i, overviews) for place in best for i in range(-4, 5))
    return max(fine, default=[])


def around(box: Box, margin: int, size: Size) -> Box:
    """Return a box with a margin, cut at the slide's edges."""
    x, y = min(max(0, box.x - margin), size.width - 1), min(max(0, box.y - margin), size.height - 1)
    right, bottom = min(size.width, box.right + margin), min(size.height, box.bottom + margin)
    return Box(y, x, max(1, right - x), max(1, bottom - y))


def _closer(thumb: Thumb, place: Place, margin: int, downsample: int, overviews: Overviews) -> Place | None:
    window = around(place.box(thumb.width, thumb.height), margin, overviews.slide.size)
    picture, left, top = overviews.part(window, downsample)
    for peak in peaks(picture, thumb.template(place.scale / downsample), 1):
        x, y = left + peak.x * downsample, top + peak.y * downsample
        return Place(peak.score, overviews.slide.slide_id, x, y, place.scale)
    return None
