"""A slide as a unit of work: what its files hang on, cutting it, and what the manifest and the journal say of it."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .cut import CutSlide, CutTask, cut_slide
from .errors import Her2Error
from .journal import Finished, record
from .parameters import digest_of
from .survey import Survey, killed_by


@dataclass(frozen=True)
class UnitTask:
    """A slide to cut, and to note in the journal as done.

    Args:
        cut: what to do.
        survey: what was seen of the slide.
        journal: the folder of notes.
    """

    cut: CutTask
    survey: Survey
    journal: Path

    @property
    def unit(self) -> str:
        """The slide's id."""
        return self.cut.slide.slide_id

    @property
    def inputs(self) -> str:
        """A digest of all that the slide's files hang on, and of nothing else, so that nothing else makes it anew."""
        cut, slide = self.cut, self.cut.slide
        digest = digest_of(
            [
                [slide.slide_id, slide.content_key, slide.mpp, slide.score, slide.case_id, slide.wsi_side],
                [
                    [p.box.x, p.box.y, p.box.width, p.roi_id, p.label, p.label_source, p.patch_side]
                    for p in slide.patches
                ],
                [self.survey.inputs, cut.white and cut.white.levels, cut.min_tissue, cut.patch_size],
                [cut.intensity.name, cut.intensity.target],
                {label: (rule.reference.histogram, rule.threshold, rule.drops) for label, rule in cut.hue.items()},
                [cut.encoding.format, cut.encoding.quality, cut.encoding.codec],
            ]
        )
        return slide.sealed(digest)


def make_unit(task: UnitTask) -> Finished | Her2Error:
    """Cut a slide, and note it as done; an error is returned, for the other slides to go on."""
    cut = cut_slide(task.cut)
    if isinstance(cut, Her2Error):
        return cut
    finished = Finished(task.unit, task.cut.root, cut.shards, _entry(task, cut))
    record(task.journal, finished)
    return finished


def unit_killed(task: UnitTask) -> Finished | Her2Error:
    """What stands for a slide at which the process is killed."""
    return killed_by(task.cut.slide)


def _entry(task: UnitTask, cut: CutSlide) -> dict[str, Any]:
    """What the manifest says of a slide."""
    slide = task.cut.slide
    patches = Counter(f"{patch.sides.wsi}|{patch.sides.patch}|{patch.label}" for patch in cut.kept)
    densities: dict[str, list[float]] = defaultdict(list)
    for patch in cut.kept:
        if patch.dab is not None:
            densities[patch.label].append(patch.dab)
    return {
        "inputs": task.inputs,
        "content_key": slide.sealed(slide.content_key),
        "score": slide.score,
        "wsi_side": slide.wsi_side,
        "regions": dict(sorted(Counter(region.label or slide.score for region in slide.regions).items())),
        "windows": len(slide.patches),
        "mpp": slide.mpp,
        **task.survey.to_entry(),
        "patches": dict(sorted(patches.items())),
        "dab_p99_median": {label: round(statistics.median(v), 4) for label, v in sorted(densities.items())},
        "dropped": [
            {"patch_id": drop.patch_id, "label": drop.label, "reason": drop.reason, "value": round(drop.value, 4)}
            for drop in cut.dropped
        ],
    }
