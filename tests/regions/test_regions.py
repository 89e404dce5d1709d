"""Regions of whole folders: sources that agree, sources that do not, and everything that has to be reported."""

from __future__ import annotations

import gzip
import json
import os
import re
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from PIL import Image
from shapely.affinity import affine_transform
from shapely.geometry.base import BaseGeometry

from her2_ihc_40x_builder.errors import LabelError, RegionError
from her2_ihc_40x_builder.geometry import Box
from her2_ihc_40x_builder.placing.search import SlideLike
from her2_ihc_40x_builder.regions import ClassRules, Region, RegionOptions, RegionSet, read_regions
from her2_ihc_40x_builder.regions.model import Finding, Kind

Slides = dict[str, SlideLike]
Cut = Callable[..., NDArray[np.uint8]]

#: Region id to outline, one set a slide: a rectangle, an octagon, a rectangle less a corner.
OUTLINES: dict[str, dict[str, Any]] = {
    "alpha": {
        "11": shapely.box(300, 500, 940, 1080),
        "12": shapely.Polygon(
            [
                (1200, 800),
                (1600, 800),
                (1800, 1000),
                (1800, 1400),
                (1600, 1600),
                (1200, 1600),
                (1000, 1400),
                (1000, 1000),
            ]
        ),
    },
    "gamma_2": {"21": shapely.Polygon([(300, 700), (900, 700), (1100, 900), (1100, 1500), (300, 1500)])},
}
#: Real slides of each class, one of them of an odd size.
HALF = ("S2572DE", "S2F3017", "S9A998D", "S148DF4")
LABELS = {"alpha": "3+", "gamma_2": "0"}


def of(found: RegionSet, kind: Kind) -> list[Finding]:
    return [finding for finding in found.findings if finding.kind == kind]


def cytomine(slides: Slides, outlines: Mapping[str, Mapping[str, shapely.Polygon]] = OUTLINES, **more: Any) -> str:
    records = []
    for slide, shapes in outlines.items():
        height = slides[slide].size.height
        for roi, shape in shapes.items():
            wkt = affine_transform(shape, [1, 0, 0, -1, 0, height]).wkt
            records.append({"id": int(roi), "image": 5, "instanceFilename": f"{slide}.svs", "location": wkt, **more})
    return json.dumps({"collection": records})


def qupath(shapes: Mapping[str, BaseGeometry], **more: Any) -> str:
    return json.dumps(
        [
            {"type": "Feature", "geometry": json.loads(shapely.to_geojson(shape)), "properties": {"name": roi, **more}}
            for roi, shape in shapes.items()
        ]
    )


def imagescope(shapes: Mapping[str, shapely.Polygon]) -> str:
    regions = ""
    for i, (roi, shape) in enumerate(shapes.items()):
        vertices = "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in list(shape.exterior.coords)[:-1])
        regions += f'<Region Id="{i}" Type="0" Text="{roi}"><Vertices>{vertices}</Vertices></Region>'
    return f'<Annotations><Annotation Id="1" Name="Tumor"><Regions>{regions}</Regions></Annotation></Annotations>'


def mask_of(shape: BaseGeometry, slide: SlideLike, scale: int) -> NDArray[np.uint8]:
    width, height = slide.size.width // scale, slide.size.height // scale
    rows, columns = np.mgrid[:height, :width]
    inside = shapely.contains_xy(shape, (columns + 0.5) * scale, (rows + 0.5) * scale)
    return np.where(inside, 255, 0).astype(np.uint8)


def write_crops(folder: Path, slides: Slides, cut: Cut, labels: Mapping[str, str] = LABELS) -> None:
    for slide, shapes in OUTLINES.items():
        for roi, shape in shapes.items():
            left, top, right, bottom = map(int, shape.bounds)
            box = Box(top, left, right - left, bottom - top)
            rgb = cut(slides[slide], box, 2.0 if roi == "21" else 1.0)
            if roi == "12":
                alpha = mask_of(affine_transform(shape, [1, 0, 0, 1, -left, -top]), slides[slide], 1)
                rgb = np.dstack([rgb, alpha[: rgb.shape[0], : rgb.shape[1]]])
            path = folder / labels[slide] / f"{slide}_{roi}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rgb).save(path, compress_level=1)


def read(path: Path, slides: Slides, *, invert_y: bool = False, **rules: Any) -> RegionSet:
    return read_regions(path, slides.values(), RegionOptions(ClassRules(**rules), invert_y))


