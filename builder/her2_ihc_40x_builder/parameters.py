"""What a build is told: the parameters that, with the inputs, determine every byte of its output."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from her2_ihc_40x import __version__

from .errors import ImageError, OptionError
from .hashing import sha256_of
from .patches.encode import Encoding
from .patches.hue import THRESHOLD, HueFilter
from .patches.intensity import IntensityName
from .patches.white import White
from .places import SPECIAL, SPECIAL_REMEDY, is_special
from .regions.classes import ClassRules
from .windows.splits import PatchSplit


@dataclass(frozen=True)
class BuildParameters:
    """How patches are made of slides and regions.

    Args:
        patch_size: side of a patch in pixels.
        stride: of a plain grid in patch pixels; None for adaptive windows.
        min_region_overlap: share of a window that must lie in its region, unless it covers 90 % of the region.
        min_tissue: share of a window that must be tissue.
        hue_filter: "drop", "report", "authors" or "off"; see `hue.decide`.
        hue_threshold: a patch is kept above it.
        intensity: "background", "none", "reinhard" or "macenko"; see `intensity.Intensity`.
        accept_stain_loss: that the last two change the staining that is scored.
        stain_reference: the image whose colours the last two give to every patch.
        white: the glass of every slide; None to find it slide by slide.
        mpp: micrometres a level-0 pixel of every slide, instead of what the files say; None to believe the files.
        resample: resample slides finer than 40x down to it.
        test_fraction: share of slides, and of patches, on the test side.
        seed: of everything that is drawn.
        patch_split: "overlap" keeps windows that share a pixel on one side; "authors" splits patch by patch.
        encoding: of the images.
    """

    patch_size: int = 1024
    stride: int | None = None
    min_region_overlap: float = 0.5
    min_tissue: float = 0.1
    hue_filter: HueFilter = "drop"
    hue_threshold: float = THRESHOLD
    intensity: IntensityName = "background"
    accept_stain_loss: bool = False
    stain_reference: Path | None = None
    white: White | None = None
    mpp: float | None = None
    resample: bool = False
    test_fraction: float = 0.2
    seed: int = 0
    patch_split: PatchSplit = "overlap"
    encoding: Encoding = field(default_factory=Encoding)

    def __post_init__(self) -> None:
        for option, value, meant, is_meant in (
            ("--patch-size", self.patch_size, "from 16 to 8192", 16 <= self.patch_size <= 8192),
            ("--stride", self.stride, "of at least 1", self.stride is None or self.stride >= 1),
            ("--min-region-overlap", self.min_region_overlap, "above 0 and up to 1", 0 < self.min_region_overlap <= 1),
            ("--min-tissue", self.min_tissue, "from 0 to 1", 0 <= self.min_tissue <= 1),
            ("--hue-threshold", self.hue_threshold, "from -1 to 1", -1 <= self.hue_threshold <= 1),
            ("--mpp", self.mpp, "above 0", self.mpp is None or 0 < self.mpp < math.inf),
            ("--test-fraction", self.test_fraction, "above 0 and below 1", 0 < self.test_fraction < 1),
        ):
            if not is_meant:
                raise OptionError(option, f"a number {meant}", str(value), "Correct it.")
        needs_reference = self.intensity in ("reinhard", "macenko")
        if needs_reference and not self.accept_stain_loss:
            raise OptionError(
                f"--intensity {self.intensity}",
                "--accept-stain-loss beside it",
                "none",
                "It changes the staining that HER2 is scored by; use background, or accept the loss.",
            )
        if needs_reference != (self.stain_reference is not None):
            raise OptionError(
                f"--intensity {self.intensity}",
                "--stain-reference IMAGE with reinhard and macenko, and only there",
                "none" if needs_reference else "one",
                "Give a patch whose colours all others shall have." if needs_reference else "Leave it out.",
            )

    def to_json(self) -> dict[str, Any]:
        """The parameters as the manifest holds them: no paths; a stain reference by its hash.

        Raises:
            ImageError: the stain reference cannot be read.
        """
        return {
            "patch_size": self.patch_size,
            "stride": self.stride,
            "min_region_overlap": self.min_region_overlap,
            "min_tissue": self.min_tissue,
            "hue_filter": self.hue_filter,
            "hue_threshold": self.hue_threshold,
            "intensity": self.intensity,
            "stain_reference": None if self.stain_reference is None else _hash_of_reference(self.stain_reference),
            "white": None if self.white is None else list(self.white.levels),
            "mpp": self.mpp,
            "resample": self.resample,
            "test_fraction": self.test_fraction,
            "seed": self.seed,
            "patch_split": self.patch_split,
            "image_format": self.encoding.format,
            "quality": self.encoding.quality if self.encoding.format == "jpeg" else None,
            "codec": self.encoding.codec,
        }


def _hash_of_reference(path: Path) -> str:
    if is_special(path):
        raise ImageError(str(path), "a stain reference", SPECIAL, SPECIAL_REMEDY)
    try:
        return sha256_of(path)
    except OSError as error:
        raise ImageError(str(path), "a stain reference", error.strerror or repr(error), "Check the path.") from error


@dataclass(frozen=True)
class BuildInputs:
    """Where a build reads.

    Args:
        slides: the folder of slides.
        regions: a file or folder of crops, masks or annotations.
        labels: a CSV of slide_id, label, case_id, mpp; None if folders name the classes.
        splits: a CSV of sides; None to draw them.
        previous: an earlier data set, whose sides and hue references stay.
        rules: what the classes of regions mean.
        label_map: spelling -> class, for labels in folders and in the CSV.
        invert_y: annotations count y from the other edge than their tool is known to.
    """

    slides: Path
    regions: Path
    labels: Path | None = None
    splits: Path | None = None
    previous: Path | None = None
    rules: ClassRules = field(default_factory=ClassRules)
    label_map: Mapping[str, str] = field(default_factory=dict)
    invert_y: bool = False


def digest_of(content: Any) -> str:
    """A digest of JSON-like content and of the code's version: what is made from equal content is equal."""
    text = json.dumps([__version__, content], sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
