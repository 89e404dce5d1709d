from __future__ import annotations

from pathlib import Path

import numpy as np
import openslide
import pytest

from her2_ihc_40x_builder.errors import ImageError
from her2_ihc_40x_builder.patches.dab import HED, dab_density
from her2_ihc_40x_builder.patches.white import White

SHARED = Path(__file__).resolve().parents[3] / "shared"
WHITE = White(234, 233, 241)


def stained(haematoxylin: float, eosin: float, dab: float) -> np.ndarray:
    """A patch of one mixture of stains, by Beer and Lambert."""
    stains = np.array(HED)
    unit = stains / np.linalg.norm(stains, axis=1, keepdims=True)
    density = np.array([haematoxylin, eosin, dab]) @ unit
    levels = np.array(WHITE.levels) * 10**-density
    return np.broadcast_to(np.clip(levels.round(), 0, 255).astype(np.uint8), (64, 64, 3)).copy()


def test_glass_has_none() -> None:
    found = dab_density(stained(0, 0, 0), WHITE)
    assert found.mean == pytest.approx(0, abs=1e-6)
    assert found.p99 == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("dab", [0.05, 0.3, 0.9])
@pytest.mark.parametrize("haematoxylin", [0.0, 0.4])
def test_it_gives_back_the_dab_that_was_put_in(dab: float, haematoxylin: float) -> None:
    assert dab_density(stained(haematoxylin, 0.05, dab), WHITE).mean == pytest.approx(dab, abs=0.01)


def test_the_percentile_sees_the_strongest_staining_only() -> None:
    patch = stained(0.1, 0, 0)
    patch[:8] = stained(0.1, 0, 0.8)[:8]
    found = dab_density(patch, WHITE)
    assert found.p99 == pytest.approx(0.8, abs=0.02)
    assert found.mean == pytest.approx(0.1, abs=0.03)


def test_black_is_finite() -> None:
    found = dab_density(np.zeros((9, 9, 3), np.uint8), WHITE)
    assert np.isfinite([found.mean, found.p99]).all()


def test_what_it_refuses() -> None:
    with pytest.raises(ImageError):
        dab_density(np.zeros((9, 9), np.uint8), WHITE)


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not there")
def test_real_slides_score_0_is_far_below_3() -> None:
    found = {}
    for path in ("0/S2572DE", "0/SCDFC9B", "3+/S148DF4"):
        with openslide.OpenSlide(SHARED / "real" / "WSI" / f"{path}.svs") as slide:
            patch = np.asarray(slide.read_region((2200, 2200), 0, (1024, 1024)).convert("RGB"))
        found[path] = dab_density(patch, WHITE).p99
    assert found["0/S2572DE"] < 0.15
    assert found["0/SCDFC9B"] < 0.15
    assert found["3+/S148DF4"] > 0.7
