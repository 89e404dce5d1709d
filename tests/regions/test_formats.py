"""What each annotation format may look like, and what hostile ones may not do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from her2_ihc_40x_builder.errors import RegionError
from her2_ihc_40x_builder.geometry import Size
from her2_ihc_40x_builder.regions import cytomine, files, geojson, imagescope, qupath
from her2_ihc_40x_builder.regions.model import Drawn, Reading
from her2_ihc_40x_builder.regions.polygons import cleaned
from permissions import held_back, needs_permissions

SIZES = {"s1": Size(1000, 800), "s2": Size(500, 400)}
SQUARE = [[100, 50], [300, 50], [300, 150], [100, 150], [100, 50]]
SHARED = Path(__file__).resolve().parents[3] / "shared"


def of_qupath(document: Any, *, invert_y: bool = False) -> Reading:
    reading = Reading()
    qupath.read(document, Path("s1.geojson"), "s1", SIZES["s1"], reading, invert_y=invert_y)
    return reading


def of_cytomine(document: Any, source: str = "all.json", *, invert_y: bool = False) -> Reading:
    reading = Reading()
    cytomine.read(document, Path(source), SIZES, reading, invert_y=invert_y)
    return reading


def of_imagescope(folder: Path, text: str, *, invert_y: bool = False) -> Reading:
    path, reading = folder / "s1.xml", Reading()
    path.write_text(text)
    imagescope.read(path, "s1", SIZES["s1"], reading, invert_y=invert_y)
    return reading


def feature(geometry: Any = None, **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "id": "6423a977-ffff-48db-affc-cd11632010f0",
        "geometry": geometry or {"type": "Polygon", "coordinates": [SQUARE]},
        "properties": {"objectType": "annotation", **properties},
    }


def layer(regions: str, name: str = "Tumor", attributes: str = "") -> str:
    inside = f"{attributes}<Regions>{regions}</Regions>"
    return f'<Annotations><Annotation Id="1" Name="{name}">{inside}</Annotation></Annotations>'


def region(identity: int = 1, **attributes: str) -> str:
    told = {"Type": "0", "NegativeROA": "0", "Text": "", **attributes}
    vertices = "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in SQUARE[:4])
    said = " ".join(f'{key}="{value}"' for key, value in told.items())
    return f'<Region Id="{identity}" {said}><Attributes/><Vertices>{vertices}</Vertices></Region>'


@pytest.mark.parametrize(
    "document",
    [
        {"type": "FeatureCollection", "features": [feature()]},
        [feature()],
        feature(),
        {"type": "Polygon", "coordinates": [SQUARE]},
        [{"type": "MultiPolygon", "coordinates": [[SQUARE]]}],
        {"type": "GeometryCollection", "geometries": [{"type": "Polygon", "coordinates": [SQUARE]}]},
    ],
)
def test_every_form_of_geojson_is_one_shape(document: Any) -> None:
    assert geojson.is_geojson(document)
    assert not cytomine.is_cytomine(document)
    (drawn,) = of_qupath(document).drawn
    assert drawn.shape.bounds == (100, 50, 300, 150)


def test_holes_and_parts_stay() -> None:
    hole = [[150, 80], [200, 80], [200, 100], [150, 100], [150, 80]]
    far = [[600, 600], [700, 600], [700, 700], [600, 700], [600, 600]]
    (drawn,) = of_qupath(feature({"type": "MultiPolygon", "coordinates": [[SQUARE, hole], [far]]})).drawn
    area, note = cleaned(drawn.shape, "here")
    assert area is not None
    assert area.area == 200 * 100 - 50 * 20 + 100 * 100
    assert note is None


def test_an_ellipse_is_the_polygon_it_is_written_as() -> None:
    ring = [list(p) for p in shapely.Point(500, 400).buffer(100, 24).exterior.coords]
    (drawn,) = of_qupath(feature({"type": "Polygon", "isEllipse": True, "coordinates": [ring]})).drawn
    assert drawn.shape.area == pytest.approx(31416, rel=0.01)


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        (feature(objectType="detection"), "detection"),
        (feature(objectType="cell"), "cell"),
        (feature(objectType="tmaCore"), "tmacore"),
        (feature(objectType="tile"), "tile"),
        (feature() | {"id": "PathDetectionObject", "properties": {}}, "detection"),
        (feature() | {"id": "TMACoreObject", "properties": {}}, "tmacore"),
    ],
)
def test_only_annotations_count(document: Any, kind: str) -> None:
    reading = of_qupath(document)
    assert reading.drawn == []
    assert kind in reading.findings[0].detail


def test_qupath_classes_and_the_ignored_ones() -> None:
    classes = [None, {"name": "Tumor"}, {"name": "Ignore*"}, {"names": ["Tumor", "Positive"]}, "Stroma", {}]
    drawn = of_qupath([feature(classification=c) for c in classes]).drawn
    assert [d.class_name for d in drawn] == [None, "Tumor", "Ignore*", "Tumor: Positive", "Stroma", None]
    assert [d.subtract for d in drawn] == [False, False, True, False, False, False]


def test_a_name_is_an_id_only_if_a_database_numbered_them_all() -> None:
    by_number = of_qupath([feature(name="101"), feature(name="102")]).drawn
    assert [d.roi_id for d in by_number] == ["101", "102"]
    for names in (["101", "Smith, Jane"], ["7", "7"], ["101", None]):
        drawn = of_qupath([feature(name=name) for name in names]).drawn
        assert {d.roi_id for d in drawn} == {"6423a977-ffff-48db-affc-cd11632010f0"}


def test_invert_y_turns_each_format_over(tmp_path: Path) -> None:
    record = {"id": 1, "image": 9, "instanceFilename": "s1.svs", "location": "POLYGON((0 0, 9 0, 9 5, 0 5, 0 0))"}
    assert of_cytomine([record]).drawn[0].shape.bounds == (0, 795, 9, 800)
    assert of_cytomine([record], invert_y=True).drawn[0].shape.bounds == (0, 0, 9, 5)
    assert of_qupath(feature(), invert_y=True).drawn[0].shape.bounds == (100, 650, 300, 750)
    assert of_imagescope(tmp_path, layer(region()), invert_y=True).drawn[0].shape.bounds == (100, 650, 300, 750)


def test_cytomine_geojson_counts_from_the_bottom_too() -> None:
    one = feature({"type": "Polygon", "coordinates": [SQUARE]}, image=9, instanceFilename="s2.svs", id=77, term=["2+"])
    document = {"type": "FeatureCollection", "features": [one]}
    assert cytomine.is_cytomine(document)
    (drawn,) = of_cytomine(document).drawn
    assert (drawn.slide_id, drawn.roi_id, drawn.class_name) == ("s2", "77", "2+")
    assert drawn.shape.bounds == (100, 250, 300, 350)


@pytest.mark.parametrize(
    ("fields", "source", "slide"),
    [
        ({"instanceFilename": "s1.svs"}, "all.json", "s1"),
        ({"originalFilename": "C:\\scans\\S2.ndpi", "image": 5}, "all.json", "s2"),
        ({"instanceFilename": "other.svs"}, "s1.json", None),
        ({"image": 5}, "s2.json", "s2"),
        ({"image": 5}, "all.json", None),
        ({"image": "s2"}, "s1.json", "s2"),
    ],
)
def test_cytomine_slides_are_matched_by_name_then_number_then_file(
    fields: dict[str, Any], source: str, slide: str | None
) -> None:
    reading = of_cytomine([{"id": 1, "location": "POLYGON((0 0, 9 0, 9 5, 0 0))", **fields}], source)
    assert [d.slide_id for d in reading.drawn] == ([slide] if slide else [])
    assert bool(reading.findings) == (slide is None)


def test_cytomine_slides_are_gone_through_once_however_many_annotations() -> None:
    class Sizes(dict[str, Size]):
        gone_through = 0

        def __iter__(self) -> Iterator[str]:
            self.gone_through += 1
            return super().__iter__()

    sizes, reading = Sizes(SIZES), Reading()
    entries = [{"image": name, "location": "POLYGON((0 0, 9 0, 9 5, 0 0))"} for name in ("S1", "nobody") * 50]
    cytomine.read(entries, Path("all.json"), sizes, reading, invert_y=False)
    assert ([d.slide_id for d in reading.drawn], len(reading.findings)) == (["s1"] * 50, 50)
    assert sizes.gone_through <= 1


def test_cytomine_terms() -> None:
    terms = [[901], ["3+"], [{"id": 4, "name": "Tumour"}], [2], [1, 2], None, [], [{"id": 7}]]
    records = [
        {"image": "s1", "id": i, "term": t, "location": "POLYGON((0 0,9 0,9 5,0 0))"} for i, t in enumerate(terms)
    ]
    names = ["term 901", "3+", "Tumour", "term 2", "term 1 / term 2", None, None, "term 7"]
    assert [d.class_name for d in of_cytomine({"collection": records}).drawn] == names


def test_cytomine_keeps_nothing_that_could_name_anyone() -> None:
    secret = {"user": "SECRET", "project": "SECRET", "imageURL": "SECRET", "creator": {"name": "SECRET"}}
    record = {"id": "SECRET", "image": "s1", "location": "POLYGON((0 0, 9 0, 9 5, 0 0))", "info": "SECRET", **secret}
    reading = of_cytomine([record])
    assert "SECRET" not in repr(reading)


def test_a_deleted_annotation_is_left_out_and_a_broken_one_stops_its_slide() -> None:
    good = {"id": 1, "image": "s1", "location": "POLYGON((0 0, 9 0, 9 5, 0 0))"}
    reading = of_cytomine(
        [good, {**good, "deleted": "1700"}, {**good, "image": "s2", "location": "POLYGON((0 0"}, {"image": "s2"}, 5]
    )
    assert [d.slide_id for d in reading.drawn] == ["s1"]
    assert set(reading.problems) == {"s2"}
    assert [f.detail for f in reading.findings] == ["it was deleted", "it is no annotation"]


@pytest.mark.parametrize("said", ["9", "-1", "yes", "1.0"])
def test_what_may_be_negative_is_not_taken_for_a_region(tmp_path: Path, said: str) -> None:
    with pytest.raises(RegionError, match="NegativeROA 0 or 1"):
        of_imagescope(tmp_path, layer(region(1) + region(2, NegativeROA=said)))


def test_imagescope_regions_types_and_negatives(tmp_path: Path) -> None:
    arrow = region(4, Type="3")
    negative = region(5, NegativeROA="1")
    reading = of_imagescope(tmp_path, layer(region(1) + region(2, Type="2") + region(3, Type="1") + arrow + negative))
    assert [(d.roi_id, d.class_name, d.subtract) for d in reading.drawn] == [
        ("1-1", "Tumor", False),
        ("1-2", "Tumor", False),
        ("1-3", "Tumor", False),
        ("1-5", "Tumor", True),
    ]
    assert reading.drawn[1].shape.area == pytest.approx(20000 * 3.14159 / 4, rel=0.01)
    assert reading.drawn[1].shape.bounds == pytest.approx((100, 50, 300, 150))
    assert "arrow" in reading.findings[0].detail


def test_imagescope_ids_and_layer_names(tmp_path: Path) -> None:
    numbered = of_imagescope(tmp_path, layer(region(1, Text="101020") + region(2, Text="101021")))
    assert [d.roi_id for d in numbered.drawn] == ["101020", "101021"]
    free = of_imagescope(tmp_path, layer(region(1, Text="Jane Smith") + region(2, Text="101021")))
    assert [d.roi_id for d in free.drawn] == ["1-1", "1-2"]
    described = '<Attributes><Attribute Name="Description" Id="0" Value="DCIS"/></Attributes>'
    assert of_imagescope(tmp_path, layer(region(), "", described)).drawn[0].class_name == "DCIS"
    assert of_imagescope(tmp_path, layer(region(), "")).drawn[0].class_name is None


BOMB = """<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;&c;">]>"""
OUTSIDE = '<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize(
    "text",
    [
        BOMB + layer(region(Text="&d;")),
        OUTSIDE + layer(region(Text="&a;")),
        "<Annotations><Annotation>",
        "",
        '<?xml version="1.0" encoding="no-such"?><Annotations/>',
        layer('<Region Id="1"><Vertices><Vertex X="a" Y="1"/><Vertex X="1" Y="1"/></Vertices></Region>'),
        layer('<Region Id="1"><Vertices><Vertex X="1"/></Vertices></Region>'),
        layer(region() + "\x00"),
    ],
)
def test_xml_that_is_not_imagescopes_is_a_region_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(RegionError):
        of_imagescope(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[NaN]",
        "[Infinity]",
        "[" * 100_000,
        '{"a":' * 50_000 + "1" + "}" * 50_000,
        "[" + "9" * 5000 + "]",
        '"\\ud800"x',
    ],
)
def test_text_that_is_not_json_is_a_region_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s1.json"
    path.write_text(text)
    with pytest.raises(RegionError):
        files.read_json(path)


