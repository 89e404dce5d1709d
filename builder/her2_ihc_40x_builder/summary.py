"""What commands print at their end: tables for a person."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from her2_ihc_40x import CLASSES, CONFIGS, SPLITS, one_line

from .shards.manifest import Counts, Manifest

if TYPE_CHECKING:
    from .build import BuildResult


def counts_table(counts: Counts) -> str:
    """Patches by config, split and class, as text for a terminal."""
    return "\n".join(_count_rows(counts))


def build_summary(result: BuildResult) -> str:
    """The tables, verdicts and warnings of a build, as text for a terminal."""
    return "\n".join(map(one_line, _summary_lines(result)))


def dropped_lines(manifest: Manifest) -> list[str]:
    """One line for each dropped window: its id, class, why, and the figure."""
    return [
        f"dropped {drop['patch_id']} ({drop['label']}): {drop['reason']} {drop['value']:.3f}"
        for unit in manifest.units.values()
        for drop in unit["dropped"]
    ]


def _count_rows(counts: Counts) -> Iterator[str]:
    yield f"{'config':<12}{'split':<6}" + "".join(f"{label:>8}" for label in CLASSES) + f"{'total':>8}"
    for config, split in ((config, split) for config in CONFIGS for split in SPLITS):
        if labels := counts.get(config, {}).get(split):
            cells = "".join(f"{labels[label]:>8}" for label in CLASSES)
            yield f"{config:<12}{split:<6}{cells}{sum(labels.values()):>8}"


def _summary_lines(result: BuildResult) -> Iterator[str]:
    units = result.manifest.units.values()
    yield (
        f"{'class':<7}{'slides':>7}{'regions':>9}{'windows':>9}{'kept':>7}{'-tissue':>9}{'-hue':>6}{'-stain':>8}"
        f"{'DAB p99':>9}"
    )
    for label in CLASSES:
        slides = sum(unit["score"] == label for unit in units)
        regions = sum(unit["regions"].get(label, 0) for unit in units)
        kept = sum(count for unit in units for key, count in unit["patches"].items() if key.split("|")[2] == label)
        dropped = Counter(drop["reason"] for unit in units for drop in unit["dropped"] if drop["label"] == label)
        densities = [unit["dab_p99_median"][label] for unit in units if label in unit["dab_p99_median"]]
        density = f"{statistics.median(densities):.3f}" if densities else "unknown"
        yield (
            f"{label:<7}{slides:>7}{regions:>9}{kept + dropped.total():>9}{kept:>7}{dropped['tissue']:>9}"
            f"{dropped['hue']:>6}{dropped['stain']:>8}{density:>9}"
        )
    if (intensity := result.manifest.parameters["intensity"]) in ("reinhard", "macenko"):
        yield f"DAB p99 is that of the slides as scanned; {intensity} has changed it in the patches."
    yield f"{len(units)} slides; {len(result.reused)} of them were done already"
    yield from _count_rows(result.manifest.counts)
    for key, verdict in result.verdicts.items():
        yield f"hue filter, {key}: {verdict.reason}"
    for slide in result.moved:
        yield f"moved: {slide} is on another side of wsi_split than before; --previous keeps sides while contents stay"
    for slide in result.gone:
        yield f"gone: {slide} was in the data set that this one replaces, and is not in this one"
    if result.lost_licence:
        yield f"warning: The data set that this one replaces had the licence {result.lost_licence}; give --license."
    for warning in (*result.plan.warnings, *_one_sided(result.manifest.counts)):
        yield f"warning: {warning}"


def _one_sided(counts: Counts) -> Iterator[str]:
    for config in CONFIGS:
        train, test = (counts.get(config, {}).get(split, {}) for split in SPLITS)
        for label in CLASSES:
            if test.get(label) and not train.get(label):
                yield f"{config}: all {test[label]} patches of class {label} are in test, none in train."
            elif train.get(label) and not test.get(label):
                yield f"{config}: all {train[label]} patches of class {label} are in train, none in test."
