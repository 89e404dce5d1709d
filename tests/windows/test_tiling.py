from __future__ import annotations

import itertools
import math

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from her2_ihc_40x_builder.errors import RegionError
from her2_ihc_40x_builder.geometry import Box, Size
from her2_ihc_40x_builder.windows.tiling import adaptive_windows, grid_windows

SLIDE = Size(5000, 4000)


@st.composite
def rectangles(draw: st.DrawFn) -> tuple[shapely.Polygon, Size, int]:
    """A rectangle on a slide, and a patch that fits on the slide."""
    size = Size(draw(st.integers(64, 3000)), draw(st.integers(64, 3000)))
    patch = draw(st.integers(16, min(size.width, size.height)))
    left, top = draw(st.integers(0, size.width - 1)), draw(st.integers(0, size.height - 1))
    right, bottom = draw(st.integers(left + 1, size.width)), draw(st.integers(top + 1, size.height))
    return shapely.box(left, top, right, bottom), size, patch


def axis(starts: set[int], start: int, stop: int, patch: int) -> None:
    """The fewest windows, evenly spread, from one end of the region to the other."""
    ordered = sorted(starts)
    assert len(ordered) == max(1, math.ceil((stop - start) / patch))
    if len(ordered) > 1:
        assert ordered[0] == start
        assert ordered[-1] + patch == stop
        gaps = [b - a for a, b in itertools.pairwise(ordered)]
        assert max(gaps) - min(gaps) <= 1
        assert max(gaps) <= patch


@given(rectangles())
def test_windows_of_a_rectangle_cover_it_with_the_fewest_spread_evenly(case: tuple[shapely.Polygon, Size, int]) -> None:
    polygon, size, patch = case
    # Any overlap keeps a window, so that the spread is seen whole.
    windows = adaptive_windows(polygon, size, patch, min_overlap=1e-9)
    left, top, right, bottom = map(int, polygon.bounds)
    axis({w.x for w in windows}, left, right, patch)
    axis({w.y for w in windows}, top, bottom, patch)
    assert all(window.inside(size) for window in windows)
    assert list(windows) == sorted(windows)
    union = shapely.union_all([shapely.box(w.x, w.y, w.right, w.bottom) for w in windows])
    assert union.covers(polygon)


@given(rectangles(), st.floats(0.05, 1))
def test_kept_windows_hold_half_of_themselves_or_most_of_the_region(
    case: tuple[shapely.Polygon, Size, int], share: float
) -> None:
    box, size, patch = case
    polygon = shapely.Polygon([(x, y) for x, y in list(box.exterior.coords)[:3]])  # half the rectangle
    every = adaptive_windows(box, size, patch, min_overlap=1e-9)
    kept = set(adaptive_windows(polygon, size, patch, min_overlap=share))
    for window in every:
        held = shapely.box(window.x, window.y, window.right, window.bottom).intersection(polygon).area
        enough, covered = held - share * window.area, held - 0.9 * polygon.area
        if min(abs(enough), abs(covered)) > 1e-3:
            assert (window in kept) == (enough > 0 or covered > 0)
    assert kept <= set(every)


@given(rectangles(), st.integers(150, 2000))
def test_grid_windows_lie_on_the_slides_grid(case: tuple[shapely.Polygon, Size, int], stride: int) -> None:
    polygon, size, patch = case
    windows = grid_windows(polygon, size, patch, stride, min_overlap=0.5)
    assert all(window.inside(size) and window.x % stride == 0 and window.y % stride == 0 for window in windows)
    assert list(windows) == sorted(windows)
    for window in windows:
        held = shapely.box(window.x, window.y, window.right, window.bottom).intersection(polygon).area
        assert held >= 0.5 * window.area - 1e-6 or held >= 0.9 * polygon.area - 1e-6


def test_a_region_smaller_than_a_window_gets_one_centred_on_it() -> None:
    assert adaptive_windows(shapely.box(2000, 1500, 2200, 1700), SLIDE) == (Box(1088, 1588, 1024, 1024),)


def test_a_region_in_the_corner_gets_its_window_moved_onto_the_slide() -> None:
    assert adaptive_windows(shapely.box(4900, 3900, 5000, 4000), SLIDE) == (Box(2976, 3976, 1024, 1024),)


def test_a_grid_finds_no_window_where_none_holds_enough() -> None:
    small = shapely.box(1000, 1000, 1100, 1100)  # over a corner of four grid cells
    assert grid_windows(small, SLIDE, 1024, 1024) == ()
    assert len(adaptive_windows(small, SLIDE)) == 1


def test_a_thin_ring_gives_no_window() -> None:
    disc, hole = shapely.Point(2500, 2000).buffer(1500), shapely.Point(2500, 2000).buffer(1450)
    ring = shapely.Polygon(disc.exterior, [hole.exterior])
    assert adaptive_windows(ring, SLIDE) == ()


def test_a_hole_costs_the_windows_in_it() -> None:
    solid = shapely.box(0, 0, 3072, 3072)
    holed = shapely.Polygon(solid.exterior, [shapely.box(1024, 1024, 2048, 2048).exterior])
    assert set(adaptive_windows(solid, SLIDE)) - set(adaptive_windows(holed, SLIDE)) == {Box(1024, 1024, 1024, 1024)}


def test_a_slide_smaller_than_a_window_gives_none() -> None:
    assert adaptive_windows(shapely.box(0, 0, 500, 500), Size(900, 5000)) == ()
    assert grid_windows(shapely.box(0, 0, 500, 500), Size(900, 5000)) == ()


@pytest.mark.parametrize(("patch", "overlap"), [(0, 0.5), (1024, 0.0), (1024, 1.5), (1024, math.nan)])
def test_senseless_arguments_are_refused(patch: int, overlap: float) -> None:
    with pytest.raises(RegionError, match="expected"):
        adaptive_windows(shapely.box(0, 0, 500, 500), SLIDE, patch, overlap)


def test_windows_without_number_are_refused() -> None:
    with pytest.raises(RegionError, match="larger patch size"):
        grid_windows(shapely.box(0, 0, 5000, 4000), SLIDE, 2, 1)
