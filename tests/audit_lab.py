"""What tests of the audit share: a sound data set, and questions to a finished audit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("cv2", reason="needs the extra [build]")

from her2_ihc_40x_builder.audit import Audit, audit_edition
from her2_ihc_40x_builder.audit.findings import Finding
from her2_ihc_40x_builder.hub.diff import open_edition
from her2_ihc_40x_builder.shards.files import Sides
from planted import TEST, TRAIN, png, row

Rows = list[tuple[Sides, dict[str, Any]]]


def audit(folder: Path) -> Audit:
    return audit_edition(open_edition(str(folder)), workers=2)


def of(found: Audit, check: str, config: str = "wsi_split") -> Finding:
    (finding,) = (each for each in found.findings if (each.config, each.check) == (config, check))
    return finding


def broken(found: Audit, config: str = "wsi_split") -> dict[str, int]:
    return {finding.check: finding.count for finding in found.broken if finding.config == config}


def noise(seed: int, size: int = 24) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def clean(count: int = 20) -> Rows:
    """Patches of slides of their own, none like another."""
    return [
        (
            TEST if at % 4 == 0 else TRAIN,
            row(f"clean-{at}", f"clean-{at}", png(noise(10_000 + at)), case_id=f"case-{at}"),
        )
        for at in range(count)
    ]
