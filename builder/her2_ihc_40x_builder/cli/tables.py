"""What commands print alike: the table of counts."""

from __future__ import annotations

from collections.abc import Iterator

from her2_ihc_40x import CLASSES, CONFIGS, SPLITS

from ..manifest import Counts


def counts_table(counts: Counts) -> str:
    """Patches by config, split and class, as text for a terminal."""
    return "\n".join(_rows(counts))


def _rows(counts: Counts) -> Iterator[str]:
    yield f"{'config':<12}{'split':<6}" + "".join(f"{label:>8}" for label in CLASSES) + f"{'total':>8}"
    for config, split in ((config, split) for config in CONFIGS for split in SPLITS):
        if labels := counts.get(config, {}).get(split):
            cells = "".join(f"{labels[label]:>8}" for label in CLASSES)
            yield f"{config:<12}{split:<6}{cells}{sum(labels.values()):>8}"
