"""The hue references of a build, and whether the filter may drop: fixed before the first slide is written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .cut import HueRule, read_patches
from .errors import Her2Error
from .geometry import Box
from .hue import (
    LEAST_SLIDES,
    REFERENCES,
    Candidate,
    HueReference,
    HueVerdict,
    authors_references,
    choose_references,
    decide,
    hue_histogram,
    references_from_json,
    similarity,
)
from .manifest import read_manifest
from .parallel import run_tasks
from .parameters import BuildParameters
from .plan import SlidePlan
from .slides import open_slide
from .survey import Survey
from .tissue import tissue_fraction


@dataclass(frozen=True)
class HueDecision:
    """The hue filter of a build.

    Args:
        references: one a class, or one a class and split for `authors`.
        verdicts: what was decided for each, in words.
        rules: (side of `wsi_split`, class) -> what is done to its patches.
    """

    references: tuple[HueReference, ...]
    verdicts: tuple[HueVerdict, ...]
    rules: Mapping[tuple[str, str], HueRule]


def decide_hue(
    slides: Sequence[SlidePlan],
    surveys: Mapping[str, Survey],
    parameters: BuildParameters,
    previous: Path | None,
    workers: int,
) -> HueDecision:
    """Choose reference patches, measure them, and decide class by class whether the filter may drop.

    Only where `drop` could drop (enough references from enough slides) is the whole class measured first, since the
    share that would go decides.

    Raises:
        SlideError: a slide that holds a reference cannot be read.
    """
    if parameters.hue_filter == "off":
        return HueDecision((), (), {})
    kept = {} if previous is None else _previous(previous)
    tasks = []
    for split, label in _keys(slides, parameters):
        key = label if split is None else f"{split}/{label}"
        if key not in kept:
            tasks.append(_ReferenceTask(split, label, tuple(slides), dict(surveys), parameters))
    found = run_tasks(_find_reference, tasks, workers=workers, label="Hue references", unit="class")
    present = {label if split is None else f"{split}/{label}" for split, label in _keys(slides, parameters)}
    references = [reference for reference in found if reference is not None]
    references += [reference for key, reference in kept.items() if key in present]
    references.sort(key=lambda reference: reference.key)
    measured = _measure(slides, surveys, references, parameters, workers)
    verdicts = []
    rules = {}
    for reference in references:
        values = measured.get(reference.key, [])
        candidates = [_candidate(patch_id) for patch_id in reference.patch_ids]
        verdict = decide(parameters.hue_filter, reference.label, candidates, values, parameters.hue_threshold)
        verdicts.append(verdict)
        for side in (reference.split,) if reference.split else ("train", "test"):
            rules[side, reference.label] = HueRule(reference, parameters.hue_threshold, verdict.drops)
    return HueDecision(tuple(references), tuple(verdicts), rules)


def _previous(folder: Path) -> dict[str, HueReference]:
    references = references_from_json(read_manifest(folder).hue_references, f"{folder}/manifest.json: hue_references")
    return {reference.key: reference for reference in references}


def _keys(slides: Sequence[SlidePlan], parameters: BuildParameters) -> list[tuple[str | None, str]]:
    authors = parameters.hue_filter == "authors"
    return sorted(
        {(slide.wsi_side if authors else None, patch.label) for slide in slides for patch in slide.patches},
        key=lambda key: (key[0] or "", key[1]),
    )


def _candidate(patch_id: str) -> Candidate:
    """A reference patch known by its id alone, as an earlier manifest has it: its slide is the id's first part."""
    return Candidate(patch_id, patch_id.rsplit("-x", 1)[0], Box(0, 0, 0, 0))


@dataclass(frozen=True)
class _ReferenceTask:
    split: str | None
    label: str
    slides: tuple[SlidePlan, ...]
    surveys: Mapping[str, Survey]
    parameters: BuildParameters


def _find_reference(task: _ReferenceTask) -> HueReference | None:
    """The first patches with tissue, in the order of choice, up to 20; None if there is none."""
    chosen: list[str] = []
    histograms = []
    side = task.split or "train"
    by_id = {
        slide.patch_id(patch.box): (slide, patch)
        for slide in task.slides
        for patch in slide.patches
        if slide.wsi_side == side and patch.label == task.label
    }
    for patch_id in _order(task, list(by_id)):
        slide_plan, patch = by_id[patch_id]
        with open_slide(slide_plan.path) as slide:
            alone = replace(slide_plan, patches=(patch,))
            _, pixels = next(read_patches(slide, alone, task.parameters.patch_size))
        white = task.surveys[slide_plan.slide_id].white
        if white and tissue_fraction(pixels, white, slide_plan.mpp) < task.parameters.min_tissue:
            continue
        chosen.append(patch_id)
        histograms.append(hue_histogram(pixels))
        if len(chosen) == REFERENCES:
            break
    return HueReference.of(task.label, chosen, histograms, task.split) if chosen else None


def _order(task: _ReferenceTask, patch_ids: list[str]) -> Sequence[str]:
    if task.split is not None:
        return authors_references(sorted(patch_ids), len(patch_ids))
    keys = {slide.slide_id: slide.content_key for slide in task.slides}
    boxes = {slide.patch_id(patch.box): patch.box for slide in task.slides for patch in slide.patches}
    candidates = [Candidate(one, keys[one.rsplit("-x", 1)[0]], boxes[one]) for one in patch_ids]
    chosen = choose_references(candidates, task.parameters.seed, len(candidates))
    return [candidate.patch_id for candidate in chosen]


@dataclass(frozen=True)
class _MeasureTask:
    slide: SlidePlan
    survey: Survey
    references: Mapping[str, HueReference]
    parameters: BuildParameters


def _measure(
    slides: Sequence[SlidePlan],
    surveys: Mapping[str, Survey],
    references: Sequence[HueReference],
    parameters: BuildParameters,
    workers: int,
) -> dict[str, list[float]]:
    """Similarities of every patch with tissue, of the classes that could lose any."""
    if parameters.hue_filter != "drop":
        return {}
    eligible = {
        reference.label: reference
        for reference in references
        if len(reference.patch_ids) >= REFERENCES
        and len({_candidate(patch_id).slide_key for patch_id in reference.patch_ids}) >= LEAST_SLIDES
    }
    tasks = [
        _MeasureTask(slide, surveys[slide.slide_id], eligible, parameters)
        for slide in slides
        if any(patch.label in eligible for patch in slide.patches)
    ]
    values: dict[str, list[float]] = defaultdict(list)
    for measured in run_tasks(_measure_slide, tasks, workers=workers, label="Measuring hue", unit="slide"):
        for label, value in measured:
            values[label].append(value)
    return values


def _measure_slide(task: _MeasureTask) -> list[tuple[str, float]]:
    found = []
    try:
        with open_slide(task.slide.path) as slide:
            for patch, pixels in read_patches(slide, task.slide, task.parameters.patch_size):
                reference = task.references.get(patch.label)
                white = task.survey.white
                if reference is None or (
                    white and tissue_fraction(pixels, white, task.slide.mpp) < task.parameters.min_tissue
                ):
                    continue
                found.append((patch.label, similarity(hue_histogram(pixels), reference)))
    except Her2Error:
        return []  # the same error comes again when the slide is cut, and is reported there
    return found
