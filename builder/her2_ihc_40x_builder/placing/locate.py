"""Where in its slide a cropped picture was cut: found by correlation, checked against every slide, never guessed.

Three steps, each slide by slide on all workers. *Home*: a crop's best places in the slide that it is named after, on
shrunken pictures, the ones in question at level 0. *Elsewhere*: each other slide is searched for it, on much smaller
pictures. *Rivals*: places there that look as good are looked at at level 0.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import Her2Error, RegionError, SlideError
from ..parallel import Processes, run_tasks
from .search import Overviews, Place, SlideLike, Thumb, elsewhere
from .sighting import LEAD, Request, Sighting, scales_of, sight
from .verdict import Case, decide, killed_at


@dataclass(frozen=True)
class Located:
    """What became of crops.

    Attributes:
        found: for each request its place, with the correlation at level 0, or the error that stops its slide.
        unseen: slides that no crop of another slide was compared with, and why: each may hold a crop a second time.
    """

    found: tuple[Place | Her2Error, ...]
    unseen: Mapping[str, str] = field(default_factory=dict)


def locate(requests: Sequence[Request], slides: Mapping[str, SlideLike], workers: Processes | None = None) -> Located:
    """Place each crop in its slide, or say why it cannot be.

    Args:
        requests: crops, each with the id of the slide that it is named after.
        slides: every slide of the build by id, among them those of the requests.
        workers: that search; `load` and slides must be picklable then. None searches here.

    A slide whose pixels cannot be read, or at which the process is killed, stops its own crops alone; the others are
    not compared with it.
    """
    sightings = _look_at_home(requests, slides, workers)
    others, unseen = _look_elsewhere(requests, sightings, slides, workers)
    return Located(tuple(_judge(requests, sightings, others, slides, workers)), unseen)


# --- Home ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _HomeTask:
    slide: SlideLike
    requests: tuple[Request, ...]


def _look_at_home(
    requests: Sequence[Request], slides: Mapping[str, SlideLike], workers: Processes | None
) -> list[Sighting]:
    own: dict[str, list[int]] = defaultdict(list)
    for index, request in enumerate(requests):
        own[request.slide_id].append(index)
    names = [name for name in sorted(own) if name in slides]
    tasks = [_HomeTask(slides[name], tuple(requests[index] for index in own[name])) for name in names]
    sightings = [Sighting(error=_no_slide(request)) for request in requests]
    looks = run_tasks(_sight, tasks, workers=workers, label="Placing crops", unit="slide", killed=_home_killed)
    for name, seen in zip(names, looks, strict=True):
        for index, sighting in zip(own[name], seen, strict=True):
            sightings[index] = sighting
    return sightings


def _sight(task: _HomeTask) -> list[Sighting]:
    overviews = Overviews(task.slide)
    return [sight(request, overviews) for request in task.requests]


def _no_slide(request: Request) -> RegionError:
    return RegionError(request.name, "a slide of the build", "none", "Give its slide to the build.")


def _home_killed(task: _HomeTask) -> list[Sighting]:
    remedy = "Give fewer --workers if memory is short; else the slide or a crop is damaged: make it again."
    error = SlideError(task.slide.slide_id, "crops that can be placed", "a process that was killed at it", remedy)
    return [Sighting(error=error)] * len(task.requests)


# --- Elsewhere -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Query:
    """A crop to look for in a slide that it is not named after, and the scales to try."""

    index: int
    thumb: Thumb
    scales: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class _ElsewhereTask:
    slide: SlideLike
    queries: tuple[_Query, ...]


@dataclass(frozen=True, eq=False)
class _Glance:
    """Crops' best places in a slide, each with the crop's index; or why it was not seen."""

    places: tuple[tuple[int, Place], ...] = ()
    unseen: str = ""


def _look_elsewhere(
    requests: Sequence[Request],
    sightings: Sequence[Sighting],
    slides: Mapping[str, SlideLike],
    workers: Processes | None,
) -> tuple[list[tuple[Place, ...]], dict[str, str]]:
    """The best places of each crop in the slides that it is not named after, best first; slides that were not seen."""
    queries = [
        (request.slide_id, _Query(index, one.thumb, scales_of(one, one.thumb, request.extent)))
        for index, (request, one) in enumerate(zip(requests, sightings, strict=True))
        if one.thumb is not None
    ]
    tasks = [
        _ElsewhereTask(slides[name], tuple(query for home, query in queries if home != name)) for name in sorted(slides)
    ]
    tasks = [task for task in tasks if task.queries]
    found: dict[int, list[Place]] = defaultdict(list)
    unseen = {}
    glances = run_tasks(_glance, tasks, workers=workers, label="Comparing crops", unit="slide", killed=_glance_killed)
    for task, glance in zip(tasks, glances, strict=True):
        for index, place in glance.places:
            found[index].append(place)
        if glance.unseen:
            unseen[task.slide.slide_id] = glance.unseen
    return [tuple(sorted(found[index], reverse=True)) for index in range(len(requests))], unseen


def _glance(task: _ElsewhereTask) -> _Glance:
    overviews = Overviews(task.slide)
    try:
        return _Glance(
            tuple(
                (query.index, place)
                for query in task.queries
                for scale in query.scales
                for place in elsewhere(query.thumb, scale, overviews)
            )
        )
    except SlideError as error:
        return _Glance(unseen=str(error))


def _glance_killed(task: _ElsewhereTask) -> _Glance:
    return _Glance(unseen="a process was killed at it, or found no memory: run it again, with fewer --workers")


# --- Verdicts --------------------------------------------------------------------------------------------------------


def _judge(
    requests: Sequence[Request],
    sightings: Sequence[Sighting],
    others: Sequence[tuple[Place, ...]],
    slides: Mapping[str, SlideLike],
    workers: Processes | None,
) -> list[Place | Her2Error]:
    verdicts: dict[int, Place | Her2Error] = {}
    cases: dict[int, Case] = {}
    for index, (request, one, found) in enumerate(zip(requests, sightings, others, strict=True)):
        close = tuple(place for place in found if one.places and one.places[0].score - place.score < LEAD)
        if one.error or one.thumb is None:
            verdicts[index] = one.error or _no_slide(request)
        elif one.proven and not close:
            verdicts[index] = one.proven
        else:
            kept = close if one.proven else found[:3]
            theirs = {place.slide_id: slides[place.slide_id] for place in kept}
            cases[index] = Case(request, one, kept, slides[request.slide_id], theirs)
    in_question = list(cases.values())
    decided = run_tasks(decide, in_question, workers=workers, label="Looking closer", unit="crop", killed=killed_at)
    verdicts.update(zip(cases, decided, strict=True))
    return [verdicts[index] for index in range(len(requests))]