def check_bounds(
    regions: tuple[Region, ...], within: float, slides: tuple[str, ...] = ("alpha", "gamma_2"), lone: str = "21"
) -> None:
    """`lone` is the id of the region that is alone on its slide."""
    ids = {"21": lone}
    wanted = {(slide, ids.get(roi, roi)): shape for slide in slides for roi, shape in OUTLINES[slide].items()}
    assert [(r.slide_id, r.roi_id) for r in regions] == sorted(wanted)
    for region in regions:
        expected = wanted[region.slide_id, region.roi_id]
        assert np.abs(np.subtract(region.polygon.bounds, expected.bounds)).max() <= within


def test_crops_are_regions_with_their_folders_class(slides: Slides, cut: Cut, tmp_path: Path) -> None:
    write_crops(tmp_path / "ROI", slides, cut)
    found = read(tmp_path, slides)
    assert found.problems == {}
    check_bounds(found.regions[:2], 0, ("alpha",))
    check_bounds(found.regions, 2)
    assert [r.label for r in found.regions] == ["3+", "3+", "0"]
    octagon = found.regions[1].polygon
    assert octagon.symmetric_difference(OUTLINES["alpha"]["12"]).area < 0.01 * octagon.area
    assert [f.subject for f in of(found, "slide without region")] == ["beta"]


def test_a_crop_with_noise_for_an_outline_stops_its_own_slide_alone(slides: Slides, cut: Cut, tmp_path: Path) -> None:
    write_crops(tmp_path / "ROI", slides, cut)
    alpha = np.full((900, 1000), 255, np.uint8)
    alpha[:, 300:] = np.random.default_rng(0).choice([0, 255], (900, 700))
    rgba = np.dstack([cut(slides["beta"], Box(500, 300, 1000, 900)), alpha])
    Image.fromarray(rgba).save(tmp_path / "ROI" / "0" / "beta_31.png", compress_level=1)
    found = read(tmp_path, slides)
    assert list(found.problems) == ["beta"]
    assert "beta_31.png" in str(found.problems["beta"])
    assert "runs of pixels" in str(found.problems["beta"])
    check_bounds(found.regions, 2)


def test_cytomine_qupath_and_imagescope_give_the_same_regions(slides: Slides, tmp_path: Path) -> None:
    sets = []
    for name in ("cytomine", "qupath", "imagescope"):
        folder = tmp_path / name
        folder.mkdir()
        if name == "cytomine":
            (folder / "export.txt.anything").write_text(cytomine(slides))  # found by content, not by name
        for slide, shapes in OUTLINES.items():
            if name == "qupath":
                (folder / f"{slide}.json").write_text(qupath(shapes))
            if name == "imagescope":
                (folder / f"{slide}.tiff.xml").write_text(imagescope(shapes))
        found = read(folder, slides)
        assert found.problems == {}
        check_bounds(found.regions, 0, lone={"qupath": "x300y700", "imagescope": "1-0"}.get(name, "21"))
        sets.append([r.polygon.normalize().wkt for r in found.regions])
    assert sets[0] == sets[1] == sets[2]


@pytest.mark.parametrize("scale", [1, 4, 10])
def test_masks_give_the_same_regions_at_any_scale(slides: Slides, tmp_path: Path, scale: int) -> None:
    for slide, shapes in OUTLINES.items():
        for roi, shape in shapes.items():
            Image.fromarray(mask_of(shape, slides[slide], scale)).save(tmp_path / f"{slide}_{roi}.png")
    check_bounds(read(tmp_path, slides).regions, 0.5 if scale == 1 else scale)


def test_one_mask_of_a_slide_falls_into_its_pieces(slides: Slides, tmp_path: Path) -> None:
    left, right = OUTLINES["alpha"].values()
    both = mask_of(left, slides["alpha"], 4) | mask_of(right, slides["alpha"], 4)
    Image.fromarray(both > 0).save(tmp_path / "alpha.png")
    regions = read(tmp_path, slides).regions
    assert [r.roi_id for r in regions] == ["x1000y800", "x300y500"]
    assert {r.label for r in regions} == {None}


