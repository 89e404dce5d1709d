from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from copy import copy
from functools import partial

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from her2_ihc_40x_builder.errors import Her2Error, RegionError, SlideError
from her2_ihc_40x_builder.geometry import Box, Size
from her2_ihc_40x_builder.parallel import Processes
from her2_ihc_40x_builder.placing.fit import UnfitCropError, simple_scales, unusable
from her2_ihc_40x_builder.placing.locate import locate
from her2_ihc_40x_builder.placing.matching import Correlation, Crop, peaks
from her2_ihc_40x_builder.placing.search import Overviews, Place, SlideLike, Thumb, elsewhere, search
from her2_ihc_40x_builder.placing.sighting import Request, accepted, confirmed, rivals

Cut = Callable[..., NDArray[np.uint8]]
Slides = dict[str, SlideLike]

HOME = Box(y=900, x=700, width=620, height=540)


def gray_crop(rgb: NDArray[np.uint8], mask: NDArray[np.bool_] | None = None, name: str = "crop.png") -> Crop:
    return Crop(name, np.asarray(cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY), dtype=np.uint8), mask)


def place_of(crop: Crop, slide_id: str, slides: Slides, extent: Size | None = None) -> Place | Her2Error:
    return locate([Request(crop.name, slide_id, lambda: crop, extent)], slides).found[0]


def test_an_exact_crop_is_placed_to_the_pixel(slides: Slides, cut: Cut) -> None:
    found = place_of(gray_crop(cut(slides["alpha"], HOME)), "alpha", slides)
    assert isinstance(found, Place)
    assert found.box(HOME.width, HOME.height) == HOME
    assert found.score > 0.9999


@pytest.mark.parametrize(("scale", "within"), [(2.0, 1), (4.0, 4), (1.37, 2)])
def test_a_rescaled_crop_is_placed_within_its_own_pixels(slides: Slides, cut: Cut, scale: float, within: int) -> None:
    box = Box(y=600, x=900, width=1100, height=1000)
    rgb = cut(slides["beta"], box, scale)
    found = place_of(gray_crop(rgb), "beta", slides)
    assert isinstance(found, Place)
    placed = found.box(rgb.shape[1], rgb.shape[0])
    for a, b in ((placed.x, box.x), (placed.y, box.y), (placed.right, box.right), (placed.bottom, box.bottom)):
        assert abs(a - b) <= within


def test_an_annotations_extent_gives_the_scale(slides: Slides, cut: Cut) -> None:
    rgb = cut(slides["alpha"], HOME, 1.7)
    found = place_of(gray_crop(rgb), "alpha", slides, Size(HOME.width, HOME.height))
    assert isinstance(found, Place)
    assert abs(found.x - HOME.x) <= 2
    assert abs(found.y - HOME.y) <= 2


def test_pixels_under_alpha_do_not_count(slides: Slides, cut: Cut) -> None:
    rgb = cut(slides["alpha"], HOME)
    rows, columns = np.mgrid[: HOME.height, : HOME.width]
    inside = ((rows - 270) / 270) ** 2 + ((columns - 310) / 310) ** 2 <= 1
    found = place_of(gray_crop(np.where(inside[..., None], rgb, 255).astype(np.uint8), inside), "alpha", slides)
    assert isinstance(found, Place)
    assert (found.x, found.y) == (HOME.x, HOME.y)


def test_jpeg_loss_is_forgiven_but_another_staining_is_not(slides: Slides, cut: Cut) -> None:
    crop = gray_crop(cut(slides["alpha"], HOME))
    coded = cv2.imencode(".jpg", crop.gray, [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    lossy = Crop("lossy.png", np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), dtype=np.uint8))
    assert isinstance(place_of(lossy, "alpha", slides), Place)
    noise = np.random.default_rng(0).normal(0, 12, crop.gray.shape)
    other = Crop("other.png", np.clip(crop.gray + noise, 0, 255).astype(np.uint8))
    found = place_of(other, "alpha", slides)
    assert isinstance(found, RegionError)
    assert "at level 0" in str(found)


