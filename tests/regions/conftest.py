"""Slides for the tests of regions: three generated ones for every clone, and the real ones where they are."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import openslide
import pytest
import tifffile
from numpy.typing import NDArray

from her2_ihc_40x_builder.geometry import Box, Size
from her2_ihc_40x_builder.placing.search import SlideLike

REAL = Path(__file__).resolve().parents[3] / "shared" / "real"


class OpenSlideSlide:
    """What the readers of regions ask of a slide, straight from OpenSlide."""

    def __init__(self, path: Path) -> None:
        self._slide = openslide.OpenSlide(path)
        self.slide_id = path.stem
        self.size = Size(*self._slide.dimensions)

    def read_region(self, box: Box, downsample: float = 1.0) -> NDArray[np.uint8]:
        level = self._slide.get_best_level_for_downsample(downsample + 1e-6)
        factor = self._slide.level_downsamples[level]
        size = (max(1, round(box.width / factor)), max(1, round(box.height / factor)))
        pixels = np.asarray(self._slide.read_region((box.x, box.y), level, size).convert("RGB"))
        wanted = (max(1, round(box.width / downsample)), max(1, round(box.height / downsample)))
        if size != wanted:
            pixels = np.asarray(cv2.resize(pixels, wanted, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        return pixels


def texture(seed: int, width: int, height: int) -> NDArray[np.uint8]:
    """Coloured noise of many scales on glass, as unlike itself from place to place as tissue is."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3), dtype=np.float32)
    for cell, strength in ((256, 18), (96, 22), (32, 22), (12, 14)):
        noise = rng.standard_normal((height // cell + 2, width // cell + 2, 3)).astype(np.float32)
        picture += strength * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    picture += np.array([190, 170, 180], dtype=np.float32)
    picture[:360, :] = 243  # a strip of bare glass
    return np.clip(picture, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def slides(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SlideLike]:
    """Three slides of two levels: alpha and beta of one size, gamma_2 of an odd one."""
    folder = tmp_path_factory.mktemp("slides")
    made: dict[str, SlideLike] = {}
    for seed, (name, width, height) in enumerate(
        [("alpha", 2080, 1880), ("beta", 2080, 1880), ("gamma_2", 1599, 1801)]
    ):
        path = folder / f"{name}.tiff"
        pixels = texture(seed, width, height)
        quarter = cv2.resize(pixels, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
        with tifffile.TiffWriter(path) as file:
            file.write(pixels, tile=(256, 256), photometric="rgb", compression="deflate")
            file.write(quarter, tile=(256, 256), photometric="rgb", compression="deflate", subfiletype=1)
        made[name] = OpenSlideSlide(path)
    return made


@pytest.fixture(scope="session")
def real_slides() -> dict[str, SlideLike]:
    """The eight real slides, or a skip."""
    if not (REAL / "labels.csv").is_file():
        pytest.skip(f"no real slides in {REAL}")
    with (REAL / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    paths = [REAL / "WSI" / row["label"] / f"{row['slide_id']}.svs" for row in rows]
    return {path.stem: OpenSlideSlide(path) for path in paths}


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real slides, crops and annotations, or a skip."""
    if not REAL.is_dir():
        pytest.skip(f"no real slides in {REAL}")
    return REAL


@pytest.fixture(scope="session")
def cut() -> Callable[..., NDArray[np.uint8]]:
    """Cuts a crop out of a slide: box, then its scale (level-0 pixels a crop pixel)."""

    def cut_out(slide: SlideLike, box: Box, scale: float = 1.0) -> NDArray[np.uint8]:
        pixels = slide.read_region(box)
        size = (round(box.width / scale), round(box.height / scale))
        return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)

    return cut_out
