"""What overlaying shapes costs: bounded before it is paid."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import shapely
from shapely.affinity import rotate, translate
from shapely.geometry.base import BaseGeometry

from her2_ihc_40x_builder.errors import RegionError
from her2_ihc_40x_builder.geometry import Size
from her2_ihc_40x_builder.regions import ClassRules
from her2_ihc_40x_builder.regions.combine import combine
from her2_ihc_40x_builder.regions.model import Drawn, Reading, Region
from her2_ihc_40x_builder.regions.overlays import meetings, same
from her2_ihc_40x_builder.regions.polygons import MAX_VERTICES, cleaned


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


def test_such_combs_in_one_shape_are_not_joined() -> None:
    with pytest.raises(RegionError, match="come close to each other at most 1200000 times"):
        cleaned(shapely.GeometryCollection([ACROSS, DOWN]), "here")
    # As parts of one multi-polygon they cross, which is to be repaired.
    with pytest.raises(RegionError, match="come close to each other at most 1200000 times"):
        cleaned(shapely.MultiPolygon([ACROSS, DOWN]), "here")
    joined, _ = cleaned(
        shapely.GeometryCollection([comb(40), shapely.Point(3, 3), shapely.box(0, 0, 500, 500)]), "here"
    )
    assert joined is not None
    assert joined.area == comb(40).union(shapely.box(0, 0, 500, 500)).area


def zigzag(vertices: int) -> shapely.Polygon:
    """Long slanted edges side by side: valid, but the box of each meets the boxes of all."""
    across = np.linspace(0, 100, vertices) + np.where(np.arange(vertices) % 2, 50, 0)
    return shapely.Polygon(
        [*zip(across, np.arange(vertices) % 2 * 1e5, strict=True), (300, 1e5 + 10), (300, -9), (0, -9)]
    )


def rings(count: int) -> shapely.MultiPolygon:
    """Rings in rings."""
    squares = [shapely.box(-r, -r, r, r).exterior for r in range(1, 2 * count + 1)]
    return shapely.MultiPolygon(
        [shapely.Polygon(outer, [inner]) for inner, outer in zip(squares[::2], squares[1::2], strict=True)]
    )


@pytest.mark.parametrize("shape", [zigzag(10_000), zigzag(MAX_VERTICES - 4), rings(5_000)])
def test_what_cannot_soon_be_known_to_be_valid_is_refused(shape: BaseGeometry) -> None:
    with pytest.raises(RegionError, match="come close to each other at most 50000000 times"):
        cleaned(shape, "here")


def test_outlines_of_as_many_vertices_as_are_read_are_no_trouble() -> None:
    grid = [shapely.box(x, y, x + 1, y + 1).exterior for x in range(0, 300, 3) for y in range(0, 300, 3)]
    for shape in (
        shapely.Point(0, 0).buffer(9000, quad_segs=49_999),
        shapely.Polygon([(0, 0), *((i / 250, 900 if i % 2 else 10) for i in range(1, 198_000)), (800, 0)]),
        shapely.Polygon(shapely.box(-5, -5, 605, 605).exterior, grid),
        zigzag(2_000),
        rings(500),
        # A hand that rests draws one place again and again.
        shapely.Polygon([(0, 0), *[(100, 0)] * 100_000, (100, 100)]),
    ):
        assert cleaned(shape, "here") == (shape, None)


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
