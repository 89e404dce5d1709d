from __future__ import annotations

import pickle
import subprocess
import sys
from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest

from her2_ihc_40x_builder.errors import Her2Error, ImageError
from her2_ihc_40x_builder.patches.dab import HED, dab_density
from her2_ihc_40x_builder.patches.intensity import Intensity, fit_target, scale_to_glass
from her2_ihc_40x_builder.patches.white import White

WHITE = White(234, 233, 241)


def stained(dab: float, seed: int = 0) -> np.ndarray:
    """A patch of glass, haematoxylin nuclei and DAB of the given density."""
    generator = np.random.default_rng(seed)
    amounts = np.stack(
        [generator.uniform(0, 0.6, (96, 96)), np.zeros((96, 96)), generator.uniform(0, dab, (96, 96))], axis=-1
    )
    amounts[:20] = 0
    levels = np.array(WHITE.levels) * 10 ** -(amounts @ np.array(HED))
    return np.asarray(np.clip(levels.round(), 0, 255), np.uint8)


@pytest.mark.parametrize("white", [WHITE, White(199.5, 240, 255), White(17.25, 128, 90)])
def test_background_is_240_v_over_white_with_halves_up(white: White) -> None:
    levels = np.arange(256, dtype=np.uint8)
    ramp = np.repeat(levels[:, None, None], 3, axis=2)
    scaled = scale_to_glass(ramp, white)
    for channel, glass in enumerate(white.levels):
        # Exact arithmetic, as the oracle.
        exact = [min(255, floor(240 * int(v) / Fraction(glass) + Fraction(1, 2))) for v in levels]
        assert scaled[:, 0, channel].tolist() == exact


def test_glass_becomes_240_and_density_stays() -> None:
    patch = stained(0.8)
    intensity = Intensity("background", WHITE)
    scaled = intensity.apply(patch)
    assert (scaled[:20] == 240).all()
    assert intensity.glass == White(240, 240, 240)
    before, after = dab_density(patch, WHITE), dab_density(scaled, intensity.glass)
    assert after.p99 == pytest.approx(before.p99, abs=0.01)
    assert after.mean == pytest.approx(before.mean, abs=0.002)
    assert dab_density(scaled, WHITE).p99 != pytest.approx(before.p99, abs=0.005)


def test_nothing_is_changed_by_none_or_without_a_white_point() -> None:
    patch = stained(0.5)
    for intensity in (Intensity("none"), Intensity("none", WHITE), Intensity("background", None)):
        assert np.array_equal(intensity.apply(patch), patch)
        assert intensity.glass == intensity.white


def test_the_input_is_never_written_to() -> None:
    patch = stained(0.5)
    patch.setflags(write=False)
    Intensity("background", WHITE).apply(patch)
    target = fit_target("reinhard", patch, WHITE)
    Intensity("reinhard", WHITE, target, accept_stain_loss=True).apply(patch)


def test_it_survives_a_pipe() -> None:
    intensity = Intensity("background", WHITE)
    assert pickle.loads(pickle.dumps(intensity)) == intensity


@pytest.mark.parametrize("name", ["reinhard", "macenko"])
def test_stain_loss_must_be_accepted(name: str) -> None:
    with pytest.raises(Her2Error, match=f"--intensity {name}.*--accept-stain-loss"):
        Intensity(name)  # type: ignore[arg-type]


def test_what_else_it_refuses() -> None:
    with pytest.raises(Her2Error, match="--intensity"):
        Intensity("vahadane")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="macenko takes 8 numbers"):
        Intensity("macenko", WHITE, (1.0,), accept_stain_loss=True)
    with pytest.raises(ImageError):
        Intensity("none").apply(np.zeros((4, 4), np.uint8))


@pytest.mark.parametrize("name", ["reinhard", "macenko"])
def test_normalising_equals_the_library_used_directly(name: str) -> None:
    pytest.importorskip("torchstain")
    from torchstain.base import normalizers

    reference, patch = stained(1.0), stained(0.2, seed=5)
    target = fit_target(name, reference, WHITE)  # type: ignore[arg-type]
    found = Intensity(name, WHITE, target, accept_stain_loss=True).apply(patch)  # type: ignore[arg-type]

    make = normalizers.MacenkoNormalizer if name == "macenko" else normalizers.ReinhardNormalizer
    library = make(backend="numpy")
    library.fit(scale_to_glass(reference, WHITE))
    expected = library.normalize(scale_to_glass(patch, WHITE))
    expected = expected[0] if name == "macenko" else expected
    assert found.dtype == np.uint8
    assert np.array_equal(found, expected)


def test_macenko_moves_the_staining_which_is_why_it_must_be_accepted() -> None:
    pytest.importorskip("torchstain")
    faint, strong = stained(0.1, seed=5), stained(1.0)
    target = fit_target("macenko", strong, WHITE)
    moved = Intensity("macenko", WHITE, target, accept_stain_loss=True).apply(faint)
    assert dab_density(faint, WHITE).p99 < 0.15
    assert dab_density(moved, White(240, 240, 240)).p99 > 0.4


@pytest.mark.parametrize("name", ["reinhard", "macenko"])
def test_a_patch_of_glass_is_refused_not_filled_with_noise(name: str) -> None:
    pytest.importorskip("torchstain")
    glass = np.full((64, 64, 3), 234, np.uint8)
    with pytest.raises(ImageError, match=name):
        fit_target(name, glass, WHITE)  # type: ignore[arg-type]
    target = fit_target(name, stained(1.0), WHITE)  # type: ignore[arg-type]
    with pytest.raises(ImageError, match=name):
        Intensity(name, WHITE, target, accept_stain_loss=True).apply(glass)  # type: ignore[arg-type]


@pytest.mark.parametrize(("side", "ink"), [(16, 1), (256, 20), (1024, 80)])
def test_a_patch_with_one_ink_is_not_unmixed_into_two_stains(side: int, ink: int) -> None:
    pytest.importorskip("torchstain")
    patch = np.full((side, side, 3), 234, np.uint8)
    patch[2 : 2 + ink, 2 : 2 + ink] = (90, 60, 120)
    intensity = Intensity("macenko", None, fit_target("macenko", stained(1.0), WHITE), accept_stain_loss=True)
    with pytest.raises(ImageError, match=r"two stains|stain on at least"):
        intensity.apply(patch)


@pytest.mark.parametrize("name", ["reinhard", "macenko"])
@pytest.mark.parametrize("pixels", [np.zeros((64, 64, 3), np.uint8), stained(1.0)[:1, :1]])
def test_a_reference_of_one_colour_or_one_pixel_is_refused(name: str, pixels: Any) -> None:
    pytest.importorskip("torchstain")
    with pytest.raises(ImageError, match=name):
        fit_target(name, pixels, None)  # type: ignore[arg-type]


def test_torchstain_is_asked_for_only_when_used() -> None:
    # None in sys.modules is how Python itself marks a module as not importable.
    script = """
import sys
sys.modules["torchstain"] = None
import numpy as np
from her2_ihc_40x_builder.errors import MissingExtraError
from her2_ihc_40x_builder.patches.intensity import Intensity
from her2_ihc_40x_builder.patches.white import White
patch = np.random.default_rng(0).integers(0, 200, (32, 32, 3), dtype=np.uint8)
Intensity("background", White(234, 233, 241)).apply(patch)
try:
    Intensity("reinhard", None, (1.0,) * 6, accept_stain_loss=True).apply(patch)
except MissingExtraError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "pip install" in run.stdout
    assert "[stain]" in run.stdout