def test_files_too_large_for_annotations_are_not_parsed(tmp_path: Path) -> None:
    path = tmp_path / "s1.geojson"
    with path.open("wb") as file:
        file.write(b'{"type": "FeatureCollection", "features": [')
        file.truncate(100 * 2**20)
    with pytest.raises(RegionError, match="32 MiB"):
        files.read_json(path)
    with pytest.raises(RegionError, match="32 MiB"):
        imagescope.read(path, "s1", SIZES["s1"], Reading(), invert_y=False)


def clean_all(drawn: list[Drawn]) -> None:
    for one in drawn:
        area, _ = cleaned(one.shape, one.where)
        assert area is None or (area.is_valid and area.area > 0)


numbers = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.integers(-(10**30), 10**30),
    st.floats(0, 1000),
    st.integers(0, 1000),
)
points = st.lists(numbers | st.text(max_size=2) | st.none(), max_size=4) | st.tuples(numbers, numbers).map(list)
rings = st.lists(points, max_size=6) | st.lists(
    st.tuples(st.floats(0, 99), st.floats(0, 99)).map(list), min_size=4, max_size=9
).map(lambda ring: [*ring, ring[0]])
anything = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "coordinates", "geometry", "properties", "features", "geometries", "id", "name"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
kinds = st.sampled_from(
    ["Point", "LineString", "Polygon", "MultiPolygon", "MultiPoint", "GeometryCollection", "Feature", "Circle"]
)
geometries = st.fixed_dictionaries(
    {
        "type": kinds,
        "coordinates": st.lists(rings, max_size=3) | st.lists(st.lists(rings, max_size=2), max_size=2) | anything,
    }
)
documents = (
    anything
    | geometries
    | st.lists(geometries, max_size=3)
    | st.fixed_dictionaries({"type": st.just("Feature"), "geometry": geometries | anything, "properties": anything})
    | st.fixed_dictionaries(
        {"type": st.just("FeatureCollection"), "features": st.lists(geometries | anything, max_size=3) | anything}
    )
)


