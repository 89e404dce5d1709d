"""What is done to the intensities of a patch before it is stored, and what each way costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError, MissingExtraError, OptionError
from .pixels import Rgb, check_rgb
from .white import White

IntensityName = Literal["background", "none", "reinhard", "macenko"]

#: What glass becomes: 255 would clip a channel in 12 to 41 % of the pixels of real slides; Macenko's method takes 240.
GLASS = 240
#: Macenko's method fits two stains to the pixels darker than this (natural logarithm), as its authors did.
STAINED = 0.15
#: The least share of a patch that must be that dark: below it the fit is to noise.
LEAST_STAINED = 0.001
#: And the least number of pixels, of whose colours a covariance can be taken.
_LEAST_PIXELS = 4
#: Pixels a side of the least reference that is measured.
_LEAST_SIDE = 32
#: Pixels a side that are looked at before a patch is unmixed.
_LOOKED_AT = 256
#: The cosine above which Macenko's two stains are one.
_ONE_STAIN = 0.9999
_GIVE_ANOTHER = "Give a patch with tissue in it."


@dataclass(frozen=True)
class Intensity:
    """How the patches of one slide are changed.

    `background` scales each channel so that glass becomes 240, v' = 240 v / white, halves rounded up, above 255
    clipped; it keeps the optical density against glass, which is the signal that is scored. Without a white point it
    changes nothing. `none` changes nothing.

    `reinhard` (Reinhard et al., IEEE CG&A 21(5), 2001) and `macenko` (Macenko et al., ISBI 2009) then give each patch
    the colours of a reference patch, by the library torchstain: they move the staining itself (Macenko to a 3+ patch
    gives a score-0 patch the brown of 3+), so they need `accept_stain_loss`.

    Attributes:
        name: one of the four.
        white: the slide's glass, or None where unknown.
        target: for `reinhard` and `macenko` what `fit_target` gave, else empty.
        accept_stain_loss: that the caller knows the above.

    Raises:
        Her2Error: an unknown name, or stain loss that was not accepted.
        ValueError: a target of the wrong length.
    """

    name: IntensityName = "background"
    white: White | None = None
    target: tuple[float, ...] = ()
    accept_stain_loss: bool = False

    def __post_init__(self) -> None:
        if self.name not in get_args(IntensityName):
            raise OptionError(
                "--intensity", " or ".join(get_args(IntensityName)), str(self.name), "Choose one of these."
            )
        if self.name in _TARGET_LENGTHS and not self.accept_stain_loss:
            raise OptionError(
                f"--intensity {self.name}",
                "--accept-stain-loss beside it",
                "none",
                "It changes the staining that HER2 is scored by; use background, or accept the loss.",
            )
        if len(self.target) != _TARGET_LENGTHS.get(self.name, 0):
            raise ValueError(f"{self.name} takes {_TARGET_LENGTHS.get(self.name, 0)} numbers, not {len(self.target)}")

    def apply(self, patch: Rgb) -> Rgb:
        """Return the patch as it is to be stored; it may be the same array.

        Args:
            patch: (height, width, 3), as scanned.

        Raises:
            ImageError: no RGB image, or too little staining to normalise.
            MissingExtraError: torchstain is needed and not installed.
        """
        check_rgb(patch, "patch")
        if self.name == "none":
            return patch
        scaled = patch if self.white is None else scale_to_glass(patch, self.white)
        return scaled if self.name == "background" else _normalise(self.name, scaled, self.target)

    @property
    def glass(self) -> White | None:
        """The glass of the pixels that `background` or `none` gives: 240 if they were scaled, else as scanned."""
        return White(GLASS, GLASS, GLASS) if self.name == "background" and self.white is not None else self.white


def scale_to_glass(patch: Rgb, white: White) -> Rgb:
    """Return the patch with v' = 240 v / white in each channel, halves rounded up and above 255 clipped."""
    levels = np.arange(256)[:, None]
    table = np.minimum(np.floor(GLASS * levels / np.array(white.levels) + 0.5), 255).astype(np.uint8)
    return np.asarray(cv2.LUT(patch, table[None]), np.uint8)


