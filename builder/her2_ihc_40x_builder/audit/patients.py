"""A table of patients beside a data set: who its slides are of, and of how many of them that is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import LabelError
from ..hub.diff import Edition
from ..slides.labels import read_labels
from ..spelling import spellings, told_apart
from .prints import read_slide_ids


@dataclass(frozen=True)
class Patients:
    """The patients of a data set's slides, by a table.

    Args:
        cases: slide id -> patient, of every slide in the table.
        slides: the data set's own.
    """

    cases: Mapping[str, str]
    slides: frozenset[str]

    @property
    def missing(self) -> tuple[str, ...]:
        """The data set's slides whose patient the table does not know."""
        return tuple(sorted(self.slides - self.cases.keys()))

    @property
    def near(self) -> str:
        """Which slides of the table may be some of those, spelled otherwise; empty if none may."""
        return told_apart(sorted(self.cases.keys() - self.slides), spellings(self.missing))

    @property
    def known(self) -> int:
        """How many of the data set's slides it knows the patient of."""
        return len(self.slides) - len(self.missing)

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {"slides": len(self.slides), "known": self.known, "unknown": len(self.missing)}


def read_patients(path: Path, edition: Edition) -> Patients:
    """Read a table of slide_id and case_id, and compare it with the slides of a data set.

    Raises:
        LabelError: it cannot be read, or knows no patient or none of the slides: nothing could be tested by it.
        ReleaseError: a shard cannot be read.
        HubError: no answer.
    """
    table = read_labels(path, wanted=("case_id",)).slides
    cases = {slide: labels.case_id.value for slide, labels in table.items() if labels.case_id}
    patients = Patients(cases, frozenset(read_slide_ids(edition)))
    if not patients.slides:
        remedy = "Leave --patients out; `pack --slides` says what slides patches are of, where that is known."
        raise LabelError(str(path), f"patients of slides that {edition.name} names", "no slide named there", remedy)
    if not patients.known:
        found = f"none of its {len(patients.slides)}, such as {patients.missing[0]!r:.80}"
        found += f"; {patients.near}" if patients.near else ""
        remedy = "Write slides as the column slide_id does, and each one's patient in the column case_id."
        raise LabelError(str(path), f"patients of slides of {edition.name}", found, remedy)
    return patients