@given(documents)
def test_hostile_geojson_is_shapes_or_a_region_error(document: Any) -> None:
    geojson.is_geojson(document)
    cytomine.is_cytomine(document)
    with contextlib.suppress(RegionError):
        clean_all(of_qupath(document).drawn)


tokens = "POLYGON MULTIPOLYGON GEOMETRYCOLLECTION EMPTY POINT CURVEPOLYGON Z ( ) (( )) , nan inf -1e400 \x00 é"
words = st.sampled_from([*tokens.split(), " ", "0 0", "9 0", "9 9", "0 9"])


@given(st.one_of(st.lists(words, max_size=25).map(" ".join), st.text(max_size=40), st.none(), st.integers()))
def test_hostile_wkt_is_a_shape_or_a_region_error(text: Any) -> None:
    with contextlib.suppress(RegionError):
        shape = cytomine.wkt(text, "annotation 1")
        clean_all([Drawn("s1", None, None, shape, Path("a.json"), "annotation 1")])


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(
                ["id", "image", "instanceFilename", "location", "term", "deleted", "type", "properties", "geometry"]
            ),
            anything | st.just("s1") | st.just("POLYGON((0 0,9 0,9 9,0 0))"),
            max_size=6,
        ),
        max_size=3,
    )
)
def test_hostile_cytomine_records_raise_nothing(records: list[Any]) -> None:
    reading = of_cytomine({"collection": records})
    assert all(isinstance(error, RegionError) for error in reading.problems.values())


