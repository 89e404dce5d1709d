"""What a look at the slide that a crop is named after tells: its best places, and whether one is beyond doubt there.

The thresholds are measured. On 24 crops of 8 real slides the right place scores 0.63 to 0.99 and the best wrong place
at most 0.45, with templates of 44 pixels and more. On 200 crops of 20 slides that also hold glass and edges of tissue,
wrong places reach 0.81: those without the lead are compared at level 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..errors import Her2Error, RegionError, SlideError
from ..geometry import Size
from .fit import SHORTEST, simple_scales, unusable
from .matching import Crop
from .refine import refine
from .search import Overviews, Place, Thumb, search, sweep

#: Least coarse correlation, and least lead over the second place in any slide.
COARSE, LEAD = 0.5, 0.25
#: Least correlation at level 0, for a crop of the slide's own scale and for a rescaled one.
EXACT, RESCALED = 0.98, 0.9
#: Another place without the lead is another picture if its correlation at level 0 is below this, or below the lead.
EXACT_RIVAL = 0.9
#: Places of a slide that are compared at level 0; if there are more, the crop is refused.
PLACES = 8


@dataclass(frozen=True, eq=False)
class Request:
    """A crop to be placed in a slide.

    Attributes:
        name: for messages.
        slide_id: the slide that the crop is named after.
        load: reads the crop; called anew in each step that needs it, so that no more than one is in memory at a time.
        extent: its size at level 0, where an annotation of the same region tells.
    """

    name: str
    slide_id: str
    load: Callable[[], Crop]
    extent: Size | None = None


def accepted(best: float, second: float) -> bool:
    """Whether a coarse correlation is high enough, and far enough above the second place in any slide."""
    return best >= COARSE and best - second >= LEAD


def confirmed(score: float, scale: float) -> bool:
    """Whether a correlation at level 0 proves a place, at the slide's own scale or rescaled."""
    return score >= (EXACT if scale == 1 else RESCALED)


def rivals(best: float, second: float, scale: float) -> bool:
    """Whether a second place may hold the same picture as a confirmed one, by their correlations at level 0."""
    return second >= (EXACT_RIVAL if scale == 1 else best - LEAD)


@dataclass(frozen=True, eq=False)
class Sighting:
    """What is known of a crop after a look at its slide.

    Attributes:
        thumb: its small picture; None if it cannot be searched for.
        places: in its slide, by coarse correlation, best first.
        proven: its place at level 0, if there is one and no second like it in the slide.
        refined: places that were looked at at level 0, best first.
        error: why it was not searched for.
    """

    thumb: Thumb | None = None
    places: tuple[Place, ...] = ()
    proven: Place | None = None
    refined: tuple[Place, ...] = ()
    error: Her2Error | None = None


def sight(request: Request, overviews: Overviews) -> Sighting:
    """Search a crop in its slide, and look at places that are in question at level 0."""
    try:
        crop = request.load()
        if error := unusable(crop, request.extent):
            return Sighting(error=error)
        thumb = Thumb.of(crop)
        places = _places(thumb, request.extent, overviews)
        close = [place for place in places if place.score >= COARSE and places[0].score - place.score < LEAD]
        refined = tuple(sorted((refine(crop, place, overviews.slide) for place in close), reverse=True))
    except (RegionError, SlideError) as error:
        return Sighting(error=error)
    sighting = Sighting(thumb, tuple(places), refined=refined)
    if not refined or not confirmed(refined[0].score, refined[0].scale) or len(close) >= PLACES:
        return sighting
    best, *others = refined
    # Two coarse places may climb to one and the same place at level 0.
    twins = [p for p in others if (p.x, p.y) != (best.x, best.y) and rivals(best.score, p.score, best.scale)]
    return sighting if twins else replace(sighting, proven=best)


def _places(thumb: Thumb, extent: Size | None, overviews: Overviews) -> list[Place]:
    scales = simple_scales(thumb.width, thumb.height, extent)
    best = max((search(thumb, scale, overviews, PLACES) for scale in scales), default=[])
    if extent is None and not (best and best[0].score >= COARSE):
        best = max(best, sweep(thumb, SHORTEST / thumb.shorter, overviews))
    return best


def scales_of(sighting: Sighting, thumb: Thumb, extent: Size | None) -> tuple[float, ...]:
    """The scale found at home if one was, else those to try."""
    if sighting.places and sighting.places[0].score >= COARSE:
        return (sighting.places[0].scale,)
    return simple_scales(thumb.width, thumb.height, extent)
