"""What a build will do, before a patch is read: slides, scales, labels, regions, windows and sides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .errors import Her2Error, LabelError, RegionError
from .geometry import Box, Size
from .labels import Claim, LabelTable, SlideLabels, agree, folder_label, read_labels
from .manifest import read_manifest
from .parameters import BuildInputs, BuildParameters
from .regions import Region, RegionOptions, RegionSet, read_regions
from .scale import Scale, decide_scale, warn_of_spread
from .slide_files import SlideFile, find_slides
from .slides import Slide, open_slide
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

    def patch_id(self, box: Box) -> str:
        """The id of the patch at a window."""
        return f"{self.slide_id}-x{box.x}-y{box.y}"


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


@dataclass(frozen=True)
class _Opened:
    """What is known of a slide before its regions."""

    file: SlideFile
    content_key: str
    size: Size
    scale: Scale
    score: str
    case_id: str | None

    @property
    def slide_id(self) -> str:
        return self.file.slide_id

    def read_region(self, box: Box, downsample: float = 1.0) -> NDArray[np.uint8]:
        """Level-0 pixels of `box`, each side shrunk to round(side / downsample); for placing crops."""
        slide = _reopened(self.file.path)
        level = max(i for i, level in enumerate(slide.levels) if i == 0 or level.downsample <= downsample)
        scale = slide.levels[level].downsample
        x, y = int(box.x / scale), int(box.y / scale)
        width, height = max(1, round(box.width / scale)), max(1, round(box.height / scale))
        pixels = slide.read_level(level, Box(y, x, width, height))
        target = (max(1, round(box.width / downsample)), max(1, round(box.height / downsample)))
        if target == (width, height):
            return pixels
        return np.asarray(Image.fromarray(pixels).resize(target, Image.Resampling.BOX))


@lru_cache(maxsize=16)
def _reopened(path: Path) -> Slide:
    return open_slide(path)


def plan_build(inputs: BuildInputs, parameters: BuildParameters) -> BuildPlan:
    """Read slides' heads, labels and regions, and decide windows and sides.

    One slide's trouble puts that slide in quarantine. Placing crops reads the slides where the crops may lie; else no
    level-0 pixel is read.

    Raises:
        SlideError: no folder of slides, two slides of one id or content.
        LabelError: a table that cannot be read, or a class of regions whose meaning nobody gave.
        RegionError: nothing to read regions from.
    """
    listing = find_slides(inputs.slides)
    quarantined: dict[str, Her2Error] = {error.subject: error for error in listing.refused}
    table = read_labels(inputs.labels, inputs.label_map) if inputs.labels else LabelTable({})
    given = read_splits(inputs.splits) if inputs.splits else GivenSides({}, {})
    warnings = _table_warnings(table, given, [file.slide_id for file in listing.slides])
    opened: list[_Opened] = []
    for file in listing.slides:
        try:
            opened.append(_open(file, inputs, table.slides.get(file.slide_id, SlideLabels()), parameters))
        except Her2Error as error:
            quarantined[file.slide_id] = error
    regions = read_regions(inputs.regions, opened, RegionOptions(inputs.rules, inputs.invert_y))
    quarantined.update(regions.problems)
    opened = [slide for slide in opened if slide.slide_id not in quarantined]
    warnings += [warning for slide in opened for warning in slide.scale.warnings]
    spread = warn_of_spread({slide.slide_id: slide.scale.mpp for slide in opened})
    warnings += [spread] if spread else []
    warnings += [f"{finding.kind}: {finding.subject}: {finding.detail}" for finding in regions.findings]
    sides = _sides(opened, given, inputs.previous, parameters)
    warnings += sides.warnings
    slides = []
    for slide in opened:
        try:
            plan, notes = _plan_slide(slide, regions, sides.sides[slide.content_key], given, parameters)
        except Her2Error as error:
            quarantined[slide.slide_id] = error
            continue
        warnings += notes
        if plan.regions:
            slides.append(plan)
    if any(slide.case_id is None for slide in slides):
        warnings.append("Slides without a case_id: the split is slide-disjoint; whether patients are is unknown.")
    return BuildPlan(tuple(slides), dict(sorted(quarantined.items())), tuple(warnings))


def _table_warnings(table: LabelTable, given: GivenSides, slides: Sequence[str]) -> list[str]:
    notes = [f"The labels table's column {name!r} is not read." for name in table.ignored]
    notes += [f"The splits table's column {name!r} is not read." for name in given.ignored]
    missing = sorted(set(table.slides) - set(slides))
    return notes + ([f"The labels table names slides that are not there: {', '.join(missing)}."] if missing else [])


def _open(file: SlideFile, inputs: BuildInputs, labels: SlideLabels, parameters: BuildParameters) -> _Opened:
    folder = folder_label(file.path, inputs.slides, inputs.label_map)
    score = agree(f"slide {file.slide_id}", "label", [folder, labels.label])
    if score is None:
        raise LabelError(
            f"slide {file.slide_id}",
            "a label from its folder or a table",
            "none",
            "Put it in a folder 0, 1+, 2+ or 3+, or give --labels with slide_id, label.",
        )
    with open_slide(file.path) as slide:
        override = labels.microns if labels.microns is not None else parameters.mpp
        scale = decide_scale(
            file.slide_id, slide.mpp, slide.objective_power, override=override, resample=parameters.resample
        )
        return _Opened(file, slide.content_key, slide.size, scale, score, _value(labels.case_id))


def _value(claim: Claim | None) -> str | None:
    return None if claim is None else claim.value


def _sides(
    slides: Iterable[_Opened], given: GivenSides, previous: Path | None, parameters: BuildParameters
) -> SlideSides:
    split = [SplitSlide(slide.slide_id, slide.content_key, slide.score, slide.case_id) for slide in slides]
    if given.wsi:
        return given_wsi_sides(split, given.wsi)
    kept = previous_sides(previous) if previous else None
    return wsi_sides(split, parameters.test_fraction, parameters.seed, kept)


def previous_sides(folder: Path) -> dict[str, Side]:
    """Content key -> side of an earlier data set.

    Raises:
        ReleaseError: the folder is none of ours.
    """
    sides: dict[str, Side] = {}
    for unit in read_manifest(folder).units.values():
        if unit.get("content_key") and unit.get("wsi_side") in ("train", "test"):
            sides[unit["content_key"]] = "train" if unit["wsi_side"] == "train" else "test"
    return sides


def _plan_slide(
    slide: _Opened, regions: RegionSet, side: Side, given: GivenSides, parameters: BuildParameters
) -> tuple[SlidePlan, list[str]]:
    own = tuple(region for region in regions.regions if region.slide_id == slide.slide_id)
    windows: dict[Box, Region] = {}
    notes = []
    for region in own:
        found = _windows(region, slide, parameters)
        if not found:
            notes.append(f"Region {region.roi_id} of slide {slide.slide_id} yields no window.")
        for box in found:
            first = windows.setdefault(box, region)
            if (first.label or slide.score) != (region.label or slide.score):
                raise RegionError(
                    f"slide {slide.slide_id}, regions {first.roi_id} and {region.roi_id}",
                    "one class for a window",
                    f"{first.label or slide.score} and {region.label or slide.score} at x {box.x}, y {box.y}",
                    "Correct the class of one of the regions.",
                )
    plan = SlidePlan(
        slide_id=slide.slide_id,
        path=slide.file.path,
        content_key=slide.content_key,
        size=slide.size,
        mpp=slide.scale.mpp,
        factor=slide.scale.factor,
        score=slide.score,
        case_id=slide.case_id,
        wsi_side=side,
        regions=own,
        patches=(),
    )
    drawn = patch_sides(
        slide.content_key, list(windows), parameters.test_fraction, parameters.seed, parameters.patch_split
    )
    patches = [
        PlannedPatch(
            box,
            region.roi_id,
            region.label or slide.score,
            "region" if region.label else "slide",
            given.patch.get(plan.patch_id(box), drawn_side),
        )
        for (box, region), drawn_side in zip(windows.items(), drawn, strict=True)
    ]
    patches.sort(key=lambda patch: (patch.roi_id, patch.box))
    return replace(plan, patches=tuple(patches)), notes


def _windows(region: Region, slide: _Opened, parameters: BuildParameters) -> tuple[Box, ...]:
    side = round(parameters.patch_size * slide.scale.factor)
    overlap = parameters.min_region_overlap
    if parameters.stride is None:
        return adaptive_windows(region.polygon, slide.size, side, overlap)
    return grid_windows(region.polygon, slide.size, side, round(parameters.stride * slide.scale.factor), overlap)
