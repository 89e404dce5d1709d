from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import openslide
import pytest
from PIL import Image

from her2_ihc_40x_builder.errors import Her2Error
from her2_ihc_40x_builder.patches.white import White, estimate_white

SHARED = Path(__file__).resolve().parents[3] / "shared"
GLASS = (234, 233, 241)
PALE_TISSUE = (217, 215, 229)


def noisy(levels: tuple[int, int, int], side: int = 512, deviation: float = 1.5, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, deviation, (side, side, 1))
    return np.clip(np.array(levels) + noise, 0, 255).round().astype(np.uint8)


def tissue(side: int = 512, seed: int = 1) -> np.ndarray:
    """Pale tissue with nuclei: its brightest mode is the pale tissue itself."""
    image = noisy(PALE_TISSUE, side, deviation=7, seed=seed)
    generator = np.random.default_rng(seed)
    for x, y in generator.integers(0, side, (side, 2)):
        cv2.circle(image, (int(x), int(y)), 4, (110, 115, 160), -1)
    return image


def nowhere(image: np.ndarray) -> np.ndarray:
    return np.zeros(image.shape[:2], bool)


def close(found: White | None, expected: tuple[int, int, int], within: float = 1.0) -> bool:
    return found is not None and bool(np.abs(np.array(found.levels) - expected).max() <= within)


def test_glass_around_tissue_is_found() -> None:
    image = noisy(GLASS)
    image[128:384, 128:384] = tissue(256)
    estimate = estimate_white(image, nowhere(image), 4)
    assert close(estimate.white, GLASS)
    assert 0.6 < estimate.share < 0.8
    assert "12 of 12 places" in estimate.reason


def test_a_crop_of_tissue_only_gives_none_though_its_brightest_mode_is_clear() -> None:
    image = tissue()
    bright = image[(image > 180).all(axis=2)]
    mode = [int(np.bincount(bright[:, channel]).argmax()) for channel in range(3)]
    assert all(abs(level - pale) < 9 for level, pale in zip(mode, PALE_TISSUE, strict=True))
    estimate = estimate_white(image, nowhere(image), 4)
    assert estimate.white is None
    assert "of the slide" in estimate.reason


def test_glass_inside_the_regions_does_not_count() -> None:
    image = tissue()
    image[:, :256] = noisy(GLASS)[:, :256]
    regions = nowhere(image)
    assert close(estimate_white(image, regions, 4).white, GLASS)
    regions[:, :256] = True
    assert estimate_white(image, regions, 4).white is None


def test_padding_is_left_out_even_where_it_is_most_of_the_slide() -> None:
    image = np.full((512, 512, 3), 255, np.uint8)
    image[:, 320:] = tissue()[:, 320:]
    assert estimate_white(image, nowhere(image), 4).white is None
    image[:, 256:320] = noisy(GLASS)[:, 256:320]
    estimate = estimate_white(image, nowhere(image), 4)
    assert close(estimate.white, GLASS)
    assert estimate.share == pytest.approx(0.25, abs=0.02)


def test_unscanned_black_and_smooth_ink_are_not_glass() -> None:
    image = noisy(GLASS)
    image[:, :200] = 0
    image[:, 200:300] = (20, 120, 60)
    assert close(estimate_white(image, nowhere(image), 4).white, GLASS)
    image[:] = (20, 120, 60)
    assert estimate_white(image, nowhere(image), 4).white is None


def test_glass_must_be_one_per_cent_of_the_slide() -> None:
    image = tissue(1024)
    image[:96, :96] = noisy(GLASS)[:96, :96]
    estimate = estimate_white(image, nowhere(image), 4)
    assert estimate.white is None
    assert "0.9%" in estimate.reason


def test_places_must_agree() -> None:
    image = noisy(GLASS)
    image[:, :256] = noisy((226, 225, 233))[:, :256]
    estimate = estimate_white(image, nowhere(image), 4)
    assert estimate.white is None
    assert "places agree" in estimate.reason


