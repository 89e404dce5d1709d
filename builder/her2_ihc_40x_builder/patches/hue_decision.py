"""The hue filter of a build, and whether it may drop: fixed before the first slide is written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Her2Error
from ..notes import read_checked, with_checksum, write_note
from ..parallel import Processes
from ..parameters import BuildParameters, digest_of
from ..shards.manifest import Manifest, read_whole_manifest
from ..slide_plan import SlidePlan
from .cut import HueRule
from .hue import HueReference, HueVerdict, decide, references_from_json, references_to_json
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
    note: Path,
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
        note: the file where the decision is kept for the next run, should this one be cut short.
        workers: that measure.

    Raises:
        ReleaseError: the manifest of `previous` was edited, or cannot be read.
        OSError: it cannot be kept.
    """
    if parameters.hue_filter == "off":
        return HueDecision((), {}, "", parameters.hue_threshold)
    kept = None if previous is None else read_whole_manifest(previous)
    kept_references = {} if kept is None else _said(kept, f"{previous}: manifest.json").references
    inputs = _inputs(slides, surveys, parameters, kept)
    for said in (_noted(note), earlier and _said(earlier)):
        if said and said.decided.get("inputs") == inputs and said.references.keys() == said.verdicts.keys():
            return HueDecision(tuple(said.references.values()), said.verdicts, inputs, parameters.hue_threshold)
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
    decision = HueDecision(references, verdicts, "" if lost else inputs, parameters.hue_threshold, lost)
    _keep(decision, note)
    return decision


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


# --- What an earlier run said -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Said:
    """What an earlier run decided: its references, by key, and what the report of its manifest says."""

    references: Mapping[str, HueReference]
    decided: Mapping[str, Any]

    @property
    def verdicts(self) -> dict[str, HueVerdict]:
        try:
            return {
                key: HueVerdict(key.rpartition("/")[2], bool(one["drops"]), str(one["reason"]))
                for key, one in self.decided.get("verdicts", {}).items()
            }
        except (AttributeError, KeyError, TypeError):
            return {}  # damaged: decided anew


def _said(manifest: Manifest, subject: str = "--out: manifest.json") -> _Said:
    references = references_from_json(manifest.hue_references, f"{subject}: hue_references")
    decided = manifest.report.get("hue_filter")
    return _Said({one.key: one for one in references}, decided if isinstance(decided, dict) else {})


def _noted(note: Path) -> _Said | None:
    """What a run that was cut short noted; a note that is not whole is none."""
    try:
        content = read_checked(note)
        references = references_from_json(content["hue_references"], str(note))
        return _Said({one.key: one for one in references}, dict(content["hue_filter"]))
    except (Her2Error, OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _keep(decision: HueDecision, note: Path) -> None:
    content = {"hue_references": references_to_json(decision.references), "hue_filter": decision.to_json()}
    write_note(note, json.dumps(with_checksum(content)))


def _settled(
    kept: Manifest | None, parameters: BuildParameters, references: Mapping[str, HueReference]
) -> dict[str, HueVerdict]:
    """Verdicts that stay, so that a new slide does not change what is dropped of the others."""
    told = parameters.to_json()
    options = ("hue_filter", "hue_threshold")
    if kept is None or any(kept.parameters.get(option) != told[option] for option in options):
        return {}
    return {key: verdict for key, verdict in _said(kept).verdicts.items() if key in references}


# --- Keys -------------------------------------------------------------------------------------------------------------


def _keys(slides: Sequence[SlidePlan], parameters: BuildParameters) -> list[tuple[str | None, str]]:
    authors = parameters.hue_filter == "authors"
    return sorted(
        {(slide.wsi_side if authors else None, patch.label) for slide in slides for patch in slide.patches},
        key=lambda key: (key[0] or "", key[1]),
    )