def test_values_of_a_mask_are_classes_to_be_named(slides: Slides, tmp_path: Path) -> None:
    left, right = OUTLINES["alpha"].values()
    values = np.where(mask_of(left, slides["alpha"], 4) > 0, 1, 0) + np.where(
        mask_of(right, slides["alpha"], 4) > 0, 2, 0
    )
    Image.fromarray(values.astype(np.uint8)).save(tmp_path / "alpha.png")
    with pytest.raises(LabelError, match="'value 1' \\(1\\), 'value 2' \\(1\\)"):
        read(tmp_path, slides)
    found = read(tmp_path, slides, labels={"value 2": "2+"}, exclude=frozenset({"value 1"}))
    assert [(r.roi_id, r.label) for r in found.regions] == [("x1000y800", "2+")]


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("alpha.png", np.zeros((100, 170), np.uint8), "shape of alpha"),
        ("alpha.png", np.arange(470 * 520).reshape(470, 520).astype(np.uint8), "at most 8 values"),
        ("alpha.png", np.random.default_rng(0).integers(0, 255, (470, 520, 3), np.uint8), "crop with an id"),
    ],
)
def test_pictures_that_are_no_masks_stop_their_slide(
    slides: Slides, tmp_path: Path, name: str, values: NDArray[np.uint8], said: str
) -> None:
    Image.fromarray(values).save(tmp_path / name)
    found = read(tmp_path, slides)
    assert set(found.problems) == {"alpha"}
    assert said in str(found.problems["alpha"])


def test_a_crop_and_its_annotation_are_one_region(slides: Slides, cut: Cut, tmp_path: Path) -> None:
    write_crops(tmp_path / "ROI", slides, cut)
    (tmp_path / "export.json").write_text(cytomine(slides, term=["Tumor"]))
    found = read(tmp_path, slides)
    assert found.problems == {}
    check_bounds(found.regions, 0)
    assert [(r.label, r.source.name) for r in found.regions] == [(x, "export.json") for x in ("3+", "3+", "0")]


def test_two_classes_for_one_region_stop_its_slide_and_name_both(slides: Slides, cut: Cut, tmp_path: Path) -> None:
    write_crops(tmp_path / "ROI", slides, cut)
    (tmp_path / "export.json").write_text(cytomine(slides, term=["3+"]))
    found = read(tmp_path, slides)
    for part in ("gamma_2, region 21", "'3+'", "export.json", "'0'", "gamma_2_21.png"):
        assert part in str(found.problems["gamma_2"])
    assert {region.slide_id for region in found.regions} == {"alpha"}


def test_a_tumour_region_that_another_source_excludes_stops_its_slide(slides: Slides, tmp_path: Path) -> None:
    (tmp_path / "alpha.geojson").write_text(qupath(OUTLINES["alpha"], classification={"name": "DCIS"}))
    (tmp_path / "alpha.xml").write_text(imagescope(OUTLINES["alpha"]))
    found = read(tmp_path, slides, exclude=frozenset({"DCIS"}))
    assert re.search(r"'DCIS'.*'Tumor'|'Tumor'.*'DCIS'", str(found.problems["alpha"]))


def test_an_upside_down_export_is_found_out_by_its_crops(slides: Slides, cut: Cut, tmp_path: Path) -> None:
    write_crops(tmp_path / "ROI", slides, cut)
    for slide, shapes in OUTLINES.items():
        height = slides[slide].size.height
        turned = {roi: affine_transform(shape, [1, 0, 0, -1, 0, height]) for roi, shape in shapes.items()}
        (tmp_path / f"{slide}.geojson").write_text(qupath(turned))
    found = read(tmp_path, slides)
    assert found.regions == ()
    assert set(found.problems) == {"alpha", "gamma_2"}
    assert "--invert-y" in str(found.problems["alpha"])
    check_bounds(read(tmp_path, slides, invert_y=True).regions, 0)


def test_invert_y_says_that_it_leaves_pictures_as_they_are(tmp_path: Path, slides: Slides) -> None:
    mask = np.zeros((64, 64), np.uint8)
    Image.fromarray(mask).save(tmp_path / "s1.png")
    subjects = [finding.subject for finding in of(read(tmp_path, slides, invert_y=True), "ignored")]
    assert any(subject.startswith("--invert-y for ") for subject in subjects)
    assert not any(finding.subject.startswith("--invert-y") for finding in read(tmp_path, slides).findings)


def test_invert_y_opens_no_pipe(tmp_path: Path, slides: Slides, pipe: Path) -> None:
    os.link(pipe, tmp_path / "alpha.geojson")
    assert "a pipe" in str(read(tmp_path, slides, invert_y=True).problems["alpha"])


