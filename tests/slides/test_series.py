"""DICOM series: which files are one slide, and what it is called."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from drawn_dicom import write_series
from her2_ihc_40x_builder.demo.drawing import draw_field
from her2_ihc_40x_builder.geometry import Box, Size
from her2_ihc_40x_builder.slides.files import find_slides
from her2_ihc_40x_builder.slides.scale import Mpp
from her2_ihc_40x_builder.slides.slide import open_slide
from her2_ihc_40x_builder.slides.tiles import read_windows

PIXELS = draw_field("3+", 0, 600, 400)


def test_a_series_opens_as_one_slide_with_its_scale_from_any_of_its_files(tmp_path: Path) -> None:
    for path in write_series(tmp_path, PIXELS, series="a"):
        with open_slide(path) as slide:
            assert slide.vendor == "dicom"
            assert slide.mpp == Mpp(0.25, 0.25)
            assert slide.objective_power == 40
            assert [level.size for level in slide.levels] == [Size(600, 400), Size(150, 100)]
            box = Box(100, 100, 400, 256)
            [(_, pixels)] = read_windows(slide, [box])
            assert np.array_equal(pixels, slide.read_region(box))
            drawn = PIXELS[100:356, 100:500].astype(int)
            assert np.abs(pixels.astype(int) - drawn).mean() < 5  # JPEG with halved colour


def test_one_series_is_one_slide_named_after_its_folder_or_its_only_file(tmp_path: Path) -> None:
    levels = write_series(tmp_path / "3+" / "x.1", PIXELS, series="a")
    [single] = write_series(tmp_path / "3+", PIXELS, series="b", downsamples=(1,))
    [nested] = write_series(tmp_path / "3+" / "batch", PIXELS, series="c", downsamples=(1,))
    listing = find_slides(tmp_path)
    assert listing.refused == ()
    assert {slide.slide_id: slide.files for slide in listing.slides} == {
        "b-0": (single,),
        "c-0": (nested,),
        "x.1": tuple(levels),
    }


@pytest.mark.parametrize("place", [".", "3+", "class_2"])
def test_a_series_of_several_files_needs_a_folder_that_can_name_it(tmp_path: Path, place: str) -> None:
    write_series(tmp_path / place, PIXELS, series="a")
    write_series(tmp_path / place, PIXELS, series="b", downsamples=(1,))
    listing = find_slides(tmp_path)
    assert [slide.slide_id for slide in listing.slides] == ["b-0"]
    [refused] = listing.refused
    assert "a-0.dcm" in str(refused)
    assert "a folder that has the slide's name" in str(refused)


def test_two_series_of_several_files_in_one_folder_are_both_refused(tmp_path: Path) -> None:
    for series in "ab":
        write_series(tmp_path / "x", PIXELS, series=series)
    listing = find_slides(tmp_path)
    assert listing.slides == ()
    assert sorted(Path(error.subject).name for error in listing.refused) == ["a-0.dcm", "b-0.dcm"]


def test_of_two_places_of_one_name_none_is_taken_and_both_are_named(tmp_path: Path) -> None:
    for folder in ("0", "1+"):
        write_series(tmp_path / folder / "x", PIXELS, series=folder)
    listing = find_slides(tmp_path)
    assert listing.slides == ()
    assert [error.subject for error in listing.refused] == [str(tmp_path / "0" / "x"), str(tmp_path / "1+" / "x")]


def test_a_dicom_file_that_is_no_slide_or_cut_short_is_refused_by_name(tmp_path: Path) -> None:
    first, second = write_series(tmp_path / "x", PIXELS, series="a")
    (tmp_path / "x" / "report.dcm").write_bytes(b"\0" * 128 + b"DICM")
    second.write_bytes(second.read_bytes()[:900])
    listing = find_slides(tmp_path)
    assert [(slide.slide_id, slide.files) for slide in listing.slides] == [("a-0", (first,))]
    assert sorted(Path(error.subject).name for error in listing.refused) == ["a-1.dcm", "report.dcm"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_what_openslide_would_open_beside_a_series_is_looked_at_first(tmp_path: Path) -> None:
    root = tmp_path / "slides"
    write_series(root / "x", PIXELS, series="a")
    write_series(root / "y", PIXELS, series="b")
    [outside] = write_series(tmp_path / "outside", PIXELS, series="b", downsamples=(16,))
    (root / "y" / "level").symlink_to(outside)
    os.mkfifo(root / "x" / ".queue")
    listing = find_slides(root)
    assert listing.slides == ()
    said = "\n".join(map(str, listing.refused))
    assert "'.queue', a pipe" in said
    assert "'level', a link to outside" in said