def test_a_crop_named_after_the_wrong_slide_is_found_out(slides: Slides, cut: Cut) -> None:
    found = place_of(gray_crop(cut(slides["alpha"], HOME), name="beta_1.png"), "beta", slides)
    assert isinstance(found, RegionError)
    assert "seems to come from alpha" in str(found)
    assert re.search(r"0\.\d\d in alpha at \((69\d|70\d), (89\d|90\d)\)", found.found)


def test_a_place_that_occurs_twice_is_not_chosen_between(slides: Slides, cut: Cut) -> None:
    class Twin:
        slide_id, size = "twin", slides["alpha"].size

        def read_region(self, box: Box, downsample: float = 1.0) -> NDArray[np.uint8]:
            return slides["alpha"].read_region(box, downsample)

    found = place_of(gray_crop(cut(slides["alpha"], HOME)), "alpha", {**slides, "twin": Twin()})
    assert isinstance(found, RegionError)
    assert "in twin at" in found.found
    assert "in alpha at" in found.found
    assert "two places" in found.remedy


class Drawn:
    """A slide that is an array."""

    def __init__(self, slide_id: str, pixels: NDArray[np.uint8]) -> None:
        self.slide_id, self.size, self._pixels = slide_id, Size(pixels.shape[1], pixels.shape[0]), pixels

    def read_region(self, box: Box, downsample: float = 1.0) -> NDArray[np.uint8]:
        part = self._pixels[box.y : box.bottom, box.x : box.right]
        shape = (max(1, round(box.width / downsample)), max(1, round(box.height / downsample)))
        return np.asarray(cv2.resize(part, shape, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def whole(slide: SlideLike) -> NDArray[np.uint8]:
    return slide.read_region(Box(0, 0, slide.size.width, slide.size.height)).copy()


def repeated(slides: Slides, cut: Cut, seed: int | None) -> Drawn:
    """A slide of one piece of tissue twice; with a seed the second has the same shapes, but cells of its own."""
    piece = cut(slides["alpha"], Box(y=900, x=300, width=700, height=700))
    second = piece
    if seed is not None:
        cells = np.random.default_rng(seed).normal(0, 25, (350, 350, 1)).repeat(2, axis=0).repeat(2, axis=1)
        second = np.clip(piece + cells, 0, 255).astype(np.uint8)
    pixels = np.full((1200, 2200, 3), 243, np.uint8)
    pixels[200:900, 100:800], pixels[257:957, 1231:1931] = piece, second
    return Drawn("repeated", pixels)


def test_tissue_that_looks_the_same_from_afar_is_told_apart_at_level_0(slides: Slides, cut: Cut) -> None:
    slide = repeated(slides, cut, seed=5)
    crop = gray_crop(slide.read_region(Box(y=220, x=120, width=640, height=640)))
    best, second = search(Thumb.of(crop), 1.0, Overviews(slide))
    assert not accepted(best.score, second.score)
    found = place_of(crop, "repeated", {"repeated": slide})
    assert isinstance(found, Place)
    assert (found.x, found.y) == (120, 220)


def test_the_same_tissue_twice_in_a_slide_is_refused(slides: Slides, cut: Cut) -> None:
    slide = repeated(slides, cut, seed=None)
    crop = gray_crop(slide.read_region(Box(y=220, x=120, width=640, height=640)))
    found = place_of(crop, "repeated", {"repeated": slide})
    assert isinstance(found, RegionError)
    assert "two places" in found.remedy
    assert "(120, 220)" in found.found
    assert "(1251, 277)" in found.found


@pytest.mark.parametrize("shift", [0, 3, 8, 13])
def test_a_copy_in_another_slide_is_seen_wherever_its_pixels_fall(slides: Slides, cut: Cut, shift: int) -> None:
    pixels = whole(slides["beta"])
    pixels[600 + shift : 600 + shift + HOME.height, 900 + shift : 900 + shift + HOME.width] = cut(slides["alpha"], HOME)
    crop = gray_crop(cut(slides["alpha"], HOME))
    assert elsewhere(Thumb.of(crop), 1.0, Overviews(Drawn("copy", pixels)))
    found = place_of(crop, "alpha", {"alpha": slides["alpha"], "copy": Drawn("copy", pixels)})
    assert isinstance(found, RegionError)
    assert f"in copy at ({900 + shift}, {600 + shift})" in found.found


def test_workers_place_as_this_process_does(slides: Slides, cut: Cut) -> None:
    drawn: Slides = {name: Drawn(name, whole(slides[name])) for name in ("alpha", "beta")}
    crops = [gray_crop(cut(slides[name], HOME), name=f"{name}_1") for name in ("alpha", "beta", "alpha")]
    requests = [
        Request(crop.name, slide, partial(copy, crop))
        for crop, slide in zip(crops, ["alpha", "beta", "beta"], strict=True)
    ]
    with Processes(2) as workers:
        found = locate(requests, drawn, workers).found
    assert list(map(str, found)) == list(map(str, locate(requests, drawn).found))
    assert [type(one) for one in found] == [Place, Place, RegionError]


@pytest.mark.parametrize(
    ("turn", "said"),
    [
        (lambda a: np.rot90(a), "turned 270"),
        (lambda a: a[:, ::-1], "mirrored"),
        (lambda a: np.rot90(a, 2), "turned 180"),
    ],
)
def test_another_orientation_is_named_but_not_placed(
    slides: Slides, cut: Cut, turn: Callable[[NDArray[np.uint8]], NDArray[np.uint8]], said: str
) -> None:
    found = place_of(gray_crop(turn(cut(slides["alpha"], HOME))), "alpha", slides, Size(620, 540))
    assert isinstance(found, RegionError)
    assert said in found.remedy


def test_small_and_blank_crops_are_refused_before_any_search(slides: Slides, cut: Cut) -> None:
    small = place_of(gray_crop(cut(slides["alpha"], Box(900, 900, 200, 200))), "alpha", slides, Size(200, 200))
    blank = place_of(gray_crop(cut(slides["alpha"], Box(10, 900, 340, 340))), "alpha", slides)
    assert isinstance(small, UnfitCropError)
    assert "256" in str(small)
    assert isinstance(blank, UnfitCropError)
    assert "blank" in str(blank)
    assert isinstance(unusable(Crop("empty", np.zeros((0, 9), np.uint8))), UnfitCropError)


def test_a_crop_that_is_nowhere_shows_its_best_scores(slides: Slides) -> None:
    noise = np.random.default_rng(3).integers(0, 255, (12, 12), dtype=np.uint8)
    crop = Crop("noise.png", np.asarray(cv2.resize(noise, (500, 500)), dtype=np.uint8))
    found = place_of(crop, "alpha", slides)
    assert isinstance(found, RegionError)
    assert found.found.count(" in alpha at ") == 2


def test_a_crop_larger_than_its_slide_is_an_error(slides: Slides) -> None:
    crop = Crop("large.png", np.kron(np.eye(4, dtype=np.uint8) * 200, np.ones((750, 750), np.uint8)))
    found = place_of(crop, "alpha", slides, Size(3000, 3000))
    assert isinstance(found, RegionError)
    assert "no place that it fits in" in str(found)


def test_an_unreadable_crop_is_its_own_error_alone(slides: Slides, cut: Cut) -> None:
    def broken() -> Crop:
        raise RegionError("broken.png", "a PNG", "noise", "Save it again.")

    good = gray_crop(cut(slides["alpha"], HOME))
    results = locate([Request("broken.png", "alpha", broken), Request("good", "alpha", lambda: good)], slides).found
    assert isinstance(results[0], RegionError)
    assert isinstance(results[1], Place)


def test_a_slide_that_cannot_be_read_stops_its_own_crops_alone(slides: Slides, cut: Cut) -> None:
    class Truncated:
        slide_id, size = "truncated", slides["alpha"].size

        def read_region(self, box: Box, downsample: float = 1.0) -> NDArray[np.uint8]:
            raise SlideError("truncated", "whole tiles", "an end of file", "Copy it again.")

    crop = gray_crop(cut(slides["alpha"], HOME))
    requests = [Request("a", slide, lambda: crop) for slide in ("alpha", "truncated")]
    located = locate(requests, {"alpha": slides["alpha"], "truncated": Truncated()})
    assert isinstance(located.found[0], Place)
    assert isinstance(located.found[1], SlideError)
    assert list(located.unseen) == ["truncated"]
    assert "an end of file" in located.unseen["truncated"]


class Deadly(Drawn):
    """A slide at which the process that reads it is killed."""

    def read_region(self, box: Box, downsample: float = 1.0) -> NDArray[np.uint8]:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def test_a_slide_at_which_the_comparison_is_killed_is_named(slides: Slides, cut: Cut) -> None:
    drawn: Slides = {name: kind(name, whole(slides[name])) for name, kind in (("alpha", Drawn), ("beta", Deadly))}
    crop = gray_crop(cut(slides["alpha"], HOME))
    with Processes(1) as workers:
        located = locate([Request("a", "alpha", partial(copy, crop))], drawn, workers)
    assert isinstance(located.found[0], Place)
    assert "killed at it" in located.unseen["beta"]


def test_large_slides_are_searched_in_two_steps(slides: Slides, cut: Cut) -> None:
    overviews = Overviews(slides["alpha"])
    overviews.finest = 32  # as of a slide of many times the size
    thumb = Thumb.of(gray_crop(cut(slides["alpha"], HOME)))
    best, second = search(thumb, 1.0, overviews)
    assert abs(best.x - HOME.x) <= 4
    assert abs(best.y - HOME.y) <= 4
    assert accepted(best.score, second.score)


def test_decisions() -> None:
    assert accepted(0.5, 0.25)
    assert not accepted(0.49, 0.0)
    assert not accepted(0.9, 0.66)
    assert confirmed(0.98, 1.0)
    assert not confirmed(0.97, 1.0)
    assert confirmed(0.9, 2.0)
    assert not confirmed(0.89, 2.0)
    assert rivals(1.0, 0.9, 1.0)
    assert not rivals(1.0, 0.89, 1.0)
    assert rivals(0.95, 0.71, 2.0)
    assert not rivals(0.95, 0.69, 2.0)


def test_scales_come_from_the_annotation_or_are_simple() -> None:
    assert simple_scales(300, 900) == (1, 2, 4, 8)
    assert simple_scales(100, 900) == (4, 8)
    assert simple_scales(903, 697, Size(1805, 1394)) == (2,)
    assert simple_scales(500, 400, Size(750, 600)) == (1.5,)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(8, 24), st.integers(8, 24), st.booleans())
def test_peaks_agree_with_correlation_computed_directly(seed: int, width: int, height: int, masked: bool) -> None:
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 255, (40, 44), dtype=np.uint8)
    picture[:12] = 255  # flat: no correlation, whatever OpenCV divides
    gray = rng.integers(0, 255, (height, width), dtype=np.uint8)
    mask = rng.random((height, width)) > 0.3 if masked else None
    found = peaks(picture, Crop("c", gray, mask), 3)
    for peak in found:
        total = Correlation()
        total.add(picture[peak.y : peak.y + height, peak.x : peak.x + width], gray, mask)
        if peak.score:
            assert peak.score == pytest.approx(total.value, abs=1e-3)
    assert [peak.score for peak in found] == sorted((peak.score for peak in found), reverse=True)


@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_correlation_in_strips_is_that_of_the_whole(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 255, (2, 20, 13), dtype=np.uint8)
    total = Correlation()
    for top in range(0, 20, rows):
        total.add(a[top : top + rows], b[top : top + rows])
    assert total.value == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1], abs=1e-9)


@pytest.mark.shared
def test_a_real_crop_of_another_slide_and_real_glass_are_found_out(real_slides: Slides, cut: Cut) -> None:
    some = {slide: real_slides[slide] for slide in ("S148DF4", "S934529")}
    away = place_of(gray_crop(cut(some["S148DF4"], Box(2000, 2000, 900, 800))), "S934529", some, Size(900, 800))
    assert isinstance(away, RegionError)
    assert "S148DF4" in away.remedy
    glass = place_of(gray_crop(cut(some["S934529"], Box(0, 0, 600, 600))), "S148DF4", some)
    assert isinstance(glass, UnfitCropError)
