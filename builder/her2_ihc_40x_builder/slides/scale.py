"""Whether a slide's pixels are at 40x, and what to do where they are not: decisions only, no file is read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import SlideError

#: Micrometres a pixel that count as 40x, both ends included.
FINEST_40X, COARSEST_40X = 0.20, 0.30
#: What a finer slide is resampled to on request.
NOMINAL_40X = 0.25

_ANISOTROPY_TOLERANCE = 0.01
_OVERRIDE_TOLERANCE = 0.01
#: 40x scanners state 0.22 to 0.26: the ratio to 10 / power stays well inside a quarter.
_POWER_TOLERANCE = 0.25
_SPREAD_TOLERANCE = 0.05


@dataclass(frozen=True)
class Mpp:
    """Micrometres a level-0 pixel along x and along y; finite and above zero."""

    x: float
    y: float

    @property
    def mean(self) -> float:
        """The side of a square pixel of the same area."""
        return math.sqrt(self.x * self.y)


@dataclass(frozen=True)
class Scale:
    """The decision for one slide.

    Attributes:
        mpp: micrometres a pixel of the patches that are written.
        factor: level-0 pixels a patch pixel, along either axis: 1.0 (pixels are kept) or above (resampled downwards).
        warnings: what a person should look at, full sentences.
    """

    mpp: float
    factor: float
    warnings: tuple[str, ...]


def decide_scale(
    subject: str,
    stated: Mpp | None,
    objective_power: float | None,
    *,
    override: float | None = None,
    resample: bool = False,
) -> Scale:
    """Accept a slide as 40x, resample it downwards, or refuse it.

    The pixel size decides, never the magnification: 0.20 to 0.30 micrometres a pixel is 40x.

    Args:
        subject: the slide, as an error or a warning should name it.
        stated: the pixel size that the file states, or None.
        objective_power: the magnification that the file states (40 for 40x), or None; only compared.
        override: the pixel size from the user, in micrometres; it replaces what the file states.
        resample: whether a slide finer than 40x may be resampled to 0.25. A coarser one is never blown up.

    Raises:
        SlideError: no pixel size is known, it is no number above zero, or it is not 40x.
    """
    if override is not None and not (math.isfinite(override) and override > 0):
        raise SlideError(subject, "a pixel size above zero", f"--mpp {override}", "Give micrometres a pixel.")
    mpp = override if override is not None else stated.mean if stated else None
    if mpp is None:
        raise SlideError(
            subject,
            "a pixel size (mpp) in the slide",
            "none",
            "State it: --mpp 0.25 for all slides, or a CSV of slide_id,mpp; the scanner's export settings know it.",
        )
    warnings = tuple(_warnings(subject, mpp, stated, objective_power, override))
    if FINEST_40X <= mpp <= COARSEST_40X:
        return Scale(mpp, 1.0, warnings)
    if mpp < FINEST_40X and resample:
        return Scale(NOMINAL_40X, NOMINAL_40X / mpp, warnings)
    raise SlideError(
        subject,
        f"{FINEST_40X:.2f} to {COARSEST_40X:.2f} micrometres a pixel (40x)",
        f"{mpp:.4g}",
        f"Resample it to {NOMINAL_40X} with --resample, or correct a wrong value with --mpp."
        if mpp < FINEST_40X
        else "Detail that was not scanned cannot be added: leave the slide out, or correct a wrong value with --mpp.",
    )


def warn_of_spread(mpp_by_slide: Mapping[str, float]) -> str | None:
    """Name the finest and the coarsest slide if their pixels differ by more than 5 %, else return None.

    Args:
        mpp_by_slide: micrometres a patch pixel of each accepted slide, by slide id.
    """
    if not mpp_by_slide:
        return None
    finest, coarsest = (pick(mpp_by_slide.items(), key=lambda item: (item[1], item[0])) for pick in (min, max))
    spread = coarsest[1] / finest[1] - 1
    if spread <= _SPREAD_TOLERANCE:
        return None
    return (
        f"Pixel sizes differ by {spread:.1%} between slides: {finest[0]} has {finest[1]:.4g} micrometres a pixel, "
        f"{coarsest[0]} has {coarsest[1]:.4g}. A model can tell such slides apart by scale alone."
    )


def _warnings(
    subject: str, mpp: float, stated: Mpp | None, objective_power: float | None, override: float | None
) -> list[str]:
    found: list[str] = []
    if stated and abs(stated.x / stated.y - 1) > _ANISOTROPY_TOLERANCE:
        found.append(f"{subject}: mpp-x {stated.x:.4g} and mpp-y {stated.y:.4g} differ; pixels are not square.")
    if stated and override is not None and abs(override / stated.mean - 1) > _OVERRIDE_TOLERANCE:
        found.append(f"{subject}: the given mpp {override:.4g} replaces the {stated.mean:.4g} that the file states.")
    if objective_power is not None and objective_power > 0:
        # By convention a power of 10 goes with 1 micrometre a pixel.
        ratio = mpp * objective_power / 10
        if max(ratio, 1 / ratio) > 1 + _POWER_TOLERANCE:
            found.append(
                f"{subject}: the file states {objective_power:g}x, but {mpp:.4g} micrometres a pixel is about "
                f"{10 / mpp:.0f}x; the pixel size is believed."
            )
    return found
