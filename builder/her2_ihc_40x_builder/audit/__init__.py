"""Audit a data set: what its splits leak, what is in it twice, and what is wrong with its patches.

One pass over the shards keeps what each row says and what its image is (`prints`), and puts aside in a file what it is
known by elsewhere (`texture_file`). The checks (`leaks`, `copies`, `patches`) are decisions on those alone, each with a
finding for each config (`findings`), which are printed (`table`) and shown (`gallery`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from her2_ihc_40x import CONFIGS, SPLITS

from ..hub.diff import Edition
from ..parallel import default_workers
from .copies import check_exact, check_labels, check_near
from .findings import Check, Finding, Subject
from .leaks import check_names, check_patients, check_slides, check_windows
from .patches import check_content, check_counts, check_files, check_metadata, check_rows, check_scores
from .patients import Patients
from .prints import Print, read_prints
from .texture_file import TextureFile

__all__ = ["Audit", "audit_edition"]

FORMAT = "her2-ihc-40x audit"
FORMAT_VERSION = 1
CHECKS: tuple[Check, ...] = (
    check_counts,
    check_slides,
    check_patients,
    check_names,
    check_windows,
    check_exact,
    check_near,
    check_labels,
    check_scores,
    check_rows,
    check_files,
    check_content,
    check_metadata,
)


@dataclass(frozen=True)
class Audit:
    """What was found in a data set.

    Args:
        edition: the data set.
        patches: config -> side -> patches.
        findings: one for each config and check, in the order of the checks.
        patients: the table that was given, if one was.
    """

    edition: Edition
    patches: Mapping[str, Mapping[str, int]]
    findings: tuple[Finding, ...]
    patients: Patients | None = None

    @property
    def broken(self) -> tuple[Finding, ...]:
        """The findings that break a promise of their config."""
        return tuple(finding for finding in self.findings if finding.status == "broken")

    def to_json(self) -> dict[str, Any]:
        """The audit as `--json` prints it."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "name": self.edition.name,
            "digest": self.edition.manifest.digest,
            "source": self.edition.manifest.source.get("kind"),
            "patients_table": self.patients and self.patients.to_json(),
            "patches": {config: dict(sides) for config, sides in self.patches.items()},
            "broken": len(self.broken),
            "findings": [finding.to_json() for finding in self.findings],
        }


def audit_edition(edition: Edition, patients: Patients | None = None, workers: int | None = None) -> Audit:
    """Read a data set once, and check it.

    Args:
        edition: a folder or a revision of the Hub; it is only read.
        patients: by a table: looked at beside the column case_id.
        workers: threads.

    Raises:
        ReleaseError: a shard cannot be read, or is none of ours.
        HubError: no answer.
        OutputError: there is no room for the textures.
    """
    with TextureFile() as textures:
        prints = read_prints(edition, textures, workers or default_workers())
        subjects = list(_subjects(edition, prints, patients.cases if patients else {}))
        return Audit(
            edition,
            {subject.config: {side: len(subject.split[side]) for side in SPLITS} for subject in subjects},
            tuple(finding for subject in subjects for check in CHECKS for finding in check(subject)),
            patients,
        )


def _subjects(edition: Edition, prints: list[Print], cases: Mapping[str, str]) -> Iterator[Subject]:
    for config in CONFIGS:
        inside = [p for p in prints if (p.sides.wsi if config == "wsi_split" else p.sides.patch) != "none"]
        if inside:
            yield Subject(config, inside, edition.manifest, cases, prints)
