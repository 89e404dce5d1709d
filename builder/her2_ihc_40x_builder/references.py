"""The hue references of a build, and whether the filter may drop: fixed before the first slide is written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .cut import HueRule, read_patch, read_patches
from .errors import SlideError
from .geometry import Box
from .heads import HeldSlides
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
from .manifest import Manifest, read_manifest
from .parallel import Processes, run_tasks
from .parameters import BuildParameters, digest_of
from .pixels import Rgb
from .plan import SlidePlan
from .slides import open_slide
from .survey import Survey
from .tissue import tissue_fraction


@dataclass(frozen=True)
class HueDecision:
    """The hue filter of a build.

    Args:
        references: one a class, or one a class and split for `authors`, by key.
        verdicts: the same keys -> what was decided, in words.
        inputs: a digest of all that it hangs on.
        threshold: a patch is kept above it.
    """

    references: tuple[HueReference, ...]
    verdicts: Mapping[str, HueVerdict]
    inputs: str
    threshold: float

    @property
    def rules(self) -> dict[tuple[str, str], HueRule]:
        """(Side of `wsi_split`, class) -> what is done to its patches."""
        return {
            (side, reference.label): HueRule(reference, self.threshold, self.verdicts[reference.key].drops)
            for reference in self.references
            for side in ((reference.split,) if reference.split else ("train", "test"))
        }

    def to_json(self) -> dict[str, Any]:
        """What the manifest's report says of it."""
        verdicts = {key: {"drops": one.drops, "reason": one.reason} for key, one in sorted(self.verdicts.items())}
        return {"inputs": self.inputs, "verdicts": verdicts}


def decide_hue(
    slides: Sequence[SlidePlan],
    surveys: Mapping[str, Survey],
    parameters: BuildParameters,
    previous: Path | None,
    earlier: Manifest | None,
    workers: Processes,
) -> HueDecision:
    """Choose reference patches, measure them, and decide class by class whether the filter may drop.

    Only where `drop` could drop (enough references from enough slides) is the whole class measured first, since the
    share that would go decides.

    Args:
        slides: what is to be cut.
        surveys: slide -> its glass.
        parameters: of the build.
        previous: a data set whose references, and verdicts with the same options, stay.
        earlier: a data set of an earlier run; what it decided on the same inputs is not measured again.
        workers: that measure.
    """
    if parameters.hue_filter == "off":
        return HueDecision((), {}, "", parameters.hue_threshold)
    kept = None if previous is None else read_manifest(previous)
    kept_references = {} if kept is None else _references(kept, previous)
    inputs = _inputs(slides, surveys, parameters, kept)
    if earlier is not None and _decided(earlier).get("inputs") == inputs:
        known, said = _references(earlier, None), _verdicts(earlier)
        if known.keys() == said.keys():
            return HueDecision(tuple(known.values()), said, inputs, parameters.hue_threshold)
    found = dict(kept_references)
    keys = _keys(slides, parameters)
    tasks = [_ReferenceTask(*key, tuple(slides), dict(surveys), parameters) for key in keys if _name(*key) not in found]
    for reference in run_tasks(
        _find_reference, tasks, workers=workers, label="Hue references", unit="class", killed=_no_reference
    ):
        if reference is not None:
            found[reference.key] = reference
    references = tuple(found[key] for key in sorted(_name(*key) for key in keys) if key in found)
    settled = _settled(kept, parameters, kept_references)
    open_ones = [reference for reference in references if reference.key not in settled]
    measured = _measure(slides, surveys, open_ones, parameters, workers)
    verdicts = {
        reference.key: settled.get(reference.key)
        or decide(
            parameters.hue_filter,
            reference.label,
            [_candidate(patch_id) for patch_id in reference.patch_ids],
            measured.get(reference.key, []),
            parameters.hue_threshold,
        )
        for reference in references
    }
    return HueDecision(references, verdicts, inputs, parameters.hue_threshold)


def _inputs(
    slides: Sequence[SlidePlan], surveys: Mapping[str, Survey], parameters: BuildParameters, kept: Manifest | None
) -> str:
    """Of all that a decision hangs on; patch ids are in the manifest, so names count."""
    return digest_of(
        [
            [parameters.hue_filter, parameters.hue_threshold, parameters.seed],
            [parameters.min_tissue, parameters.patch_size],
            [
                [slide.slide_id, slide.content_key, slide.wsi_side, slide.mpp, surveys[slide.slide_id].inputs]
                + [[p.box.x, p.box.y, p.box.width, p.label] for p in slide.patches]
                for slide in slides
            ],
            [kept.hue_references, kept.report, kept.parameters] if kept else None,
        ]
    )


# --- What an earlier data set says -----------------------------------------------------------------------------------


def _references(manifest: Manifest, folder: Path | None) -> dict[str, HueReference]:
    subject = f"{folder or '--out'}: manifest.json: hue_references"
    return {reference.key: reference for reference in references_from_json(manifest.hue_references, subject)}


def _decided(manifest: Manifest) -> Mapping[str, Any]:
    decided = manifest.report.get("hue_filter")
    return decided if isinstance(decided, dict) else {}


def _verdicts(manifest: Manifest) -> dict[str, HueVerdict]:
    verdicts = _decided(manifest).get("verdicts", {})
    try:
        return {
            key: HueVerdict(key.rpartition("/")[2], bool(one["drops"]), str(one["reason"]))
            for key, one in verdicts.items()
        }
    except (AttributeError, KeyError, TypeError):
        return {}  # damaged: decided anew


def _settled(
    kept: Manifest | None, parameters: BuildParameters, references: Mapping[str, HueReference]
) -> dict[str, HueVerdict]:
    """Verdicts that stay, so that a new slide does not change what is dropped of the others."""
    told = parameters.to_json()
    options = ("hue_filter", "hue_threshold")
    if kept is None or any(kept.parameters.get(option) != told[option] for option in options):
        return {}
    return {key: verdict for key, verdict in _verdicts(kept).items() if key in references}


# --- References ------------------------------------------------------------------------------------------------------


def _name(split: str | None, label: str) -> str:
    return label if split is None else f"{split}/{label}"


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


def _no_reference(task: _ReferenceTask) -> None:
    """What stands for a class where a process is killed."""


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
    workers: Processes,
) -> dict[str, list[float]]:
    """Similarities of every patch with tissue, of the classes that could lose any."""
    if parameters.hue_filter != "drop":
        return {}
    eligible = {reference.label: reference for reference in references if _could_drop(reference)}
    tasks = [
        _MeasureTask(slide, surveys[slide.slide_id], eligible, parameters)
        for slide in slides
        if any(patch.label in eligible for patch in slide.patches)
    ]
    values: dict[str, list[float]] = defaultdict(list)
    for measured in run_tasks(
        _measure_slide, tasks, workers=workers, label="Measuring hue", unit="slide", killed=_no_measure
    ):
        for label, value in measured:
            values[label].append(value)
    return values


def _could_drop(reference: HueReference) -> bool:
    slides = {_candidate(patch_id).slide_key for patch_id in reference.patch_ids}
    return len(reference.patch_ids) >= REFERENCES and len(slides) >= LEAST_SLIDES


def _no_measure(task: _MeasureTask) -> list[tuple[str, float]]:
    return []


def _measure_slide(task: _MeasureTask) -> list[tuple[str, float]]:
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
