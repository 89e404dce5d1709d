"""An audit as text for people."""

from __future__ import annotations

from collections.abc import Iterator

from her2_ihc_40x import one_line

from . import Audit
from .findings import Finding
from .patients import Patients

_MARKS = {"broken": "BROKEN", "told": "found", "unknown": "unknown", "ok": "ok"}
_SHOWN = 3
_WIDTH = 80


def audit_table(audit: Audit) -> str:
    """A table a config: what was tested, how many were found, and some of them."""
    lines: list[str] = []
    if audit.patients:
        lines += [_patients(audit.patients), ""]
    for config, sides in audit.patches.items():
        lines += [f"{config}: " + ", ".join(f"{count:,} {side}" for side, count in sides.items()), ""]
        for finding in audit.findings:
            if finding.config == config:
                lines += _lines(finding)
        lines.append("")
    broken = ", ".join(f"{finding.config} {finding.check}" for finding in audit.broken)
    lines.append(f"{len(audit.broken)} promises broken: {broken}" if broken else "no promise is broken")
    return "\n".join(lines)


def printable(text: str) -> str:
    """A name from the data as a terminal may show it."""
    plain = "".join(char if char.isprintable() else "?" for char in text)
    return plain if len(plain) <= _WIDTH else plain[: _WIDTH - 3] + "..."


def _patients(patients: Patients) -> str:
    line = f"--patients knows {patients.known:,} of {len(patients.slides):,} slides"
    if patients.missing:
        some = ", ".join(map(printable, patients.missing[:_SHOWN]))
        some += ", ..." if len(patients.missing) > _SHOWN else ""
        line += f"; {len(patients.missing):,} are not tested by it: {some}"
        line += f"; {patients.near}" if patients.near else ""
    return line


def _lines(finding: Finding) -> Iterator[str]:
    count = "-" if finding.status == "unknown" else f"{finding.count:,} of {finding.of:,} {finding.unit}"
    yield f"  {_MARKS[finding.status]:<8}{finding.check:<22}{count:<28}{finding.promise}"
    if finding.status == "unknown":
        yield f"{'':10}not tested: {finding.unknown}"
    elif finding.note:
        yield f"{'':10}{one_line(finding.note)}"
    if finding.status in ("broken", "told"):
        for example in finding.examples[:_SHOWN]:
            yield f"{'':10}{' | '.join(map(printable, example))}"
        if len(finding.examples) > _SHOWN:
            yield f"{'':10}..."
