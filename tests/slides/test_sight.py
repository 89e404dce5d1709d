"""By what is seen of it, a slide is known whatever its file says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from drawn_dicom import write_series
from her2_ihc_40x_builder.demo.drawing import draw_field
from her2_ihc_40x_builder.demo.synthetic import SlideFormat, write_pixels
from her2_ihc_40x_builder.slides import sight as module
from her2_ihc_40x_builder.slides.sight import sight
from her2_ihc_40x_builder.slides.slide import open_slide

PIXELS = draw_field("3+", 0, 600, 500)
#: A pyramid, and one level alone.
LAYOUTS = [SlideFormat(downsamples=(2,)), SlideFormat(downsamples=())]


def seen(path: Path) -> str | None:
    with open_slide(path) as slide:
        return sight(slide)


@pytest.fixture(params=["whole", "windows"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A level is looked at as a whole, in strips, or it is too large for that."""
    monkeypatch.setattr(module, "_STRIP_PIXELS", 10_000)
    if request.param == "windows":
        monkeypatch.setattr(module, "_MOST_PIXELS", 50_000)
        monkeypatch.setattr(module, "_WINDOW", 32)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("how", LAYOUTS)
def test_what_the_texts_say_does_not_count(tmp_path: Path, how: SlideFormat) -> None:
    path = tmp_path / "one.svs"
    write_pixels(path, PIXELS, how)
    before = seen(path)
    assert before is not None
    tifffile.tiffcomment(path, str(tifffile.tiffcomment(path)).replace("MPP = 0.2500", "MPP = 0.2450|Title = another"))
    assert seen(path) == before


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("how", LAYOUTS)
def test_other_pixels_and_another_size_are_another_slide(tmp_path: Path, how: SlideFormat) -> None:
    others = [PIXELS, draw_field("3+", 1, 600, 500), PIXELS[:-20], PIXELS[:, 20:]]
    for number, pixels in enumerate(others):
        write_pixels(tmp_path / f"{number}.svs", pixels, how)
    assert len({seen(path) for path in tmp_path.iterdir()} - {None}) == len(others)


@pytest.mark.usefixtures("way")
def test_one_colour_tells_nothing(tmp_path: Path) -> None:
    pixels = np.full((480, 480, 3), 240, np.uint8)  # of whole tiles: no edge rings
    write_pixels(tmp_path / "blank.svs", pixels, SlideFormat(downsamples=(2,)))
    assert seen(tmp_path / "blank.svs") is None


def test_a_level_that_is_too_small_to_tell_is_passed_over(tmp_path: Path) -> None:
    for number in range(2):
        pixels = np.full((512, 512, 3), 240, np.uint8)
        pixels[number * 64 :, 100] = 40  # of which a level of 2 x 2 pixels shows little
        write_pixels(tmp_path / f"{number}.svs", pixels, SlideFormat(downsamples=(256,)))
    assert seen(tmp_path / "0.svs") != seen(tmp_path / "1.svs")


def test_dicom_under_other_names_is_the_same(tmp_path: Path) -> None:
    one, other = (
        write_series(tmp_path / series, PIXELS, series=series, patient=patient)[0]
        for series, patient in (("first", "Roe^Jane"), ("second", "Doe^John"))
    )
    assert one.read_bytes() != other.read_bytes()
    assert seen(one) == seen(other) is not None


def test_pixels_that_cannot_be_read_tell_nothing(tmp_path: Path) -> None:
    path = tmp_path / "damaged.svs"
    write_pixels(path, PIXELS, SlideFormat(downsamples=(2,)))
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[-1]
        start, count = page.dataoffsets[0], page.databytecounts[0]
    with path.open("r+b") as file:
        file.seek(start)
        file.write(bytes(count))
    assert seen(path) is None
