from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from her2_ihc_40x_builder.demo.synthetic import SlideFormat, write_pixels, write_slide
from her2_ihc_40x_builder.errors import SlideError
from her2_ihc_40x_builder.geometry import Box, Size
from her2_ihc_40x_builder.slides.scale import Mpp
from her2_ihc_40x_builder.slides.slide import MAX_READ_PIXELS, _on_background, open_slide

SHARED = Path(__file__).resolve().parents[3] / "shared"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not here")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    how = SlideFormat(downsamples=(2, 4))
    return write_slide(tmp_path_factory.mktemp("drawn") / "s.svs", "3+", 0, Size(1000, 700), how).path


def test_what_a_slide_says_of_itself(drawn: Path) -> None:
    with open_slide(drawn) as slide:
        assert slide.vendor == "aperio"
        assert slide.size == Size(1000, 700)
        assert [level.size for level in slide.levels] == [Size(1000, 700), Size(500, 350), Size(250, 175)]
        assert [level.downsample for level in slide.levels] == [1.0, 2.0, 4.0]
        assert slide.mpp == Mpp(0.25, 0.25)
        assert slide.objective_power == 40
        assert slide.background == (255, 255, 255)


def test_what_a_slide_does_not_say_is_none(tmp_path: Path) -> None:
    drawn = write_slide(tmp_path / "s.svs", "0", 0, Size(300, 300), SlideFormat(mpp=None, objective_power=None))
    with open_slide(drawn.path) as slide:
        assert slide.mpp is None
        assert slide.objective_power is None


@pytest.mark.parametrize(("stated", "mpp"), [(b"0,2500", Mpp(0.25, 0.25)), (b"0.0000", None), (b"unsure", None)])
def test_odd_spellings_of_the_scale(drawn: Path, tmp_path: Path, stated: bytes, mpp: Mpp | None) -> None:
    path = tmp_path / "odd.svs"
    path.write_bytes(drawn.read_bytes().replace(b"MPP = 0.2500", b"MPP = " + stated))
    with open_slide(path) as slide:
        assert slide.mpp == mpp


def test_free_text_of_the_scanner_is_not_passed_on(tmp_path: Path) -> None:
    path = write_slide(tmp_path / "s.svs", "0", 0, Size(300, 300)).path
    path.write_bytes(path.read_bytes().replace(b"Image Library v12", b"Jane Roe 1950 v12"))
    with open_slide(path) as slide:
        shown = [str(getattr(slide, name)) for name in dir(slide) if not name.startswith("_")]
    assert "aperio" in shown
    assert not any("Jane Roe" in text for text in shown)


