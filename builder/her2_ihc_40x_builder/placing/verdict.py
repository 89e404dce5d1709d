"""Where a crop lies, if the pictures at its other places are not the same; else what is wrong, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..errors import Her2Error, RegionError, SlideError
from .refine import refine
from .search import Overviews, Place, SlideLike, search
from .sighting import COARSE, EXACT, LEAD, RESCALED, Request, Sighting, confirmed, rivals, scales_of


@dataclass(frozen=True, eq=False)
class Case:
    """A crop whose place is in question: what is known of it, and the slides of its other places by id."""

    request: Request
    sighting: Sighting
    others: tuple[Place, ...]
    slide: SlideLike
    slides: Mapping[str, SlideLike]


def decide(case: Case) -> Place | Her2Error:
    """Return the place, if no other holds the same picture; else an error that shows the best scores and where."""
    try:
        proven = case.sighting.proven
        if proven is None:
            return _refused(case)
        crop = case.request.load()
        for other in case.others:
            try:
                second = refine(crop, other, case.slides[other.slide_id])
            except SlideError:
                continue  # it stops its own crops alone
            if rivals(proven.score, second.score, proven.scale):
                return _twice(case, (proven, second))
    except (RegionError, SlideError) as error:
        return error
    return proven


def _refused(case: Case) -> RegionError:
    """The error for a crop without one place in its slide that is proven."""
    request, seen = case.request, case.sighting
    if seen.refined and confirmed(seen.refined[0].score, seen.refined[0].scale):
        return _twice(case, seen.refined[:3])
    if seen.refined:
        expected = f"a correlation of {EXACT} at level 0 ({RESCALED} if rescaled)"
        found = f"{seen.refined[0].score:.3f} at the best place, {seen.places[0]}"
    else:
        best = sorted(seen.places + case.others, reverse=True)[:3]
        expected = f"one place in {request.slide_id} with a correlation of {COARSE}, {LEAD} above any other place"
        found = "; ".join(map(str, best)) or "no place that it fits in"
    return RegionError(request.name, expected, found, _advice(case))


def _twice(case: Case, places: Iterable[Place]) -> RegionError:
    expected = f"one place in {case.request.slide_id} that it fits in, and no other in any slide"
    remedy = "It fits in two places: give the region as an annotation."
    return RegionError(case.request.name, expected, "; ".join(map(str, places)), remedy)


def _advice(case: Case) -> str:
    """What the reader may do; other orientations are tried for this sentence alone."""
    seen, extent = case.sighting, case.request.extent
    best = seen.places[0].score if seen.places else 0.0
    if case.others and case.others[0].score >= max(COARSE, best):
        return f"It seems to come from {case.others[0].slide_id}: check its name, or give an annotation."
    overviews = Overviews(case.slide)
    for name, turned in seen.thumb.orientations() if seen.thumb else ():
        for scale in scales_of(seen, turned, extent):
            for place in search(turned, scale, overviews, 1):
                if place.score >= max(COARSE, best):
                    return f"It fits when {name} ({place}): export it as the slide has it, or give an annotation."
    return "Export the crop again from the unscaled slide, or give the region as an annotation."


def killed_at(case: Case) -> RegionError:
    """What stands for a crop at which the process is killed."""
    found, remedy = "a process that was killed at it", "Give fewer --workers if memory is short, or an annotation."
    return RegionError(case.request.name, "a crop that can be placed", found, remedy)
