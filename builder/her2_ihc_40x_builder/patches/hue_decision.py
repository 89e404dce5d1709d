"""The hue filter of a build, and whether it may drop: fixed before the first slide is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..parallel import Processes
from ..parameters import BuildParameters, digest_of
from ..shards.manifest import Manifest, read_manifest
from ..slide_plan import SlidePlan
from .cut import HueRule
from .hue import HueReference, HueVerdict, decide, references_from_json
from .references import candidate_of, find_references, measure_classes, reference_key
from .survey import Survey


@dataclass(frozen=True)
class HueDecision:
    """The hue filter of a build.

    Args:
        references: one a class, or one a class and split for `authors`, by key.
        verdicts: the same keys -> what was decided, in words.
        inputs: a digest of all that it hangs on; empty if something was lost, so that it is decided anew next time.
        threshold: a patch is kept above it.
        lost: classes and slides at which a process was killed: what they would have said is missing.
    """

    references: tuple[HueReference, ...]
    verdicts: Mapping[str, HueVerdict]
    inputs: str
    threshold: float
    lost: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences for a person."""
        return tuple(
            f"Hue: a process was killed, or found no memory, at {name}, which was not looked at: run it again, with "
            "fewer --workers."
            for name in self.lost
        )

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
    missing = [key for key in keys if reference_key(*key) not in found]
    made, lost_classes = find_references(missing, slides, surveys, parameters, workers)
    found.update((reference.key, reference) for reference in made)
    references = tuple(found[key] for key in sorted(reference_key(*key) for key in keys) if key in found)
    settled = _settled(kept, parameters, kept_references)
    open_ones = [reference for reference in references if reference.key not in settled]
    measured, lost_slides = measure_classes(slides, surveys, open_ones, parameters, workers)
    verdicts = {
        reference.key: settled.get(reference.key)
        or decide(
            parameters.hue_filter,
            reference.label,
            [candidate_of(patch_id) for patch_id in reference.patch_ids],
            measured.get(reference.key, []),
            parameters.hue_threshold,
        )
        for reference in references
    }
    lost = (*lost_classes, *lost_slides)
    return HueDecision(references, verdicts, "" if lost else inputs, parameters.hue_threshold, lost)


def _inputs(
    slides: Sequence[SlidePlan], surveys: Mapping[str, Survey], parameters: BuildParameters, kept: Manifest | None
) -> str:
    """Of all that a decision hangs on; patch ids are in the manifest, so names count."""
    return digest_of(
        [
            [parameters.hue_filter, parameters.hue_threshold, parameters.seed],
            [parameters.min_tissue, parameters.patch_size],
            [
                [slide.slide_id, slide.sealed(slide.content_key), slide.wsi_side, slide.mpp]
                + [surveys[slide.slide_id].inputs]
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


# --- Keys -------------------------------------------------------------------------------------------------------------


def _keys(slides: Sequence[SlidePlan], parameters: BuildParameters) -> list[tuple[str | None, str]]:
    authors = parameters.hue_filter == "authors"
    return sorted(
        {(slide.wsi_side if authors else None, patch.label) for slide in slides for patch in slide.patches},
        key=lambda key: (key[0] or "", key[1]),
    )
