"""From shapes to regions: sources of one region compared, classes given their meaning, negative shapes taken away."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import shapely

from ..errors import LabelError, RegionError
from ..geometry import Size
from .classes import ClassRules, Meaning
from .model import Area, Drawn, Reading, Region
from .overlays import MAX_MEETINGS, meetings, same
from .polygons import LEAST_AREA, clipped, polygonal

#: Regions of one slide; more are detections.
MAX_REGIONS = 2000
#: Shared area over joint area above which two outlines are one region drawn twice.
SAME_OUTLINE = 0.9
#: Pairs of regions of a slide that may have about the same box, and what comparing them all may cost: some 30 s.
MAX_NEAR_PAIRS = 2000
MAX_COMPARED = 5 * MAX_MEETINGS


def with_ids(drawn: Sequence[Drawn]) -> list[Drawn]:
    """Shapes in one order, those without an id named after the top left of their box, apart within each file."""
    used: set[tuple[str, str, str]] = {(d.slide_id, str(d.source), d.roi_id) for d in drawn if d.roi_id}
    named = []
    for one in sorted(drawn, key=lambda d: (d.slide_id, str(d.source), d.shape.bounds, d.shape.wkb)):
        roi_id = one.roi_id
        if roi_id is None and not one.subtract:
            left, top, _, _ = one.shape.bounds
            corner = roi_id = f"x{round(left)}y{round(top)}".replace("-", "m")
            count = 1
            while (one.slide_id, str(one.source), roi_id) in used:
                count += 1
                roi_id = f"{corner}-{count}"
            used.add((one.slide_id, str(one.source), roi_id))
        named.append(replace(one, roi_id=roi_id))
    return named


def without_names(drawn: Sequence[Drawn]) -> list[Drawn]:
    """Shapes under ids that may be kept: a region's name goes, unless another file gives it as the region's id."""
    given = {(one.slide_id, one.roi_id) for one in drawn if not one.named}
    own_ids: dict[tuple[str, str | None], str | None] = {}
    kept = []
    for one in sorted(drawn, key=lambda one: (one.slide_id, str(one.source), one.where)):
        place = (one.slide_id, one.roi_id)
        is_name = one.named and place not in given
        kept.append(replace(one, roi_id=own_ids.setdefault(place, one.own_id)) if is_name else one)
    return kept


def combine(drawn: Sequence[Drawn], sizes: Mapping[str, Size], rules: ClassRules, reading: Reading) -> list[Region]:
    """Return the regions of every slide that has no problem, in order of (slide, id).

    Args:
        drawn: clean shapes with ids.
        sizes: each slide's size at level 0.
        rules: what classes mean.
        reading: where problems and findings go.

    Raises:
        LabelError: a class that nobody gave a meaning.
    """
    rules.check(one.class_name for one in drawn if not one.subtract)
    groups: dict[str, dict[str, list[Drawn]]] = defaultdict(lambda: defaultdict(list))
    cuts: dict[str, list[Drawn]] = defaultdict(list)
    for one in drawn:
        if one.subtract:
            cuts[one.slide_id].append(one)
        else:
            groups[one.slide_id][str(one.roi_id)].append(one)
    regions: list[Region] = []
    for slide in sorted(groups):
        try:
            regions += _of_slide(groups[slide], cuts[slide], sizes[slide], rules, reading)
        except (RegionError, LabelError) as error:
            reading.stop(slide, error)
    return [region for region in regions if region.slide_id not in reading.problems]


def _of_slide(
    groups: Mapping[str, list[Drawn]], cuts: list[Drawn], size: Size, rules: ClassRules, reading: Reading
) -> list[Region]:
    if len(groups) > MAX_REGIONS:
        remedy = "Export annotations only, without detections."
        slide = next(iter(groups.values()))[0].slide_id
        raise RegionError(slide, f"at most {MAX_REGIONS} regions", str(len(groups)), remedy)
    kept: list[tuple[Region, Drawn]] = []
    for roi_id in sorted(groups):
        sources = sorted(groups[roi_id], key=lambda one: (one.rank, str(one.source), one.where))
        best, area = sources[0], _area(sources[0])
        label, subtract, class_name = _meaning(sources, rules)
        for other in sources[1:]:
            _check_agreement(best, other, size)
        if subtract:
            cuts.append(best)
            continue
        kept.append((Region(best.slide_id, roi_id, label, class_name, area, best.source), best))
    regions = _without_doubles(kept, reading)
    negative = _negative([_area(cut) for cut in cuts], regions)
    return [cut for region in regions if (cut := _on_slide(region, negative, size, reading))]


def _negative(cuts: Sequence[Area], regions: Sequence[Region]) -> shapely.Geometry | None:
    """Return what is to be taken away from regions, joined; None where there is nothing."""
    if not cuts or not regions:
        return None
    around = shapely.box(*shapely.total_bounds(cuts))
    touched = [region.polygon for region in regions if region.polygon.intersects(around)]
    meetings([*cuts, *touched], f"{regions[0].slide_id}, shapes to subtract")
    return shapely.union_all(cuts)


def _area(one: Drawn) -> Area:
    area = polygonal(one.shape)
    if area is None:
        raise RegionError(one.where, "an area", one.shape.geom_type, "Draw the region again.")
    return area


def _meaning(sources: Sequence[Drawn], rules: ClassRules) -> tuple[str | None, bool, str | None]:
    """Label, whether to subtract, and class of a region, of which no two sources may say different things."""
    said = [(one, rules.meaning(one.class_name)) for one in sources if one.class_name is not None]
    labels = {meaning for _, meaning in said if isinstance(meaning, str)}
    subtracted = any(meaning is Meaning.SUBTRACT for _, meaning in said)
    if len(labels) > 1 or (subtracted and len({meaning for _, meaning in said}) > 1):
        found = " but ".join(f"{one.class_name!r} in {one.where}" for one, _ in said)
        subject = f"{sources[0].slide_id}, region {sources[0].roi_id}"
        raise LabelError(subject, "one class", found, "Correct one of them.")
    # A label is the more telling class where another source says just "tumour".
    telling = sorted(said, key=lambda pair: not isinstance(pair[1], str))
    return next(iter(labels), None), subtracted, telling[0][0].class_name if telling else None


def _check_agreement(best: Drawn, other: Drawn, size: Size) -> None:
    allowed = best.tolerance + other.tolerance
    left, top, right, bottom = other.shape.bounds
    if _apart(best.shape.bounds, (left, top, right, bottom)) <= allowed:
        return
    remedy = "Correct one of them, or give only one."
    if _apart(best.shape.bounds, (left, size.height - bottom, right, size.height - top)) <= allowed:
        remedy = "They agree if y counts from the other edge: try --invert-y."
    expected = f"boxes within {allowed:g} pixels"
    found = f"{_box(best)} in {best.where} but {_box(other)} in {other.where}"
    raise RegionError(f"{best.slide_id}, region {best.roi_id}", expected, found, remedy)


def _apart(a: Sequence[float], b: Sequence[float]) -> float:
    return max(abs(p - q) for p, q in zip(a, b, strict=True))


def _box(one: Drawn) -> str:
    return "({:.0f}, {:.0f}) to ({:.0f}, {:.0f})".format(*one.shape.bounds)


def _without_doubles(kept: list[tuple[Region, Drawn]], reading: Reading) -> list[Region]:
    """Return the regions, less those that are another one drawn again under another id."""
    bounds = np.array([region.polygon.bounds for region, _ in kept]).reshape(-1, 4)
    dropped: set[int] = set()
    pairs = compared = 0
    for i, (first, drawn) in enumerate(kept):
        near = np.abs(bounds[i + 1 :] - bounds[i]).max(axis=1) if i + 1 < len(kept) else np.empty(0)
        for j in np.flatnonzero(near <= drawn.tolerance + 4) + i + 1:
            if i in dropped or j in dropped:
                continue
            second = kept[j][0]
            subject = f"{first.slide_id}, regions {first.roi_id} and {second.roi_id}"
            pairs += 1
            if not same(first.polygon, second.polygon):
                compared += meetings([first.polygon, second.polygon], subject)
                if pairs > MAX_NEAR_PAIRS or compared > MAX_COMPARED:
                    expected = f"at most {MAX_NEAR_PAIRS} pairs of regions with one box, and few of fine outlines"
                    raise RegionError(first.slide_id, expected, "more", "Export annotations only, each once.")
                shared = shapely.intersection(first.polygon, second.polygon).area
                if shared < SAME_OUTLINE * (first.polygon.area + second.polygon.area - shared):
                    continue
            if first.label != second.label and None not in (first.label, second.label):
                found = f"{first.label} in {drawn.where} but {second.label} in {kept[j][1].where}"
                raise LabelError(subject, "one class for one outline", found, "Correct one of them.")
            # The one with a label says more; else the first id.
            drop = i if first.label is None and second.label is not None else int(j)
            dropped.add(drop)
            reading.report("ignored", subject, f"the same outline twice: {kept[drop][0].roi_id} is left out")
    return [region for i, (region, _) in enumerate(kept) if i not in dropped]


def _on_slide(region: Region, negative: shapely.Geometry | None, size: Size, reading: Reading) -> Region | None:
    subject = f"{region.slide_id}, region {region.roi_id}"
    area = clipped(region.polygon, size)
    if area is None:
        reading.report("region outside slide", subject, f"from {region.source.name}: nothing of it is on the slide")
        return None
    if (lost := region.polygon.area - area.area) >= LEAST_AREA:
        share = 100 * lost / region.polygon.area
        reading.report("region clipped", subject, f"{share:.2g} % of it lies outside the slide")
    if negative is not None and area.intersects(negative):
        left = polygonal(shapely.difference(area, negative))
        if left is None:
            reading.report("ignored", subject, "nothing is left of it after subtraction")
            return None
        if area.area - left.area >= LEAST_AREA:
            reading.report(
                "shape subtracted", subject, f"{100 * (1 - left.area / area.area):.2g} % of it is taken away"
            )
        area = left
    return Region(region.slide_id, region.roi_id, region.label, region.class_name, area, region.source)