def test_wkt_has_bounds() -> None:
    with pytest.raises(RegionError, match="characters"):
        cytomine.wkt("POLYGON((" + "0 0," * 3_000_000 + "0 0))", "here")
    with pytest.raises(RegionError, match="WKT"):
        cytomine.wkt("CURVEPOLYGON EMPTY", "here")
    with pytest.raises(RegionError, match="collections"):
        cytomine.wkt("GEOMETRYCOLLECTION(" * 5000 + "POINT(0 0)" + ")" * 5000, "here")


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared")
def test_real_exports_of_other_projects() -> None:
    folder = SHARED / "annotations"
    document = files.read_json(folder / "cytomine_iris_userannotations.json")
    reading, size = Reading(), Size(100_000, 60_000)
    cytomine.read(document, Path("x.json"), {"94255021": size}, reading, invert_y=False)
    assert [(d.roi_id, d.class_name) for d in reading.drawn] == [
        ("95166527", "term 95202360"),
        ("138246291", "term 95795881"),
        ("138246683", "term 95795881"),
    ]
    qupath_reading = Reading()
    document = files.read_json(folder / "dlup_qupath05.geojson")
    qupath.read(document, Path("x.geojson"), "x", size, qupath_reading, invert_y=False)
    assert [d.class_name for d in qupath_reading.drawn] == [None] * 3
    assert len({d.roi_id for d in qupath_reading.drawn}) == 3
    scope = Reading()
    imagescope.read(folder / "imagescope_test.xml", "x", size, scope, invert_y=False)
    assert [d.roi_id for d in scope.drawn][:2] == ["1-0", "2-0"]
    for one in (reading, qupath_reading, scope):
        clean_all(one.drawn)


def test_a_pipe_given_for_regions_is_named(pipe: Path) -> None:
    with pytest.raises(RegionError, match="a file or a folder of regions, found a pipe"):
        list(files.region_files(pipe))


@needs_permissions
@pytest.mark.parametrize("mode", [0, 0o444])
def test_a_folder_of_regions_that_cannot_be_looked_into(tmp_path: Path, mode: int) -> None:
    shut = tmp_path / "3+"
    for folder in (tmp_path / ".Trash-1000", shut):
        folder.mkdir()
        (folder / "s1.png").touch()
    (tmp_path / ".Trash-1000").chmod(0)
    assert [file.name for file in held_back(lambda: list(files.region_files(tmp_path)))] == ["s1.png"]
    shut.chmod(mode)
    with pytest.raises(RegionError) as caught:
        held_back(lambda: list(files.region_files(tmp_path)))
    shut.chmod(0o755)
    said = str(caught.value)
    assert said.startswith(f"{shut}: expected a folder that can be looked into, found Permission denied.")