def test_one_badly_stitched_corner_does_not_veto_the_rest() -> None:
    image = noisy(GLASS)
    image[384:, 384:] = noisy((226, 225, 233))[384:, 384:]
    estimate = estimate_white(image, nowhere(image), 4)
    assert close(estimate.white, GLASS)
    assert "15 of 16" in estimate.reason


def test_glass_in_one_place_only_is_not_confirmed() -> None:
    image = tissue()
    image[:128, :128] = noisy(GLASS)[:128, :128]
    estimate = estimate_white(image, nowhere(image), 4)
    assert estimate.white is None
    assert "one place" in estimate.reason


def test_a_fine_overview_is_shrunk_and_a_coarse_one_refused() -> None:
    noise = noisy(GLASS, 1024, deviation=6)
    assert close(estimate_white(noise, nowhere(noise), 1).white, GLASS)
    assert "too coarse" in estimate_white(noise, nowhere(noise), 32).reason
    # Of a slide of 100,007 pixels the overview at 16 is one of 6,250, which is at 16.001.
    smooth = noisy(GLASS, 1024, deviation=1)
    assert close(estimate_white(smooth, nowhere(smooth), 100_007 / 6_250).white, GLASS)


def test_a_region_of_one_pixel_survives_the_shrinking() -> None:
    image = noisy(GLASS, 1024)
    regions = nowhere(image)
    regions[::32, ::32] = True
    assert estimate_white(image, regions, 1).white is None


def test_a_tiny_slide_gives_none() -> None:
    image = noisy(GLASS, 16)
    assert "too small" in estimate_white(image, nowhere(image), 4).reason


def test_what_it_refuses() -> None:
    image = noisy(GLASS, 64)
    with pytest.raises(ValueError, match="mask"):
        estimate_white(image, np.zeros((3, 3), bool), 4)
    for downsample in (0.5, float("nan")):
        with pytest.raises(ValueError, match="downsample"):
            estimate_white(image, nowhere(image), downsample)
    for levels in ((0, 200, 200), (200, 256, 200), (200, 200, float("nan"))):
        with pytest.raises(Her2Error, match="--white"):
            White(*levels)


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not there")
@pytest.mark.parametrize("path", sorted((SHARED / "real" / "WSI").glob("*/*.svs")), ids=lambda path: path.stem)
def test_real_slides_against_their_frames_of_bare_glass(path: Path) -> None:
    with openslide.OpenSlide(path) as slide:
        overview = np.asarray(slide.read_region((0, 0), 1, slide.level_dimensions[1]).convert("RGB"))
        downsample = slide.level_downsamples[1]
    estimate = estimate_white(overview, nowhere(overview), downsample)
    # The reference: these cores leave a frame of glass, whose middle is its median, specks or not.
    side = 100
    frame = np.concatenate([overview[:side].reshape(-1, 3), overview[:, :side].reshape(-1, 3)])
    assert estimate.white is not None
    assert np.abs(np.array(estimate.white.levels) - np.median(frame, axis=0)).max() <= 1.5
    # The coarsest overview that a survey makes of a large slide finds the same.
    for factor in (2, 4):
        coarse = np.asarray(Image.fromarray(overview).reduce(factor))
        found = estimate_white(coarse, nowhere(coarse), downsample * factor).white
        assert found is not None
        assert np.abs(np.array(found.levels) - np.median(frame, axis=0)).max() <= 1.5
    # The core's middle is tissue with little glass or none: either nothing is found, or the same.
    edge = overview.shape[0] // 5
    middle = np.ascontiguousarray(overview[edge:-edge, edge:-edge])
    inner = estimate_white(middle, nowhere(middle), downsample)
    if inner.white is not None:
        assert np.abs(np.array(inner.white.levels) - estimate.white.levels).max() <= 1.5