def fit_target(name: Literal["reinhard", "macenko"], reference: Rgb, white: White | None) -> tuple[float, ...]:
    """Measure a reference patch for `Intensity.target`.

    Args:
        name: the method.
        reference: (height, width, 3), as scanned.
        white: the glass of its slide, or None where unknown.

    Returns:
        Reinhard: means and standard deviations of L, a, b. Macenko: the 3 x 2 stain matrix row by row, and the two
        99th percentiles of the concentrations.

    Raises:
        ImageError: no RGB image, or too little staining to measure.
        MissingExtraError: torchstain is not installed.
    """
    check_rgb(reference, "reference patch")
    if min(reference.shape[:2]) < _LEAST_SIDE:
        found = f"{reference.shape[1]} x {reference.shape[0]}"
        raise ImageError(name, f"at least {_LEAST_SIDE} x {_LEAST_SIDE} pixels to measure", found, _GIVE_ANOTHER)
    scaled = reference if white is None else scale_to_glass(reference, white)
    return _fitted(name, scaled, _GIVE_ANOTHER)


#: The attributes in which torchstain keeps what it fitted, and their shapes.
_FITTED: dict[str, tuple[tuple[str, tuple[int, ...]], ...]] = {
    "reinhard": (("target_means", (3,)), ("target_stds", (3,))),
    "macenko": (("HERef", (3, 2)), ("maxCRef", (2,))),
}
_TARGET_LENGTHS = {"reinhard": 6, "macenko": 8}


def _fitted(name: str, patch: Rgb, remedy: str) -> tuple[float, ...]:
    """Measure a patch as in `fit_target`; an ImageError if it cannot be, or if what is found is no two stains."""
    _check_normalisable(name, patch)
    normaliser = _normaliser(name)
    try:
        normaliser.fit(patch)
    except np.linalg.LinAlgError as error:
        raise ImageError(name, "pixels enough to measure", str(error), remedy) from error
    parts = [getattr(normaliser, attribute) for attribute, _ in _FITTED[name]]
    fitted = tuple(float(value) for part in parts for value in np.ravel(part))
    if not np.isfinite(fitted).all():
        raise ImageError(name, "pixels enough to measure", "numbers without end", remedy)
    if name == "macenko":
        stains = np.reshape(fitted[:6], (3, 2))
        if min(fitted[6:]) <= 0 or abs(stains[:, 0] @ stains[:, 1]) > _ONE_STAIN:
            raise ImageError(name, "two stains", "one colour, lighter and darker", remedy)
    return fitted


def _normalise(name: str, patch: Rgb, target: tuple[float, ...]) -> Rgb:
    _check_normalisable(name, patch)
    if name == "macenko":
        # The library fits the patch once more and keeps nothing of it: every so many pixels tell one stain from two.
        step = max(1, min(patch.shape[:2]) // _LOOKED_AT)
        _fitted(name, np.ascontiguousarray(patch[::step, ::step]), "Drop it: it cannot be unmixed.")
    normaliser = _normaliser(name)
    start = 0
    for attribute, shape in _FITTED[name]:
        end = start + int(np.prod(shape))
        setattr(normaliser, attribute, np.array(target[start:end]).reshape(shape))
        start = end
    result: NDArray[np.uint8] = (
        normaliser.normalize(patch, stains=False)[0] if name == "macenko" else (normaliser.normalize(patch))
    )
    return result


def _normaliser(name: str) -> Any:
    """Return torchstain's numpy normaliser; the library has no types."""
    try:
        from torchstain.base import normalizers
    except ImportError as error:
        raise MissingExtraError(
            f"--intensity {name}",
            "the package torchstain",
            "it is not installed",
            'Run: pip install "her2-ihc-40x[stain]".',
        ) from error
    make = normalizers.MacenkoNormalizer if name == "macenko" else normalizers.ReinhardNormalizer
    return make(backend="numpy")


def _check_normalisable(name: str, patch: Rgb) -> None:
    """Refuse what the library would answer with a division by zero or a fit to noise."""
    if name == "macenko":
        darkest = GLASS * np.exp(-STAINED) - 1
        stained = np.count_nonzero((patch < darkest).all(axis=2))
        area = patch.shape[0] * patch.shape[1]
        if stained < max(LEAST_STAINED * area, _LEAST_PIXELS):
            found = f"{stained} of {area} pixels"
            raise ImageError("macenko", f"stain on at least {LEAST_STAINED:.1%} of a patch", found, "Drop it as glass.")
    elif patch.reshape(-1, 3).std(axis=0).max() == 0:
        raise ImageError("reinhard", "a patch with some variation", "one colour throughout", "Drop it as glass.")
