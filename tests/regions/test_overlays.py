"""What overlaying shapes costs: bounded before it is paid."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import shapely
from shapely.affinity import rotate, translate

from her2_ihc_40x_builder.errors import RegionError
from her2_ihc_40x_builder.geometry import Size
from her2_ihc_40x_builder.regions import ClassRules
from her2_ihc_40x_builder.regions.combine import combine
from her2_ihc_40x_builder.regions.model import Drawn, Reading, Region
from her2_ihc_40x_builder.regions.overlays import meetings, same


def comb(vertices: int) -> shapely.Polygon:
    """Teeth over a square of 1000 pixels."""
    teeth = [(x, 900 if number % 2 else 2) for number, x in enumerate(np.linspace(0, 1000, vertices))]
    return shapely.Polygon([*teeth, (1000, 1000), (0, 1000)])


ACROSS, DOWN = comb(1200), rotate(comb(1200), 90, origin=(500, 500))


def test_an_edge_meets_itself_its_neighbours_and_what_crosses_it() -> None:
    square = shapely.box(0, 0, 10, 10)
    assert meetings([square], "here") == 3 * 4
    assert meetings([square, shapely.box(20, 20, 30, 30)], "here") == 3 * 8
    # Two edges of each are crossed; of boxes that have no height and no width, the boxes are the edges.
    assert meetings([square, shapely.box(5, 5, 15, 15)], "here") == 3 * 8 + 2 * 2


def test_the_finest_outline_twice_is_not_too_much() -> None:
    circle = shapely.Point(0, 0).buffer(9000, quad_segs=49_999)
    assert meetings([circle, circle], "here") < 12 * 200_000


def test_combs_that_cross_are_refused_before_they_fill_the_memory() -> None:
    with pytest.raises(RegionError, match="come close to each other at most 1200000 times"):
        meetings([ACROSS, DOWN], "here")


def test_the_same_outline_begins_anywhere() -> None:
    assert same(shapely.Polygon([(0, 0), (5, 0), (5, 5)]), shapely.Polygon([(5, 5), (0, 0), (5, 0)]))
    assert not same(shapely.Polygon([(0, 0), (5, 0), (5, 5)]), shapely.Polygon([(0, 0), (5, 0), (5, 6)]))


def drawn(shapes: list[shapely.Polygon], slide: str = "alpha", subtract: bool = False) -> list[Drawn]:
    source = Path("subtracted.xml" if subtract else f"{slide}.geojson")
    return [Drawn(slide, f"r{n}", None, shape, source, source.name, subtract) for n, shape in enumerate(shapes)]


def regions_of(*shapes: Drawn) -> tuple[list[Region], Reading]:
    reading = Reading()
    size = Size(1000, 1000)
    return combine(shapes, {"alpha": size, "beta": size}, ClassRules(), reading), reading


BETA = drawn([shapely.box(0, 0, 900, 900)], "beta")


@pytest.mark.parametrize("subtract", [False, True])
def test_such_combs_stop_their_slide_alone(subtract: bool) -> None:
    second = drawn([DOWN], subtract=True) if subtract else drawn([ACROSS, DOWN])[1:]
    found, reading = regions_of(*BETA, *drawn([ACROSS]), *second)
    assert "come close to each other" in str(reading.problems["alpha"])
    assert [region.slide_id for region in found] == ["beta"]


def test_so_do_too_many_fine_outlines_of_one_box(monkeypatch: pytest.MonkeyPatch) -> None:
    circles = [translate(shapely.Point(500, 500).buffer(400), shift) for shift in (0, 1, 2, 3)]
    found, reading = regions_of(*drawn(circles))
    assert [region.roi_id for region in found] == ["r0"]
    assert len(reading.findings) == 3
    monkeypatch.setattr(import_module(combine.__module__), "MAX_COMPARED", 1_000)
    found, reading = regions_of(*drawn(circles), *BETA)
    assert "few of fine outlines" in str(reading.problems["alpha"])
    assert [region.slide_id for region in found] == ["beta"]
    # The same vertices again cost nothing.
    found, reading = regions_of(*drawn([circles[0]] * 50))
    assert (len(found), len(reading.findings)) == (1, 49)
