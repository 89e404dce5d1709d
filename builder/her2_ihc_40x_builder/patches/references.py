"""Reference patches of a class: which they are, what their hue is, and how like them the class is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import SlideError
from ..geometry import Box
from ..parallel import Processes, run_tasks
from ..parameters import BuildParameters
from ..slide_plan import SlidePlan
from ..slides.heads import HeldSlides
from ..slides.slide import open_slide
from .cut import read_patch, read_patches
from .hue import (
    LEAST_SLIDES,
    REFERENCES,
    Candidate,
    HueReference,
    authors_references,
    choose_references,
    hue_histogram,
    similarity,
)
from .pixels import Rgb
from .survey import Survey
from .tissue import tissue_fraction


def find_references(
    keys: Sequence[tuple[str | None, str]],
    slides: Sequence[SlidePlan],
    surveys: Mapping[str, Survey],
    parameters: BuildParameters,
    workers: Processes,
) -> tuple[list[HueReference], list[str]]:
    """Choose reference patches of each (split, class), and measure them; a class without a patch has none.

    Returns:
        The references, and the names of classes at which a process was killed.
    """
    tasks = [_ReferenceTask(*key, tuple(slides), dict(surveys), parameters) for key in keys]
    found = run_tasks(
        _find_reference, tasks, workers=workers, label="Hue references", unit="class", killed=_reference_killed
    )
    return [one for one in found if isinstance(one, HueReference)], [one for one in found if isinstance(one, str)]


def candidate_of(patch_id: str) -> Candidate:
    """A reference patch known by its id alone, as an earlier manifest has it: its slide is the id's first part."""
    return Candidate(patch_id, patch_id.rsplit("-x", 1)[0], Box(0, 0, 0, 0))


def reference_key(split: str | None, label: str) -> str:
    """The name of a class's reference: the class, or "split/class" where each split has its own."""
    return label if split is None else f"{split}/{label}"


@dataclass(frozen=True)
class _ReferenceTask:
    split: str | None
    label: str
    slides: tuple[SlidePlan, ...]
    surveys: Mapping[str, Survey]
    parameters: BuildParameters


def _find_reference(task: _ReferenceTask) -> HueReference | str | None:
    """The first patches with tissue, in the order of choice, up to 20; None if there is none.

    A slide that cannot be read gives none; the same error comes again when it is cut, and is reported there.
    """
    chosen: list[str] = []
    histograms = []
    side = task.split or "train"
    by_id = {
        slide.patch_id(patch.box): (slide, patch)
        for slide in task.slides
        for patch in slide.patches
        if slide.wsi_side == side and patch.label == task.label
    }
    with HeldSlides() as held:
        for patch_id in _order(task, list(by_id)):
            plan, patch = by_id[patch_id]
            try:
                pixels = read_patch(held.get(plan.path), patch, task.parameters.patch_size)
            except SlideError:
                continue
            if not _has_tissue(pixels, plan, task.surveys[plan.slide_id], task.parameters):
                continue
            chosen.append(patch_id)
            histograms.append(hue_histogram(pixels))
            if len(chosen) == REFERENCES:
                break
    return HueReference.of(task.label, chosen, histograms, task.split) if chosen else None


def _reference_killed(task: _ReferenceTask) -> str:
    """What stands for the reference of a class at which the process is killed."""
    return f"class {reference_key(task.split, task.label)}"


def _order(task: _ReferenceTask, patch_ids: list[str]) -> Sequence[str]:
    keys = {slide.slide_id: slide.content_key for slide in task.slides}
    boxes = {slide.patch_id(patch.box): patch.box for slide in task.slides for patch in slide.patches}
    candidates = [Candidate(one, keys[one.rsplit("-x", 1)[0]], boxes[one]) for one in patch_ids]
    if task.split is not None:
        # Slide by slide, as theirs came; by content, so that another name of a slide moves nothing.
        in_turn = sorted(candidates, key=lambda candidate: (candidate.slide_key, candidate.window))
        return authors_references([candidate.patch_id for candidate in in_turn], len(in_turn))
    chosen = choose_references(candidates, task.parameters.seed, len(candidates))
    return [candidate.patch_id for candidate in chosen]


@dataclass(frozen=True)
class _MeasureTask:
    slide: SlidePlan
    survey: Survey
    references: Mapping[str, HueReference]
    parameters: BuildParameters


def measure_classes(
    slides: Sequence[SlidePlan],
    surveys: Mapping[str, Survey],
    references: Sequence[HueReference],
    parameters: BuildParameters,
    workers: Processes,
) -> tuple[dict[str, list[float]], list[str]]:
    """Similarities of every patch with tissue, of the classes that could lose any.

    Returns:
        Class -> similarities, and the names of slides at which a process was killed.
    """
    if parameters.hue_filter != "drop":
        return {}, []
    eligible = {reference.label: reference for reference in references if _could_drop(reference)}
    tasks = [
        _MeasureTask(slide, surveys[slide.slide_id], eligible, parameters)
        for slide in slides
        if any(patch.label in eligible for patch in slide.patches)
    ]
    values: dict[str, list[float]] = defaultdict(list)
    lost = []
    for measured in run_tasks(
        _measure_slide, tasks, workers=workers, label="Measuring hue", unit="slide", killed=_measure_killed
    ):
        if isinstance(measured, str):
            lost.append(measured)
            continue
        for label, value in measured:
            values[label].append(value)
    return values, lost


def _could_drop(reference: HueReference) -> bool:
    slides = {candidate_of(patch_id).slide_key for patch_id in reference.patch_ids}
    return len(reference.patch_ids) >= REFERENCES and len(slides) >= LEAST_SLIDES


def _measure_killed(task: _MeasureTask) -> str:
    """What stands for the similarities of a slide at which the process is killed."""
    return f"slide {task.slide.slide_id}"


def _measure_slide(task: _MeasureTask) -> list[tuple[str, float]] | str:
    found = []
    try:
        with open_slide(task.slide.path) as slide:
            for patch, pixels in read_patches(slide, task.slide, task.parameters.patch_size):
                reference = task.references.get(patch.label)
                if reference is None or not _has_tissue(pixels, task.slide, task.survey, task.parameters):
                    continue
                found.append((patch.label, similarity(hue_histogram(pixels), reference)))
    except SlideError:
        return []  # as above
    return found


def _has_tissue(pixels: Rgb, slide: SlidePlan, survey: Survey, parameters: BuildParameters) -> bool:
    return survey.white is None or tissue_fraction(pixels, survey.white, slide.mpp) >= parameters.min_tissue
