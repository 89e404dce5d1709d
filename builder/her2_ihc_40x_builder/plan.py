"""What a build will do, before a patch is read: slides, scales, labels, regions, windows and sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from her2_ihc_40x import ReleaseError

from .errors import Her2Error
from .geometry import Box, Size
from .heads import HeldSlides, SlideHead, read_heads
from .labels import LabelTable, read_labels
from .manifest import read_manifest
from .overlap import leaking
from .parallel import Processes
from .parameters import BuildInputs, BuildParameters
from .pseudonyms import Key, sealed
from .regions import Region, RegionOptions, RegionSet, read_regions
from .scale import warn_of_spread
from .slide_files import find_slides
from .splits import GivenSides, Side, SlideSides, SplitSlide, given_wsi_sides, patch_sides, read_splits, wsi_sides
from .tiling import adaptive_windows, grid_windows


@dataclass(frozen=True)
class PlannedPatch:
    """A window that may become a patch.

    Args:
        box: level-0 pixels.
        roi_id: its region.
        label: its region's class if that has one, else the slide's score.
        label_source: "region" or "slide".
        patch_side: its side in `patch_split`.
    """

    box: Box
    roi_id: str
    label: str
    label_source: str
    patch_side: Side


@dataclass(frozen=True)
class SlidePlan:
    """What is to be made of one slide.

    Args:
        slide_id: its name.
        path: the file.
        content_key: what it is whatever its name.
        size: pixels of level 0.
        mpp: micrometres a pixel of the patches.
        factor: level-0 pixels a patch pixel.
        score: of the slide.
        case_id: the patient; None where unknown.
        wsi_side: its side in `wsi_split`.
        regions: in the order of their ids.
        patches: by region, y, x.
        key: what seals fingerprints of the file before they are published; None to publish them as they are.
    """

    slide_id: str
    path: Path
    content_key: str
    size: Size
    mpp: float
    factor: float
    score: str
    case_id: str | None
    wsi_side: Side
    regions: tuple[Region, ...]
    patches: tuple[PlannedPatch, ...]
    key: Key | None = None

    def sealed(self, fingerprint: str) -> str:
        """A fingerprint of the file as it may be published."""
        return sealed(fingerprint, self.key)

    def patch_id(self, box: Box) -> str:
        """The id of the patch at a window."""
        return patch_id(self.slide_id, box)


def patch_id(slide_id: str, box: Box) -> str:
    """The id of the patch of a slide at a window."""
    return f"{slide_id}-x{box.x}-y{box.y}"


@dataclass(frozen=True)
class BuildPlan:
    """What is to be made, and everything found on the way.

    Args:
        slides: by id.
        quarantined: slide or file -> why nothing is made of it.
        warnings: sentences for a person.
    """

    slides: tuple[SlidePlan, ...]
    quarantined: Mapping[str, Her2Error]
    warnings: tuple[str, ...]


def plan_build(
    inputs: BuildInputs, parameters: BuildParameters, workers: Processes | None = None, *, key: Key | None = None
) -> BuildPlan:
    """Read slides' heads, labels and regions, and decide windows and sides.

    One slide's trouble puts that slide in quarantine. Placing crops reads the slides where the crops may lie; else no
    pixel is read.

    Args:
        inputs: where to read.
        parameters: how patches are made.
        workers: that place crops; None places them here.
        key: of the pseudonyms in the earlier data set; None if it has none.

    Raises:
        SlideError: no folder of slides, two slides of one id or content.
        LabelError: a table that cannot be read, or a class of regions whose meaning nobody gave.
        RegionError: nothing to read regions from.
        ReleaseError: an earlier data set that is none.
    """
    table = read_labels(inputs.labels, inputs.label_map) if inputs.labels else LabelTable({})
    given = read_splits(inputs.splits) if inputs.splits else GivenSides({}, {})
    kept = previous_sides(inputs.previous, key) if inputs.previous else None
    listing = find_slides(inputs.slides)
    with HeldSlides() as held:
        found = read_heads(listing, table, inputs, parameters, held)
        regions = read_regions(inputs.regions, found.heads, RegionOptions(inputs.rules, inputs.invert_y), workers)
    quarantined = {**found.problems, **regions.problems}
    warnings = _table_warnings(table, given, [file.slide_id for file in listing.slides])
    warnings += _head_warnings([head for head in found.heads if head.slide_id not in quarantined])
    warnings += [f"{finding.kind}: {finding.subject}: {finding.detail}" for finding in regions.findings]
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
    sides = _sides(in_split, given, None if kept is None else _unsealed(kept, found.heads, key), parameters)
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
    missing = sorted(set(table.slides) - set(slides))
    return notes + ([f"The labels table names slides that are not there: {', '.join(missing)}."] if missing else [])


def _head_warnings(heads: Sequence[SlideHead]) -> list[str]:
    notes = [warning for head in heads for warning in head.scale.warnings]
    spread = warn_of_spread({head.slide_id: head.scale.mpp for head in heads})
    return notes + ([spread] if spread else [])


def _side_warnings(slides: Sequence[SlidePlan], given: GivenSides) -> list[str]:
    notes = []
    if any(slide.case_id is None for slide in slides):
        notes.append("Slides without a case_id: the split is slide-disjoint; whether patients are is unknown.")
    if given.patch:
        made = {slide.patch_id(patch.box) for slide in slides for patch in slide.patches}
        if missing := sorted(set(given.patch) - made):
            notes.append(f"The splits table names {len(missing)} patches that are not there, such as {missing[0]}.")
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


def previous_sides(folder: Path, key: Key | None = None) -> dict[str, Side]:
    """Content key, sealed if there is a key -> side of an earlier data set.

    Raises:
        ReleaseError: the folder is none of ours, was not built from slides, or its slides go by names of another key.
    """
    manifest = read_manifest(folder)
    if manifest.source.get("kind") != "slides":
        raise ReleaseError(
            str(folder), "a data set built from slides", str(manifest.source.get("kind")), "Give another --previous."
        )
    made_with, wanted = manifest.parameters.get("pseudonyms"), key.id if key else None
    if made_with != wanted:
        expected, found = (
            f"pseudonyms of key {one}" if one else "slides by their names" for one in (wanted, made_with)
        )
        raise ReleaseError(str(folder), expected, found, "Give both builds the same --pseudonymize.")
    sides: dict[str, Side] = {}
    for unit, entry in manifest.units.items():
        key, side = entry.get("content_key"), entry.get("wsi_side")
        if not isinstance(key, str) or side not in ("train", "test"):
            raise ReleaseError(f"{folder}, unit {unit}", "a content key and a side", "none", "Give another --previous.")
        sides[key] = "train" if side == "train" else "test"
    return sides


def _unsealed(sides: Mapping[str, Side], heads: Sequence[SlideHead], key: Key | None) -> dict[str, Side]:
    marks = {head.content_key: sealed(head.content_key, key) for head in heads}
    return {content_key: sides[mark] for content_key, mark in marks.items() if mark in sides}


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
    return _Windows(own, {box: region for box, region in windows.items() if box not in torn}, tuple(notes))


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