def test_the_content_key_stays_when_the_file_is_renamed(drawn: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "pseudonym.svs"
    renamed.write_bytes(drawn.read_bytes())
    other = write_slide(tmp_path / "other.svs", "3+", 1, Size(1000, 700)).path
    with open_slide(drawn) as a, open_slide(renamed) as b, open_slide(other) as c:
        assert a.content_key == b.content_key
        assert a.content_key != c.content_key


def test_without_a_quickhash_the_content_key_is_the_files_sha256(tmp_path: Path) -> None:
    # OpenSlide gives none where the lowest level holds over 5 MB.
    noise = np.random.default_rng(0).integers(0, 256, (1800, 1800, 3), dtype=np.uint8)
    path = tmp_path / "noise.svs"
    write_pixels(path, noise, SlideFormat(ycbcr=False, downsamples=()))
    with open_slide(path) as slide:
        assert slide.content_key == hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_lies_outside_has_the_background_colour(drawn: Path) -> None:
    with open_slide(drawn) as slide:
        inside = slide.read_region(Box(600, 900, 100, 100))
        across = slide.read_region(Box(600, 900, 150, 120))
    assert across.dtype == np.uint8
    np.testing.assert_array_equal(across[:100, :100], inside)
    assert (across[100:] == 255).all()
    assert (across[:, 100:] == 255).all()


def test_transparent_pixels_are_laid_on_the_background() -> None:
    rgba = np.zeros((1, 3, 4), dtype=np.uint8)
    rgba[0, :, :3] = (10, 20, 30)
    rgba[0, :, 3] = (255, 0, 51)
    rgb = _on_background(Image.fromarray(rgba), (240, 230, 220))
    assert rgb.tolist() == [[[10, 20, 30], [240, 230, 220], [194, 188, 182]]]


def test_a_level_is_read_in_its_own_pixels(drawn: Path) -> None:
    with open_slide(drawn) as slide:
        fine = slide.read_region(Box(80, 120, 400, 400))
        coarse = slide.read_level(2, Box(20, 30, 100, 100))
    reduced = np.asarray(Image.fromarray(fine).reduce(4)).astype(int)
    # JPEG's loss apart, it is the same place: a shift by one pixel of the level doubles the difference.
    assert np.abs(reduced - coarse).mean() < 6
    assert np.abs(reduced[:, :-1] - coarse[:, 1:]).mean() > 2 * np.abs(reduced - coarse).mean()


@pytest.mark.parametrize(
    "box", [Box(0, 0, 0, 10), Box(0, 0, 10, -1), Box(0, 0, MAX_READ_PIXELS, 2), Box(0, 0, 1 << 40, 1 << 40)]
)
def test_a_read_is_bounded(drawn: Path, box: Box) -> None:
    with open_slide(drawn) as slide, pytest.raises(SlideError, match="smaller boxes"):
        slide.read_region(box)


@pytest.mark.parametrize(("max_size", "shape"), [(100, (70, 100, 3)), (333, (233, 333, 3)), (5000, (700, 1000, 3))])
def test_a_thumbnail_shows_the_whole_slide(drawn: Path, max_size: int, shape: tuple[int, ...]) -> None:
    with open_slide(drawn) as slide:
        thumbnail = slide.thumbnail(max_size)
        whole = Image.fromarray(slide.read_region(Box(0, 0, 1000, 700)))
    assert thumbnail.shape == shape
    expected = np.asarray(whole.resize((shape[1], shape[0]), Image.Resampling.BOX)).astype(int)
    assert np.abs(expected - thumbnail).mean() < 5


def test_a_missing_and_a_cut_file_are_slide_errors(drawn: Path, tmp_path: Path) -> None:
    with pytest.raises(SlideError, match="no file"):
        open_slide(tmp_path / "missing.svs")
    with pytest.raises(SlideError):
        open_slide(tmp_path)
    cut = tmp_path / "cut.svs"
    for length in (0, 7, 500, 5000):
        cut.write_bytes(drawn.read_bytes()[:length])
        with pytest.raises(SlideError, match=r"cut\.svs"):
            open_slide(cut)


@pytest.mark.shared
@needs_shared
@pytest.mark.parametrize("path", sorted((SHARED / "hostile").glob("*")), ids=lambda path: path.name)
def test_a_hostile_file_is_a_slide_error_or_reads(path: Path) -> None:
    def look() -> int:
        with open_slide(path) as slide:
            assert slide.read_region(Box(0, 0, 64, 64)).shape == (64, 64, 3)
            assert max(slide.thumbnail(32).shape) <= 32
            return len(slide.content_key)

    if path.name in {"pillow_tiff_16bit_RGB.tiff", "pillow_tiff_tiled_planar_16bit_RGB.tiff"}:
        assert look() == 64
    else:
        with pytest.raises(SlideError, match=re.escape(path.name)):
            look()


@pytest.mark.shared
@needs_shared
def test_real_slides() -> None:
    with open_slide(SHARED / "odd_slides" / "histolab_tcga-cr-7395-01a-01-ts1.svs") as slide:
        assert slide.mpp is None
        assert slide.objective_power is None
        assert slide.read_region(Box(1000, 1000, 50, 50)).std() > 0
    with open_slide(SHARED / "odd_slides" / "CMU-1-Small-Region.svs") as slide:
        assert slide.mpp == Mpp(0.499, 0.499)
        assert slide.thumbnail(300).shape == (300, 224, 3)
    with open_slide(SHARED / "real" / "WSI" / "3+" / "S148DF4.svs") as slide:
        assert (slide.mpp, slide.objective_power) == (Mpp(0.25, 0.25), 40)
        glass = slide.thumbnail(200)[:5, :5]
        assert (np.abs(glass.astype(int) - (234, 233, 241)) < 8).all()


@pytest.mark.parametrize(("height", "expected"), [(900_000, "levels of one shape"), (2_000_000, "pixels a side")])
def test_a_size_that_no_scan_has_is_refused_before_it_is_read(tmp_path: Path, height: int, expected: str) -> None:
    path = write_slide(tmp_path / "a.svs", "0", 0, Size(480, 480)).path
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages.first.tags["ImageLength"].overwrite(height)
    with pytest.raises(SlideError, match=rf"{expected}, found 480 x {height}"):
        open_slide(path)