def test_a_crop_without_a_place_stops_its_slide_alone(slides: Slides, cut: Cut, tmp_path: Path) -> None:
    write_crops(tmp_path, slides, cut)
    Image.fromarray(cut(slides["beta"], Box(600, 600, 600, 600))).save(tmp_path / "3+" / "alpha_99.png")
    found = read(tmp_path, slides)
    assert {r.slide_id for r in found.regions} == {"gamma_2"}
    assert "beta" in found.problems["alpha"].remedy


def test_a_crop_too_small_to_place_still_gives_its_annotation_a_class(slides: Slides, cut: Cut, tmp_path: Path) -> None:
    small = {"5": shapely.box(500, 700, 600, 800)}
    (tmp_path / "alpha.geojson").write_text(qupath(small))
    (tmp_path / "2+").mkdir()
    Image.fromarray(cut(slides["alpha"], Box(700, 500, 100, 100))).save(tmp_path / "2+" / "alpha_5.png")
    found = read(tmp_path, slides)
    assert [(r.roi_id, r.label, r.source.name) for r in found.regions] == [("5", "2+", "alpha.geojson")]
    assert "does not check" in of(found, "ignored")[0].detail


def test_a_lone_number_as_a_name_finds_its_crop_and_is_not_kept(slides: Slides, cut: Cut, tmp_path: Path) -> None:
    """It may be a patient's, where different numbers on one slide are a database's."""
    one, two = shapely.box(500, 700, 1100, 1300), shapely.box(1200, 1400, 1900, 1900)
    for shapes, kept in (({"7700519": one}, ["x500y700"]), ({"7": one, "8": two}, ["7", "8"])):
        (tmp_path / "alpha.geojson").write_text(qupath(shapes))
        found = read(tmp_path, slides)
        assert [region.roi_id for region in found.regions] == kept
    (tmp_path / "alpha.geojson").write_text(qupath({"5": one}))
    Image.fromarray(cut(slides["alpha"], Box(700, 500, 600, 600))).save(tmp_path / "alpha_5.png")
    found = read(tmp_path, slides)
    assert [(region.roi_id, region.source.name) for region in found.regions] == [("5", "alpha.geojson")]


def test_negative_ignored_and_excluded_shapes_are_subtracted(slides: Slides, tmp_path: Path) -> None:
    whole = shapely.box(0, 0, 1000, 1000)
    cuts = {"Ignore*": shapely.box(0, 0, 100, 1000), "Necrosis": shapely.box(900, 0, 1000, 1000)}
    features = json.loads(qupath({"": whole}))
    for name, shape in cuts.items():
        features += json.loads(qupath({"": shape}, classification={"name": name}))
    (tmp_path / "beta.geojson").write_text(json.dumps(features))
    found = read(tmp_path, slides, exclude=frozenset({"necrosis"}))
    (region,) = found.regions
    assert region.polygon.equals(shapely.box(100, 0, 900, 1000))
    assert of(found, "shape subtracted")[0].subject == "beta, region x0y0"
    negative = imagescope({"1": whole, "2": cuts["Necrosis"]}).replace('Text="2"', 'Text="2" NegativeROA="1"')
    (tmp_path / "beta.geojson").unlink()
    (tmp_path / "beta.xml").write_text(negative)
    (region,) = read(tmp_path, slides).regions
    assert region.polygon.equals(shapely.box(0, 0, 900, 1000))


