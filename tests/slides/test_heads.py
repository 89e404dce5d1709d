"""Pixels of a slide for the crops that are placed in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from her2_ihc_40x_builder.demo.synthetic import SlideFormat, write_slide
from her2_ihc_40x_builder.errors import SlideError
from her2_ihc_40x_builder.geometry import Box, Size
from her2_ihc_40x_builder.placing.search import Overviews, to_gray
from her2_ihc_40x_builder.slides import slide
from her2_ihc_40x_builder.slides.heads import HeldSlides, SlideHead
from her2_ihc_40x_builder.slides.scale import Mpp, decide_scale

WHOLE, PART = Box(0, 0, 1000, 700), Box(3, 5, 960, 640)


@pytest.fixture
def flat(tmp_path: Path) -> SlideHead:
    """A slide of one level."""
    path = write_slide(tmp_path / "flat.svs", "3+", 0, Size(1000, 700), SlideFormat(downsamples=())).path
    scale = decide_scale("flat", Mpp(0.25, 0.25), 40, override=None, resample=False)
    return SlideHead("flat", path, (path,), "key", None, Size(1000, 700), scale, "3+", None, HeldSlides())


def test_a_box_is_shrunk(flat: SlideHead) -> None:
    with flat.held:
        pixels = flat.read_region(WHOLE)
        assert pixels.shape == (700, 1000, 3)
        shrunk = np.asarray(Image.fromarray(pixels).resize((250, 175), Image.Resampling.BOX))
        np.testing.assert_array_equal(flat.read_region(WHOLE, 4), shrunk)
        np.testing.assert_array_equal(flat.read_region(Box(40, 80, 64, 32)), pixels[40:72, 80:144])


def test_a_flat_slide_larger_than_one_read_is_looked_at_in_strips(
    flat: SlideHead, monkeypatch: pytest.MonkeyPatch
) -> None:
    with flat.held:
        at_once = [flat.read_region(box, 4) for box in (WHOLE, PART)]
    monkeypatch.setattr(slide, "MAX_READ_PIXELS", 600_000)
    monkeypatch.setattr(slide, "_STRIP_PIXELS", 50_000)
    with flat.held:
        in_strips = [flat.read_region(box, 4) for box in (WHOLE, PART)]
        for strips, once in zip(in_strips, at_once, strict=True):
            assert strips.shape == once.shape
            assert np.abs(strips.astype(int) - once).mean() < 1
        overviews = Overviews(flat)
        assert np.abs(overviews.at(overviews.finest).astype(int) - to_gray(at_once[0])).mean() < 1
        # What would be returned is bounded as before.
        with pytest.raises(SlideError, match="smaller boxes"):
            flat.read_region(WHOLE)
