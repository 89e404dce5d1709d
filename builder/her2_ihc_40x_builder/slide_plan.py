"""What is to be made: slides, their windows and the sides of these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import Her2Error
from .geometry import Box, Size
from .privacy.pseudonyms import Key, sealed
from .regions import Region
from .windows.splits import Side


@dataclass(frozen=True)
class PlannedPatch:
    """A window that may become a patch.

    Args:
        box: level-0 pixels.
        roi_id: its region.
        label: its region's class if that has one, else the slide's score.
        label_source: "region" or "slide".
        patch_side: its side in `patch_split`.
    """

    box: Box
    roi_id: str
    label: str
    label_source: str
    patch_side: Side


@dataclass(frozen=True)
class SlidePlan:
    """What is to be made of one slide.

    Args:
        slide_id: its name.
        path: the file to open.
        files: what it is in, `path` among them.
        content_key: what it is whatever its name.
        size: pixels of level 0.
        mpp: micrometres a pixel of the patches.
        factor: level-0 pixels a patch pixel.
        score: of the slide.
        case_id: the patient; None where unknown.
        wsi_side: its side in `wsi_split`.
        regions: in the order of their ids.
        patches: by region, y, x.
        key: what seals fingerprints of the file before they are published; None to publish them as they are.
    """

    slide_id: str
    path: Path
    files: tuple[Path, ...]
    content_key: str
    size: Size
    mpp: float
    factor: float
    score: str
    case_id: str | None
    wsi_side: Side
    regions: tuple[Region, ...]
    patches: tuple[PlannedPatch, ...]
    key: Key | None = None

    def sealed(self, fingerprint: str) -> str:
        """A fingerprint of the file as it may be published."""
        return sealed(fingerprint, self.key)

    def patch_id(self, box: Box) -> str:
        """The id of the patch at a window."""
        return patch_id(self.slide_id, box)


def patch_id(slide_id: str, box: Box) -> str:
    """The id of the patch of a slide at a window."""
    return f"{slide_id}-x{box.x}-y{box.y}"


@dataclass(frozen=True)
class BuildPlan:
    """What is to be made, and everything found on the way.

    Args:
        slides: by id.
        quarantined: slide or file -> why nothing is made of it.
        warnings: sentences for a person.
    """

    slides: tuple[SlidePlan, ...]
    quarantined: Mapping[str, Her2Error]
    warnings: tuple[str, ...]