def test_everything_that_is_lost_is_reported_by_name(slides: Slides, tmp_path: Path) -> None:
    shapes: dict[str, BaseGeometry] = {
        "1": shapely.box(-100, 500, 900, 1000),
        "2": shapely.box(5000, 5000, 6000, 6000),
        "3": shapely.Polygon([(0, 0), (500, 500), (500, 0), (0, 500)]),
        "4": shapely.LineString([(0, 0), (9, 9)]),
    }
    (tmp_path / "alpha.geojson").write_text(qupath(shapes))
    (tmp_path / "delta.geojson").write_text(qupath(shapes))
    (tmp_path / "delta_1.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "delta_2.png").write_bytes(b"")
    (tmp_path / "notes.rtf").write_text("hello")
    (tmp_path / "thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    found = read(tmp_path, slides)
    assert [r.roi_id for r in found.regions] == ["1", "3"]
    told = {(f.kind, Path(f.subject.split(",")[0]).name, f.subject.split(" ")[-1]) for f in found.findings}
    assert {
        ("region clipped", "alpha", "1"),
        ("region outside slide", "alpha", "2"),
        ("shape repaired", "alpha.geojson", "3"),
        ("ignored", "alpha.geojson", "4"),
    } <= told
    assert len(of(found, "region without slide")) == 3
    assert [f.subject for f in of(found, "slide without region")] == ["beta", "gamma_2"]
    for neighbour in ("notes.rtf", "thumbs.db"):
        assert any(neighbour in f.subject for f in of(found, "ignored"))


def test_a_slide_that_is_spelled_otherwise_is_told_and_not_taken(slides: Slides, tmp_path: Path) -> None:
    (tmp_path / "al\u00adpha.svs.geojson").write_text(qupath(OUTLINES["alpha"]))
    (tmp_path / "Al pha_with_12.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "export.json").write_text(cytomine(slides).replace("alpha.svs", "alpha\u200b.svs"))
    found = read(tmp_path, slides)
    assert "alpha" not in {region.slide_id for region in found.regions}
    told = {finding.detail.partition("; ")[2].partition(" differs from ")[0] for finding in found.findings}
    assert told - {""} == {r"'al\xadpha'", "'Al pha'", r"'alpha\u200b'"}
    for finding in of(found, "region without slide"):
        assert finding.detail.endswith(" differs from the slide 'alpha' only in case, blanks or Unicode form")


def test_unknown_classes_of_all_files_are_listed_at_once(slides: Slides, tmp_path: Path) -> None:
    (tmp_path / "alpha.geojson").write_text(qupath(OUTLINES["alpha"], classification={"name": "Region*"}))
    (tmp_path / "beta.geojson").write_text(qupath(OUTLINES["alpha"], classification={"name": "Benign"}))
    with pytest.raises(LabelError, match=r"'Benign' \(2\), 'Region\*' \(2\)"):
        read(tmp_path, slides)
    found = read(tmp_path, slides, include=frozenset({"Region*"}), exclude=frozenset({"Benign"}))
    assert [(r.label, r.class_name) for r in found.regions] == [(None, "Region*")] * 2


def test_one_outline_under_two_ids_is_one_region(slides: Slides, tmp_path: Path) -> None:
    shape = OUTLINES["alpha"]["12"]
    nearly = affine_transform(shape, [1, 0, 0, 1, 1, 1])
    (tmp_path / "alpha.geojson").write_text(qupath({"1": shape, "2": nearly}))
    found = read(tmp_path, slides)
    assert [r.roi_id for r in found.regions] == ["1"]
    assert "same outline twice" in of(found, "ignored")[0].detail
    (tmp_path / "alpha.xml").write_text(imagescope({"8": shape, "9": nearly}).replace('"Tumor"', '"3+"'))
    (tmp_path / "alpha.geojson").write_text(qupath({"1": shape}, classification={"name": "2+"}))
    assert "one class for one outline" in str(read(tmp_path, slides).problems["alpha"])


def test_numbers_in_place_of_classes(slides: Slides, tmp_path: Path) -> None:
    export = tmp_path / "export.json"
    export.write_text(cytomine(slides, term=[2]))
    found = read(export, slides)
    assert {(r.label, r.class_name) for r in found.regions} == {(None, None)}
    assert of(found, "class not named")[0].subject == "term 2"
    assert {r.label for r in read(export, slides, labels={"term 2": "1+"}).regions} == {"1+"}
    document = json.loads(export.read_text())
    document["collection"][0]["term"] = [3]
    export.write_text(json.dumps(document))
    with pytest.raises(LabelError, match="'term 2' \\(2\\), 'term 3' \\(1\\)"):
        read(export, slides)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.json", "{"),
        ("x.json", '{"a": 1}'),
        ("x.json", "[1]"),
        ("x.json", ""),
        ("x.geojson", '\x3b"type": "FeatureCollection", "features": []}'),
    ],
)
def test_an_unreadable_file_of_no_slide_stops_everything(slides: Slides, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(RegionError, match=name):
        read(tmp_path, slides)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("alpha.json", b"{"),
        ("alpha.json", b'{"a": 1}'),
        ("alpha.xml", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"),
        ("alpha_1.png", b"\x89PNG\r\n\x1a\n" + b"\x00" * 100),
        ("alpha.geojson", b'{"type": "Polygon", "coordinates": [[[0, 0], [1e400, 1], [1, 1], [0, 0]]]}'),
        ("alpha.geojson", b';"type": "FeatureCollection", "features": []}'),
        ("alpha.json", '{"type": "FeatureCollection", "features": []}'.encode("utf-16")),
        ("alpha.geojson", gzip.compress(b'{"type": "FeatureCollection", "features": []}', mtime=0)),
        ("alpha.xml", b"|Annotations/>"),
        ("alpha.PNG", b"\xff\xd8\xff\xe0\0\x10JFIF\0"),
        ("alpha_1.png", b"II*\0" + b"\0" * 100),
        ("alpha.png", b""),
        ("alpha.geojson", b""),
        ("alpha.xml", b""),
    ],
)
def test_an_unreadable_file_of_a_slide_stops_that_slide(slides: Slides, tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    (tmp_path / "gamma_2.geojson").write_text(qupath(OUTLINES["gamma_2"]))
    found = read(tmp_path, slides)
    assert set(found.problems) == {"alpha"}
    assert [r.slide_id for r in found.regions] == ["gamma_2"]


def test_a_bomb_is_refused_by_its_header(slides: Slides, tmp_path: Path) -> None:
    bomb = cv2.imencode(".png", np.zeros((1, 1, 3), np.uint8))[1].tobytes()
    wide = (60_000).to_bytes(4, "big")
    header = b"IHDR" + wide + wide + bomb[24:29]
    data = bomb[:12] + header + zlib.crc32(header).to_bytes(4, "big") + bomb[33:]
    (tmp_path / "alpha_1.png").write_bytes(data)
    assert "pixels" in str(read(tmp_path, slides).problems["alpha"])


def test_nothing_there_and_two_slides_of_one_id(slides: Slides, tmp_path: Path) -> None:
    with pytest.raises(RegionError, match="--regions"):
        read(tmp_path / "none", slides)
    with pytest.raises(LabelError, match="one slide of that id"):
        read_regions(tmp_path, [slides["alpha"], slides["alpha"]])


def test_the_order_of_slides_and_records_does_not_matter(slides: Slides, tmp_path: Path) -> None:
    Image.fromarray(mask_of(OUTLINES["alpha"]["12"], slides["alpha"], 4)).save(tmp_path / "alpha_12.png")
    (tmp_path / "export.json").write_text(cytomine(slides))
    one = read_regions(tmp_path, slides.values())
    records = json.loads((tmp_path / "export.json").read_text())
    records["collection"].reverse()
    (tmp_path / "export.json").write_text(json.dumps(records))
    other = read_regions(tmp_path, reversed(slides.values()))
    assert one == other


@pytest.mark.shared
def test_real_sources_give_the_same_regions(real_slides: Slides, real: Path, tmp_path: Path) -> None:
    annotations = {r.roi_id: r for r in read(real / "annotations" / "cytomine.json", real_slides).regions}
    assert len(annotations) == 24
    for roi, region in annotations.items():
        slide = real_slides[region.slide_id]
        Image.fromarray(mask_of(region.polygon, slide, 8)).save(tmp_path / f"{region.slide_id}_{roi}.png")
    for path, within in (
        (real / "annotations" / "qupath", 1e-6),
        (real / "annotations" / "imagescope", 1e-6),
        (tmp_path, 8),
        (real / "ROI", None),
    ):
        # Crops are compared with every slide, so that half the slides are a quarter of the work.
        some = {slide: real_slides[slide] for slide in HALF} if path.name == "ROI" else real_slides
        found = read(path, some)
        assert found.problems == {}
        wanted = sorted((region.slide_id, roi) for roi, region in annotations.items() if region.slide_id in some)
        assert [(region.slide_id, region.roi_id) for region in found.regions] == wanted
        for region in found.regions:
            expected = annotations[region.roi_id]
            assert region.slide_id == expected.slide_id
            # Crops: whole pixels around a polygon's box (1), half scale (2), and to the pixel where the box is whole.
            allowed = within if within is not None else {"0": 0, "1": 1, "2": 2}[region.roi_id[-1]]
            assert np.abs(np.subtract(region.polygon.bounds, expected.polygon.bounds)).max() <= allowed
            if region.roi_id.endswith("1"):
                joint = region.polygon.union(expected.polygon).area
                assert region.polygon.intersection(expected.polygon).area > 0.97 * joint
    assert {r.slide_id: r.label for r in found.regions}["S148DF4"] == "3+"


@pytest.mark.shared
def test_real_crops_and_annotations_together(real_slides: Slides, real: Path) -> None:
    found = read(real, {"S148DF4": real_slides["S148DF4"]})
    assert found.problems == {}
    assert [(r.label, r.class_name, r.source.suffix) for r in found.regions] == [("3+", "3+", ".json")] * 3
