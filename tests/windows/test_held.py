from __future__ import annotations

import time

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from her2_ihc_40x_builder.geometry import Size
from her2_ihc_40x_builder.windows.held import held_areas
from her2_ihc_40x_builder.windows.tiling import grid_windows

SIDE = 64
STARTS = list(range(-32, 300, 40))


def star(seed: int, points: int, *, whole: bool) -> shapely.Polygon:
    """An outline with arms around (150, 150)."""
    rng = np.random.default_rng(seed)
    turn, reach = np.sort(rng.uniform(0, 2 * np.pi, points)), rng.uniform(20, 150, points)
    corners = 150 + np.column_stack([reach * np.cos(turn), reach * np.sin(turn)])
    return shapely.Polygon(corners.round() if whole else corners)


@given(st.integers(0, 10**6), st.integers(3, 60), st.booleans(), st.booleans())
def test_areas_are_those_of_the_shared_shape(seed: int, points: int, whole: bool, turned: bool) -> None:
    hole = shapely.Point(150, 150).buffer(15)
    parts = shapely.get_parts(shapely.make_valid(star(seed, points, whole=whole)) - hole)
    region = shapely.MultiPolygon([part for part in parts if isinstance(part, shapely.Polygon)])
    region = region.reverse() if turned else region
    squares = [[shapely.box(x, y, x + SIDE, y + SIDE) for x in STARTS] for y in STARTS]
    expected = shapely.area(shapely.intersection(region, np.array(squares)))
    assert held_areas(region, STARTS, STARTS, SIDE) == pytest.approx(expected, abs=1e-6)


def test_whole_pixels_give_whole_areas() -> None:
    held = held_areas(shapely.box(0, 0, 100, 100), [0, 50, 200], [0, 50], 100)
    assert held.tolist() == [[10000, 5000, 0], [5000, 2500, 0]]


def test_an_edge_that_is_all_but_upright_is_no_trouble() -> None:
    region = shapely.Polygon([(0, 0), (5e-324, 100), (100, 100), (100, 0)])
    assert held_areas(region, [0], [0], 50).tolist() == [[2500]]


def test_a_comb_of_as_many_teeth_as_are_read_is_tiled_in_seconds() -> None:
    teeth = [(i / 250, 900 if i % 2 else 10) for i in range(1, 198_000)]
    comb = shapely.Polygon([(0, 0), *teeth, (800, 0)])
    start = time.process_time()
    assert len(grid_windows(comb, Size(1000, 1000), 256, 256)) == 6
    assert time.process_time() - start < 10
