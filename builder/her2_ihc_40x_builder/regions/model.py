"""What the readers of regions hand on: shapes as a file draws them, then regions, and everything there is to report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from shapely import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from ..errors import Her2Error

Area = Polygon | MultiPolygon

#: Kinds of finding, in the order in which they are worth reading.
Kind = Literal[
    "slide without region",
    "region without slide",
    "region outside slide",
    "region clipped",
    "shape repaired",
    "shape subtracted",
    "class not named",
    "crops not compared with slide",
    "places of crops not kept",
    "ignored",
]


@dataclass(frozen=True)
class Region:
    """A piece of a slide that an expert drew.

    Attributes:
        slide_id: the slide's id.
        roi_id: unique on the slide: the annotation's number or UUID, else the top left of its box (`x120y45`).
        label: 0, 1+, 2+ or 3+ if the region has a class of its own, else None.
        class_name: the class as drawn; None where there is none, or only a number that nothing names.
        polygon: level-0 pixels from the slide's top left, inside the slide, less what is subtracted.
        source: the file that it comes from.
    """

    slide_id: str
    roi_id: str
    label: str | None
    class_name: str | None
    polygon: Area
    source: Path


@dataclass(frozen=True, order=True)
class Finding:
    """Something to report that stops nothing: what kind, about what (a slide or a file and shape), and the details."""

    kind: Kind
    subject: str
    detail: str


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings, each once, in the order of their kinds, then of what they are about."""
    kinds = get_args(Kind)
    return tuple(sorted(set(findings), key=lambda one: (kinds.index(one.kind), one)))


@dataclass(frozen=True)
class RegionSet:
    """Regions in order of (slide, id), the errors that stop single slides, and what else there is to report.

    A slide in `problems` has no region in `regions`: half of a slide's regions must not pass for all of them.
    """

    regions: tuple[Region, ...]
    problems: Mapping[str, Her2Error]
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Drawn:
    """One shape of one file, before any rule.

    Attributes:
        slide_id: the slide's id.
        roi_id: None where the file gives none that may be kept.
        class_name: as drawn, stripped; None where there is none.
        shape: level-0 pixels, y down; not checked.
        source: the file.
        where: the file and the shape in it, for messages.
        subtract: the file says that the shape is taken away from the others.
        rank: which outline of a region is kept if there are several, the lowest: 0 drawn, 1 painted, 2 only a box.
        tolerance: how far its box may be off, in level-0 pixels.
        named: `roi_id` is what a person called the region: it finds the region in other files, and is not kept.
        own_id: what is kept then; None for its place.
    """

    slide_id: str
    roi_id: str | None
    class_name: str | None
    shape: BaseGeometry
    source: Path
    where: str
    subtract: bool = False
    rank: int = 0
    tolerance: float = 1.0
    named: bool = False
    own_id: str | None = None


@dataclass
class Reading:
    """What has been read so far: shapes, errors that stop a slide, findings."""

    drawn: list[Drawn] = field(default_factory=list)
    problems: dict[str, Her2Error] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def report(self, kind: Kind, subject: str, detail: str) -> None:
        """Add a finding."""
        self.findings.append(Finding(kind, subject, detail))

    def stop(self, slide_id: str, error: Her2Error) -> None:
        """Stop a slide; the first error is kept."""
        self.problems.setdefault(slide_id, error)
