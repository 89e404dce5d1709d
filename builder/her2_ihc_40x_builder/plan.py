"""What a build will do, before a patch is read: slides, scales, labels, regions, windows and sides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import PurePath

from .earlier import previous_sides, unsealed_sides
from .errors import Her2Error
from .geometry import Box
from .parallel import Processes
from .parameters import BuildInputs, BuildParameters
from .privacy.pseudonyms import Key
from .regions import Finding, KeptPlacements, Region, RegionOptions, RegionSet, read_regions
from .regions.names import slide_and_roi_of, slide_of
from .slide_plan import BuildPlan, PlannedPatch, SlidePlan, patch_id
from .slides.files import find_slides, is_file_name
from .slides.heads import HeldSlides, SlideHead, read_heads
from .slides.labels import LabelTable, read_labels
from .slides.scale import warn_of_spread
from .spelling import spellings, told_apart
from .windows.overlap import crossing, leaking
from .windows.splits import (
    GivenSides,
    Side,
    SlideSides,
    SplitSlide,
    given_wsi_sides,
    patch_sides,
    read_splits,
    wsi_sides,
)
from .windows.tiling import adaptive_windows, grid_windows


def plan_build(
    inputs: BuildInputs, parameters: BuildParameters, workers: Processes | None = None, *, key: Key | None = None
) -> BuildPlan:
    """Read slides' heads, labels and regions, and decide windows and sides.

    One slide's trouble puts that slide in quarantine. Placing crops reads the slides where the crops may lie; else they
    are seen from afar alone.

    Args:
        inputs: where to read.
        parameters: how patches are made.
        workers: that open slides and place crops; None does it here.
        key: of the pseudonyms in the earlier data set; None if it has none.

    Raises:
        SlideError: no folder of slides.
        LabelError: a table that cannot be read, or a class of regions whose meaning nobody gave.
        RegionError: nothing to read regions from.
        ReleaseError: an earlier data set that is none.
    """
    table = read_labels(inputs.labels, inputs.label_map) if inputs.labels else LabelTable({})
    given = read_splits(inputs.splits) if inputs.splits else GivenSides({}, {})
    kept = previous_sides(inputs.previous, key) if inputs.previous else None
    listing = find_slides(inputs.slides, workers)
    with HeldSlides() as held:
        found = read_heads(listing, table, inputs, parameters, held, workers)
        options = RegionOptions(inputs.rules, inputs.invert_y)
        earlier = KeptPlacements({head.slide_id: head.files for head in found.heads})
        regions = read_regions(inputs.regions, found.heads, options, workers, earlier)
    quarantined = {**found.problems, **regions.problems}
    warnings = _table_warnings(table, given, [file.slide_id for file in listing.slides])
    warnings += _case_warnings(found.heads)
    warnings += _head_warnings([head for head in found.heads if head.slide_id not in quarantined])
    warnings += _finding_warnings(regions.findings, found.problems)
    windows: dict[str, _Windows] = {}
    for head in found.heads:
        if head.slide_id not in quarantined:
            try:
                windows[head.slide_id] = _find_windows(head, regions, parameters)
            except Her2Error as error:
                quarantined[head.slide_id] = error
    for one in windows.values():
        warnings += one.notes
    # A slide without a window takes no place in the split; one in trouble keeps its place, for it will be mended.
    in_split = [head for head in found.heads if head.slide_id in quarantined or windows[head.slide_id].windows]
    if given.wsi:  # which need not name a slide that is in trouble
        in_split = [head for head in in_split if head.slide_id not in quarantined or head.slide_id in given.wsi]
    sides = _sides(
        in_split,
        given,
        None if kept is None else unsealed_sides(kept, (head.content_key for head in found.heads), key),
        parameters,
    )
    warnings += sides.warnings
    slides = tuple(
        _plan_slide(head, windows[head.slide_id], sides.sides[head.content_key], given, parameters)
        for head in in_split
        if head.slide_id not in quarantined
    )
    warnings += _side_warnings(slides, given)
    return BuildPlan(slides, dict(sorted(quarantined.items())), tuple(warnings))


# --- What a person should know ------------------------------------------------------------------------------------


def _table_warnings(table: LabelTable, given: GivenSides, slides: Sequence[str]) -> list[str]:
    notes = [f"The labels table's column {name!r} is not read." for name in table.ignored]
    notes += [f"The splits table's column {name!r} is not read." for name in given.ignored]
    if missing := sorted(set(table.slides) - set(slides)):
        near = told_apart(missing, spellings(slides))
        notes.append(f"The labels table names slides that are not there: {', '.join(missing)}{near and '; '}{near}.")
    return notes


def _case_warnings(heads: Sequence[SlideHead]) -> list[str]:
    """Patients that may be one: told, not joined, for a lab may tell patients apart so."""
    names = spellings(head.case_id for head in heads if head.case_id is not None)
    return [
        f"The case_ids {' and '.join(map(ascii, alike))} differ in case, blanks or Unicode form alone: "
        "they are split as different patients."
        for alike in names.values()
        if len(alike) > 1
    ]


def _head_warnings(heads: Sequence[SlideHead]) -> list[str]:
    notes = [warning for head in heads for warning in head.scale.warnings]
    spread = warn_of_spread({head.slide_id: head.scale.mpp for head in heads})
    return notes + ([spread] if spread else [])


def _finding_warnings(findings: Sequence[Finding], problems: Mapping[str, Her2Error]) -> list[str]:
    """What was found out about regions; those of slides in trouble are no regions of unknown slides."""
    troubled = {PurePath(name).stem if is_file_name(name) else name for name in problems}
    notes = []
    for finding in findings:
        name = PurePath(finding.subject)
        pair = slide_and_roi_of(name.stem, troubled)
        slide = slide_of(name.name, troubled) or (pair and pair[0])
        known = finding.kind == "region without slide" and slide
        detail = f"slide {slide} is in quarantine" if known else finding.detail
        notes.append(f"{finding.kind}: {finding.subject}: {detail}")
    return notes


def _side_warnings(slides: Sequence[SlidePlan], given: GivenSides) -> list[str]:
    notes = []
    if any(slide.case_id is None for slide in slides):
        notes.append("Slides without a case_id: the split is slide-disjoint; whether patients are is unknown.")
    if given.patch:
        made = {slide.patch_id(patch.box) for slide in slides for patch in slide.patches}
        if missing := sorted(set(given.patch) - made):
            near = told_apart(missing, spellings(made), "patch")
            count = f"{len(missing)} patches that are not there, such as {missing[0]}"
            notes.append(f"The splits table names {count}{near and '; '}{near}.")
        for slide in slides:
            boxes = [patch.box for patch in slide.patches]
            if pair := leaking(boxes, [patch.patch_side for patch in slide.patches]):
                names = " and ".join(map(slide.patch_id, pair))
                notes.append(f"--splits puts {names}, which share pixels, on two sides of patch_split.")
    return notes


# --- Sides --------------------------------------------------------------------------------------------------------


def _sides(
    heads: Sequence[SlideHead], given: GivenSides, kept: Mapping[str, Side] | None, parameters: BuildParameters
) -> SlideSides:
    split = [SplitSlide(head.slide_id, head.content_key, head.score, head.case_id) for head in heads]
    if given.wsi:
        return given_wsi_sides(split, given.wsi)
    return wsi_sides(split, parameters.test_fraction, parameters.seed, kept)


# --- Windows ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Windows:
    """The regions of a slide, the windows in them, each once with its first region, and what to tell of them."""

    regions: tuple[Region, ...]
    windows: Mapping[Box, Region]
    notes: tuple[str, ...]


def _find_windows(head: SlideHead, regions: RegionSet, parameters: BuildParameters) -> _Windows:
    own = tuple(region for region in regions.regions if region.slide_id == head.slide_id)
    windows: dict[Box, Region] = {}
    torn: set[Box] = set()
    notes = []
    for region in own:
        found = _tile(region, head, parameters)
        if not found:
            notes.append(f"Region {region.roi_id} of slide {head.slide_id} yields no window.")
        for box in found:
            first = windows.setdefault(box, region)
            if _label(first, head) != _label(region, head):
                torn.add(box)
                claims = " and ".join(f"{one.roi_id} ({_label(one, head)})" for one in (first, region))
                notes.append(f"Slide {head.slide_id}: no patch at x {box.x}, y {box.y}: regions {claims} share it.")
    whole = {box: region for box, region in windows.items() if box not in torn}
    return _Windows(own, whole, (*notes, *_two_labels(head, whole)))


def _two_labels(head: SlideHead, windows: Mapping[Box, Region]) -> Iterator[str]:
    """Tell of tissue that comes under two labels, in windows that are not the same."""
    by_label: dict[str, list[Box]] = {}
    for box, region in windows.items():
        by_label.setdefault(_label(region, head), []).append(box)
    for one, other in combinations(sorted(by_label), 2):
        if count := len(crossing(by_label[one], by_label[other])[0]):
            yield f"Slide {head.slide_id}: {count} windows of class {one} share pixels with some of class {other}."


def _label(region: Region, head: SlideHead) -> str:
    return region.label or head.score


def _tile(region: Region, head: SlideHead, parameters: BuildParameters) -> tuple[Box, ...]:
    side = round(parameters.patch_size * head.scale.factor)
    overlap = parameters.min_region_overlap
    if parameters.stride is None:
        return adaptive_windows(region.polygon, head.size, side, overlap)
    return grid_windows(region.polygon, head.size, side, round(parameters.stride * head.scale.factor), overlap)


def _plan_slide(
    head: SlideHead, found: _Windows, side: Side, given: GivenSides, parameters: BuildParameters
) -> SlidePlan:
    drawn = patch_sides(
        head.content_key, list(found.windows), parameters.test_fraction, parameters.seed, parameters.patch_split
    )
    patches = [
        PlannedPatch(
            box,
            region.roi_id,
            _label(region, head),
            "region" if region.label else "slide",
            given.patch.get(patch_id(head.slide_id, box), drawn_side),
        )
        for (box, region), drawn_side in zip(found.windows.items(), drawn, strict=True)
    ]
    return SlidePlan(
        slide_id=head.slide_id,
        path=head.path,
        files=head.files,
        content_key=head.content_key,
        size=head.size,
        mpp=head.scale.mpp,
        factor=head.scale.factor,
        score=head.score,
        case_id=head.case_id,
        wsi_side=side,
        regions=found.regions,
        patches=tuple(sorted(patches, key=lambda patch: (patch.roi_id, patch.box))),
    )
