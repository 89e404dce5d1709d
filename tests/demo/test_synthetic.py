from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from her2_ihc_40x import CLASSES
from her2_ihc_40x_builder.demo.drawing import GLASS
from her2_ihc_40x_builder.demo.synthetic import SlideFormat, write_slide
from her2_ihc_40x_builder.geometry import Box, Size
from her2_ihc_40x_builder.slides.slide import open_slide

SIZE = Size(900, 750)


@pytest.mark.parametrize("label", CLASSES)
def test_regions_lie_in_tissue_and_corners_on_glass(tmp_path: Path, label: str) -> None:
    for seed in range(3):
        drawn = write_slide(tmp_path / f"{seed}.svs", label, seed, SIZE)
        with open_slide(drawn.path) as slide:
            assert slide.size == drawn.size == SIZE
            assert np.abs(slide.read_region(slide_corner()).astype(int) - GLASS).max() <= 2
            for region in drawn.regions:
                assert region.inside(SIZE)
                pixels = slide.read_region(region).astype(int)
                assert (np.abs(pixels - GLASS).max(axis=-1) > 2).mean() > 0.5
        large, small = drawn.regions
        assert not large.overlaps(small)


def slide_corner() -> Box:
    return Box(0, 0, 40, 40)


def test_the_same_arguments_give_the_same_file(tmp_path: Path) -> None:
    first = write_slide(tmp_path / "a.svs", "2+", 3, SIZE).path.read_bytes()
    assert write_slide(tmp_path / "b.svs", "2+", 3, SIZE).path.read_bytes() == first
    assert write_slide(tmp_path / "c.svs", "2+", 4, SIZE).path.read_bytes() != first


@pytest.mark.parametrize(("ycbcr", "photometric"), [(True, 6), (False, 2)])
def test_it_is_laid_out_like_aperios(tmp_path: Path, ycbcr: bool, photometric: int) -> None:
    how = SlideFormat(tile=256, ycbcr=ycbcr, downsamples=(4, 16))
    with tifffile.TiffFile(write_slide(tmp_path / "a.svs", "0", 0, SIZE, how).path) as tiff:
        assert [page.aspage().is_tiled for page in tiff.pages] == [True, False, True, True]
        level = tiff.pages.first
        assert (int(level.photometric), level.tile, level.is_svs) == (photometric, (256, 256), True)


def test_too_small_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="256 x 256"):
        write_slide(tmp_path / "a.svs", "0", 0, Size(255, 900))
