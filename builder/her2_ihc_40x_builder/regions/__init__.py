"""Which pieces of which slides become patches: read from crops, masks and annotations, whatever tool made them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import LabelError, RegionError
from ..geometry import Size
from ..parallel import Processes
from ..places import why_not_a_file
from ..placing.search import SlideLike
from . import crops, cytomine, files, geojson, images, imagescope, masks, qupath
from .classes import ClassRules
from .combine import combine, with_ids, without_names
from .model import Area, Drawn, Finding, Reading, Region, RegionSet, in_order
from .names import SlideNames, shown, slide_and_roi_of, slide_of
from .placements import KeptPlacements
from .polygons import cleaned

__all__ = [
    "Area",
    "ClassRules",
    "Finding",
    "KeptPlacements",
    "Region",
    "RegionOptions",
    "RegionSet",
    "SlideLike",
    "read_regions",
]


@dataclass(frozen=True)
class RegionOptions:
    """How regions are read.

    Attributes:
        rules: what classes mean.
        invert_y: annotations count y from the other edge than their tool is known to.
    """

    rules: ClassRules = field(default_factory=ClassRules)
    invert_y: bool = False


def read_regions(
    path: Path,
    slides: Iterable[SlideLike],
    options: RegionOptions | None = None,
    workers: Processes | None = None,
    kept: KeptPlacements | None = None,
) -> RegionSet:
    """Every region under a path, on the slides of a build; the format of each file is found by looking into it.

    One region may be given by several files (a crop, an annotation): they are compared, and the finest outline is kept.

    Args:
        path: a file or a folder of PNG crops, PNG masks, Cytomine JSON, QuPath GeoJSON, ImageScope XML, in any mixture.
        slides: the slides of the build.
        options: how to read.
        workers: that place crops, for which the slides must be picklable; None places them here.
        kept: where crops of earlier runs lie; None places all.

    Returns:
        The regions, the errors that stop single slides, and everything else to report.

    Raises:
        RegionError: nothing is there, or a file that belongs to no slide in particular cannot be read.
        LabelError: a class whose meaning nobody gave, or two slides of one id.
    """
    options = options or RegionOptions()
    by_id = _by_id(slides)
    sizes = {slide_id: slide.size for slide_id, slide in by_id.items()}
    reading, found_crops = Reading(), []
    for file in files.region_files(path):
        try:
            crop = _read(file, path, sizes, options, reading)
        except RegionError as error:
            slide = _named_slide(file, sizes)
            if slide is None:
                raise
            reading.stop(slide, error)
        else:
            found_crops += [crop] if crop else []
    reading.drawn = with_ids(_clean(reading))
    crops.place(found_crops, by_id, reading, workers, kept)
    drawn = _without_bare_numbers(reading, options.rules)
    regions = combine(with_ids(without_names(drawn)), sizes, options.rules, reading)
    for slide_id in sorted(sizes.keys() - {region.slide_id for region in regions} - reading.problems.keys()):
        reading.report("slide without region", slide_id, "it yields no patch")
    problems = dict(sorted(reading.problems.items()))
    return RegionSet(tuple(regions), problems, in_order(reading.findings))


def _by_id(slides: Iterable[SlideLike]) -> dict[str, SlideLike]:
    by_id: dict[str, SlideLike] = {}
    for slide in slides:
        if slide.slide_id in by_id:
            raise LabelError(slide.slide_id, "one slide of that id", "two", "Rename one of the files.")
        by_id[slide.slide_id] = slide
    return by_id


def _named_slide(file: Path, sizes: Mapping[str, Size]) -> str | None:
    pair = slide_and_roi_of(file.stem, sizes)
    return slide_of(file.name, sizes) or (pair and pair[0])


def _read(
    file: Path, root: Path, sizes: Mapping[str, Size], options: RegionOptions, reading: Reading
) -> crops.CropFile | None:
    """Add a file's shapes to a reading; a crop is only named, since placing it takes all slides."""
    if reason := why_not_a_file(file, root):
        if _named_slide(file, sizes) is None:
            reading.report("ignored", shown(file), reason)
            return None
        remedy = "Copy the file in, or remove the entry."
        raise RegionError(shown(file), "a plain file inside the folder of regions", reason, remedy)
    kind = files.kind_of(file)
    if kind == "png":
        if options.invert_y:
            reading.report(
                "ignored", f"--invert-y for {shown(file)}", "a picture has its own rows; only annotations turn over"
            )
        return _picture(file, root, sizes, options, reading)
    if kind == "json":
        document = files.read_json(file)
        if cytomine.is_cytomine(document):
            cytomine.read(document, file, sizes, reading, invert_y=options.invert_y)
            return None
        if not geojson.is_geojson(document):
            remedy = "Export the annotations again, or move the file out of the folder."
            raise RegionError(shown(file), "annotations of Cytomine or GeoJSON", "other JSON", remedy)
    if kind is None:
        reading.report("ignored", shown(file), "not PNG, JSON or XML")
        return None
    slide = slide_of(file.name, sizes)
    if slide is None:
        near = SlideNames(sizes).near(file.name)
        reading.report("region without slide", shown(file), f"the file is named after no slide that can be read{near}")
    elif kind == "json":
        qupath.read(document, file, slide, sizes[slide], reading, invert_y=options.invert_y)
    else:
        imagescope.read(file, slide, sizes[slide], reading, invert_y=options.invert_y)
    return None


def _picture(
    file: Path, root: Path, sizes: Mapping[str, Size], options: RegionOptions, reading: Reading
) -> crops.CropFile | None:
    """Return a crop if the PNG is in colour, or add a mask's regions to a reading."""
    whole = slide_of(file.name, sizes)
    pair = slide_and_roi_of(file.stem, sizes) if whole is None else (whole, None)
    if pair is None:
        detail = "the picture is named after no slide that can be read"
        detail += SlideNames(sizes).near(file.name, with_roi=True)
        reading.report("region without slide", shown(file), detail)
        return None
    slide, roi = pair
    class_name = crops.folder_class(file, root)
    size, mode = images.header(file)
    # A mask saved in colour has the shape of its slide; what has not is a crop, and need not be decoded to know.
    maybe = mode not in images.COLOUR_MODES or masks.downscale(size, sizes[slide]) is not None
    values = images.values_of_mask(file) if maybe else None
    if values is not None:
        roi = None if roi in {"mask", "label", "labels"} else roi
        masks.read(values, file, slide, roi, class_name, sizes[slide], options.rules, reading)
        return None
    if roi is None:
        remedy = "Name a crop <slide>_<id>.png; save a mask in grey."
        raise RegionError(shown(file), "a mask of the slide, or a crop with an id", "a colour picture", remedy)
    return crops.CropFile(file, slide, roi, class_name)


def _clean(reading: Reading) -> list[Drawn]:
    kept = []
    for one in reading.drawn:
        try:
            area, note = cleaned(one.shape, one.where)
        except RegionError as error:
            reading.stop(one.slide_id, error)
            continue
        if area is None:
            reading.report("ignored", one.where, note or "it has no area")
            continue
        if note:
            reading.report("shape repaired", one.where, note)
        kept.append(replace(one, shape=area))
    return kept


def _without_bare_numbers(reading: Reading, rules: ClassRules) -> list[Drawn]:
    number = rules.unnamed(one.class_name for one in reading.drawn)
    if number is None:
        return reading.drawn
    detail = "the export names no class; every annotation with one has this number, taken as no class of its own"
    reading.report("class not named", number, detail)
    return [replace(one, class_name=None) if one.class_name == number else one for one in reading.drawn]
