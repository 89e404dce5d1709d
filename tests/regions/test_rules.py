"""Classes, names and shapes: the rules that every format shares."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from her2_ihc_40x_builder.errors import LabelError, OptionError, RegionError
from her2_ihc_40x_builder.geometry import Size
from her2_ihc_40x_builder.regions.classes import ClassRules, Meaning, score_of
from her2_ihc_40x_builder.regions.crops import folder_class
from her2_ihc_40x_builder.regions.masks import downscale
from her2_ihc_40x_builder.regions.model import Finding, in_order
from her2_ihc_40x_builder.regions.names import slide_and_roi_of, slide_of
from her2_ihc_40x_builder.regions.polygons import LEAST_AREA, cleaned, clipped, of_mask


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("0", "0"),
        ("1+", "1+"),
        ("2", "2+"),
        (" 3 + ", "3+"),
        ("class_0", "0"),
        ("class_3+", "3+"),
        ("HER2 2+", "2+"),
        ("her2-3+", "3+"),
        ("Score 1+", "1+"),
        ("HER2 score 1", "1+"),
        ("IHC 3+", "3+"),
        *[
            (name, None)
            for name in ("0+", "ultralow", "2+/ISH-", "4+", "", "+", "++", "10", "3++", "tumour", "\u00b2", "\uff12+")
        ],
    ],
)
def test_plain_spellings_of_a_score(name: str, label: str | None) -> None:
    assert score_of(name) == label


def test_what_classes_mean() -> None:
    rules = ClassRules(frozenset({"Invasive"}), frozenset({"DCIS"}), {"0+": "0", "2+/ISH-": "2+", "3+": "2+"})
    meanings = {
        None: Meaning.REGION,
        "Tumor": Meaning.REGION,
        "TUMOUR": Meaning.REGION,
        "invasive": Meaning.REGION,
        "dcis": Meaning.SUBTRACT,
        "0+": "0",
        "2+/ish-": "2+",
        "3+": "2+",
        "1+": "1+",
        "Stroma": Meaning.UNKNOWN,
    }
    assert {name: rules.meaning(name) for name in meanings} == meanings


def test_unknown_classes_are_listed_all_at_once() -> None:
    with pytest.raises(LabelError, match=r"'DCIS' \(2\), 'Stroma' \(1\).*--include-class"):
        ClassRules().check(["DCIS", "Stroma", None, "Tumor", "3+", "DCIS"])
    ClassRules(frozenset({"stroma"}), frozenset({"DCIS"})).check(["DCIS", "Stroma"])


def test_rules_that_contradict_are_refused() -> None:
    with pytest.raises(OptionError, match="dcis"):
        ClassRules(frozenset({"DCIS"}), frozenset({"dcis"}))
    with pytest.raises(OptionError, match="4\\+"):
        ClassRules(labels={"x": "4+"})


def test_one_bare_number_says_nothing_and_two_say_something() -> None:
    assert ClassRules().unnamed(["term 901", None, "Tumor"]) == "term 901"
    assert ClassRules().unnamed(["term 901", "term 902"]) is None
    assert ClassRules(labels={"term 901": "3+"}).unnamed(["term 901"]) is None
    assert ClassRules(exclude=frozenset({"term 902"})).unnamed(["term 901", "term 902"]) is None


SLIDES = ["S1", "S10", "s2", "A_1", "A", "B.x", "dup", "DUP"]


@pytest.mark.parametrize(
    ("name", "slide"),
    [
        ("S1.svs", "S1"),
        ("S1", "S1"),
        ("S1.svs.geojson", "S1"),
        ("s10.xml", "S10"),
        ("C:\\a\\S2.svs", "s2"),
        ("/x/y/S1.ome.tiff", "S1"),
        ("B.x", "B.x"),
        ("B.x.json", "B.x"),
        ("DUP.json", "DUP"),
        ("Dup.json", None),
        ("S11.svs", None),
        ("", None),
    ],
)
def test_file_names_mean_slides(name: str, slide: str | None) -> None:
    assert slide_of(name, SLIDES) == slide


@pytest.mark.parametrize(
    ("stem", "pair"),
    [
        ("S1_7", ("S1", "7")),
        ("A_1_7", ("A_1", "7")),
        ("A_7", ("A", "7")),
        ("S1_", None),
        ("S1_../x", None),
        ("S1_a b", None),
        ("S9_1", None),
        ("S10_x-1.b", ("S10", "x-1.b")),
    ],
)
def test_crop_names_mean_a_slide_and_a_region(stem: str, pair: tuple[str, str] | None) -> None:
    assert slide_and_roi_of(stem, SLIDES) == pair
    assert slide_and_roi_of(stem, reversed(SLIDES)) == pair


@pytest.mark.parametrize(
    ("path", "root", "name"),
    [
        ("d/ROI/2+/S1_1.png", "d", "2+"),
        ("d/ROI/class_2+/S1_1.png", "d/ROI", "class_2+"),
        ("d/ROI/S1_1.png", "d", None),
        ("d/ROI/S1_1.png", "d/ROI", None),
        ("d/2+/S1_1.png", "d/2+", "2+"),
        ("d/2+/S1_1.png", "d/2+/S1_1.png", "2+"),
        ("d/mine/S1_1.png", "d/mine", None),
        ("d/ROI/DCIS/S1_1.png", "d", "DCIS"),
    ],
)
def test_folders_give_classes(path: str, root: str, name: str | None) -> None:
    assert folder_class(Path(path), Path(root)) == name


def test_a_crossing_outline_is_repaired_and_said_so() -> None:
    area, note = cleaned(shapely.Polygon([(0, 0), (100, 100), (100, 0), (0, 100)]), "here")
    assert area is not None
    assert area.is_valid
    assert area.area == 5000
    assert "crossed" in str(note)


BOX, LEFT = shapely.box(0, 0, 100, 100), shapely.box(0, 20, 50, 80)


def holed(*holes: shapely.Polygon) -> shapely.Polygon:
    return shapely.Polygon(BOX.exterior, [hole.exterior for hole in holes])


@pytest.mark.parametrize(
    ("shape", "area"),
    [
        (holed(LEFT), 10_000 - 3_000),  # which shares a side with it
        (holed(BOX), 0),
        (holed(shapely.box(80, 0, 120, 50)), 10_000 - 20 * 50),  # a part of it lies outside
        (holed(shapely.box(0, 0, 50, 60), shapely.box(40, 0, 90, 60)), 10_000 - 90 * 60),
        (holed(shapely.box(10, 10, 90, 90), shapely.box(40, 40, 60, 60)), 10_000 - 80 * 80),  # a hole in a hole
        (shapely.MultiPolygon([BOX, shapely.box(50, 0, 150, 100)]), 15_000),
        (shapely.MultiPolygon([BOX, shapely.box(20, 20, 80, 80)]), 10_000),
        (shapely.GeometryCollection([BOX, shapely.box(50, 0, 150, 100)]), 15_000),
        (shapely.GeometryCollection([holed(LEFT), shapely.LineString([(0, 0), (9, 9)])]), 7_000),
        (shapely.MultiPolygon([holed(LEFT), LEFT]), 10_000),
    ],
)
def test_outlines_are_joined_and_holes_taken_away_however_they_touch(shape: BaseGeometry, area: float) -> None:
    found, _ = cleaned(shape, "here")
    assert (found.area if found is not None else 0) == area


@pytest.mark.parametrize(
    ("shape", "why"),
    [
        (shapely.Point(3, 3), "Point"),
        (shapely.LineString([(0, 0), (9, 9)]), "LineString"),
        (shapely.Polygon(), "empty"),
        (shapely.Polygon([(0, 0), (50, 0), (100, 0)]), "no area"),
        (shapely.box(0, 0, 0.1, 0.1), "no area"),
    ],
)
def test_what_has_no_area_is_named(shape: BaseGeometry, why: str) -> None:
    area, note = cleaned(shape, "here")
    assert area is None
    assert why in str(note)


@pytest.mark.filterwarnings("ignore:invalid value encountered")
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300, -2e7])
def test_coordinates_that_are_no_place_are_refused(bad: float) -> None:
    with pytest.raises(RegionError, match="coordinates"):
        cleaned(shapely.Polygon([(0, 0), (bad, 0), (9, 9)]), "here")


def test_outlines_beyond_repair_are_refused_in_time() -> None:
    points = np.random.default_rng(0).uniform(0, 5000, (20_000, 2))
    started = time.process_time()
    for count, why in ((20_000, "come close"), (2_000, "come close"), (500, "crosses itself")):
        with pytest.raises(RegionError, match=why):
            cleaned(shapely.Polygon(points[:count]), "here")
    with pytest.raises(RegionError, match="vertices"):
        cleaned(shapely.Polygon([(x, x % 2) for x in range(200_001)]), "here")
    assert time.process_time() - started < 10


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(-50, 150), st.integers(-50, 150)), min_size=3, max_size=12))
def test_any_outline_becomes_valid_and_stays_on_the_slide(points: list[tuple[int, int]]) -> None:
    area, note = cleaned(shapely.Polygon(points), "here")
    if area is None:
        assert note
        return
    assert area.is_valid
    on_slide = clipped(area, Size(100, 80))
    if on_slide is not None:
        assert on_slide.is_valid
        assert shapely.box(0, 0, 100, 80).covers(on_slide)
        parts = shapely.get_parts(area.intersection(shapely.box(0, 0, 100, 80)))
        assert on_slide.area == pytest.approx(sum(part.area for part in parts if part.area >= LEAST_AREA), abs=1e-6)


@settings(max_examples=60)
@given(npst.arrays(np.bool_, st.tuples(st.integers(1, 14), st.integers(1, 14))))
def test_the_outline_of_a_mask_holds_its_pixels_and_no_other(mask: NDArray[np.bool_]) -> None:
    area = of_mask(mask, "here")
    if area is None:
        assert not mask.any()
        return
    assert area.is_valid
    rows, columns = np.mgrid[: mask.shape[0], : mask.shape[1]]
    np.testing.assert_array_equal(shapely.contains_xy(area, columns + 0.5, rows + 0.5), mask)
    assert area.area == mask.sum()


def test_noise_is_no_mask() -> None:
    with pytest.raises(RegionError, match="noise"):
        of_mask(np.random.default_rng(0).random((1000, 1000)) > 0.5, "here")


@pytest.mark.parametrize(
    ("mask", "scale"),
    [
        (Size(5468, 5467), (1, 1)),
        (Size(1367, 1366), (4, 4)),
        (Size(1367, 1367), (4, 4)),
        (Size(342, 342), (16, 16)),
        (Size(1000, 1000), (5.468, 5.467)),
        (Size(1000, 900), None),
        (Size(8000, 8000), None),
        (Size(0, 0), None),
    ],
)
def test_masks_of_the_slides_shape_at_any_scale(mask: Size, scale: tuple[float, float] | None) -> None:
    assert downscale(mask, Size(5468, 5467)) == scale


def test_findings_come_in_the_order_in_which_they_are_worth_reading() -> None:
    clipped_twice = [Finding("region clipped", "S1, region 2", "")] * 2
    found = [Finding("ignored", "a.txt", ""), *clipped_twice, Finding("slide without region", "S3", "")]
    found += [Finding("region without slide", "x.json", ""), Finding("slide without region", "S2", "")]
    told = [(one.kind, one.subject) for one in in_order(found)]
    assert told == [
        ("slide without region", "S2"),
        ("slide without region", "S3"),
        ("region without slide", "x.json"),
        ("region clipped", "S1, region 2"),
        ("ignored", "a.txt"),
    ]
