from __future__ import annotations

import numpy as np
import pytest

from her2_ihc_40x_builder.errors import ImageError
from her2_ihc_40x_builder.patches.tissue import tissue_fraction
from her2_ihc_40x_builder.patches.white import White

WHITE = White(234, 233, 241)


def flat(levels: tuple[int, int, int], side: int = 64) -> np.ndarray:
    return np.full((side, side, 3), levels, np.uint8)


def test_glass_padding_and_tissue() -> None:
    assert tissue_fraction(flat((234, 233, 241)), WHITE, 0.25) == 0
    assert tissue_fraction(flat((255, 255, 255)), WHITE, 0.25) == 0
    assert tissue_fraction(flat((120, 90, 60)), WHITE, 0.25) == 1


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_the_limit_is_a_density_of_0_03_in_any_channel(channel: int) -> None:
    at = WHITE.levels[channel] * 10**-0.03
    for level, expected in [(int(at), 1.0), (int(at) + 1, 0.0)]:
        levels = [int(value) for value in WHITE.levels]
        levels[channel] = level
        assert tissue_fraction(flat((levels[0], levels[1], levels[2])), WHITE, 0.25) == expected


def test_it_is_a_share_of_area() -> None:
    patch = flat((234, 233, 241))
    patch[:, :16] = (120, 90, 60)
    assert tissue_fraction(patch, WHITE, 0.25) == 0.25
    assert tissue_fraction(patch, WHITE, 1.0) == 0.25


def test_noise_of_glass_is_no_tissue_because_pixels_are_averaged_to_a_micrometre() -> None:
    noise = np.random.default_rng(0).normal(0, 12, (256, 256, 1))
    patch = np.clip(np.array(WHITE.levels) + noise, 0, 255).astype(np.uint8)
    assert tissue_fraction(patch, WHITE, 0.25) < 0.001
    assert tissue_fraction(patch, WHITE, 1.0) > 0.05


def test_odd_sizes_and_tiny_patches() -> None:
    assert tissue_fraction(np.full((1, 1, 3), 10, np.uint8), WHITE, 0.25) == 1
    assert tissue_fraction(np.full((5, 1023, 3), 10, np.uint8), WHITE, 0.25) == 1


def test_what_it_refuses() -> None:
    with pytest.raises(ImageError):
        tissue_fraction(np.zeros((8, 8), np.uint8), WHITE, 0.25)
    for mpp in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="mpp"):
            tissue_fraction(flat((0, 0, 0)), WHITE, mpp)
