"""The report of a build: overlays and a page beside the data set."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drawn_slides import SIZE, Cohort, boxes, build
from her2_ihc_40x_builder.errors import OutputError
from her2_ihc_40x_builder.report import check_place, write_report

BLUE, GREEN, RED = (20, 90, 220), (20, 150, 60), (220, 30, 30)


def count(picture: Image.Image, colour: tuple[int, int, int]) -> int:
    return int((np.asarray(picture) == colour).all(axis=2).sum())


def test_overlays_show_regions_kept_and_dropped_windows(own_cohort: Cohort, tmp_path: Path) -> None:
    own_cohort.slide("B").rename(own_cohort.slide("B").with_name("<b>&.svs"))
    (own_cohort.regions / "B.geojson").rename(own_cohort.regions / "<b>&.geojson")
    result = build(own_cohort, tmp_path / "out", min_tissue=0.97)
    dropped = {slide: {drop["patch_id"] for drop in unit["dropped"]} for slide, unit in result.manifest.units.items()}
    report = tmp_path / "report"
    write_report(result, tmp_path / "out", report, workers=2)
    page = (report / "index.html").read_text()
    assert "<b>&" not in page
    assert "&lt;b&gt;&amp;" in page
    overlays = sorted(report.glob("*.png"))
    assert len(overlays) == 4
    for path, slide in zip(overlays, result.plan.slides, strict=True):
        assert path.name in page
        with Image.open(path) as picture:
            assert max(picture.size) == max(SIZE.width, SIZE.height)
            region = boxes()[0]
            assert picture.getpixel((region.x, region.y + 3)) == BLUE
            near = picture.crop((region.x + 6, region.y + 6, region.x + 40, region.y + 40))
            assert count(near, BLUE) >= 10
            assert bool(count(picture, RED)) == bool(dropped[slide.slide_id])
            assert bool(count(picture, GREEN)) == (len(dropped[slide.slide_id]) < 7)
    assert any(dropped.values())


def test_it_is_replaced_and_never_replaces_anything_else(own_cohort: Cohort, tmp_path: Path) -> None:
    for slide in "BCD":
        own_cohort.slide(slide).unlink()
        (own_cohort.regions / f"{slide}.geojson").unlink()
    result = build(own_cohort, tmp_path / "out", intensity="none")
    report = tmp_path / "report"
    write_report(result, tmp_path / "out", report, workers=1)
    (report / "9999.png").write_text("of somebody else")
    with pytest.raises(OutputError, match=r"found 9999\.png\. Move what is yours"):
        write_report(result, tmp_path / "out", report, workers=1)
    (report / "9999.png").unlink()
    (report / "0000.png").write_text("of an earlier build")
    write_report(result, tmp_path / "out", report, workers=1)
    with Image.open(report / "0000.png") as picture:
        assert picture.format == "PNG"
    assert sorted(path.name for path in report.iterdir()) == ["0000.png", "dropped.csv", "index.html"]
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "index.html").write_text("<title>My thesis</title>")
    for place in (theirs, tmp_path / "out", tmp_path / "out" / "report", tmp_path):
        with pytest.raises(OutputError, match="--report"):
            write_report(result, tmp_path / "out", place, workers=1)
    assert (theirs / "index.html").read_text() == "<title>My thesis</title>"
    check_place(tmp_path / "new", tmp_path / "out")


def test_a_slide_that_is_gone_since_is_named(own_cohort: Cohort, tmp_path: Path) -> None:
    result = build(own_cohort, tmp_path / "out", intensity="none")
    shutil.rmtree(own_cohort.slides / "0")
    write_report(result, tmp_path / "out", tmp_path / "report", workers=2)
    assert len(list((tmp_path / "report").glob("*.png"))) == 3
    assert "no file" in (tmp_path / "report" / "index.html").read_text()
