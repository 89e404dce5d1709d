"""A slide as a unit of work: what its files hang on, cutting it, and what the manifest and the journal say of it."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from her2_ihc_40x import CLASSES

from ..errors import Her2Error
from ..parameters import digest_of
from ..shards.journal import Finished, record
from ..slides.slide import killed_by
from .cut import CutSlide, CutTask, cut_slide
from .survey import Survey

#: What is said of a slide, and of which type each part is.
_ENTRY: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("inputs", "content_key", "score", "wsi_side", "white_reason", "surveyed"), (str,)),
    **dict.fromkeys(("regions", "patches", "dab_p99_median"), (dict,)),
    **{"windows": (int,), "mpp": (float,), "white": (list, type(None)), "dropped": (list,)},
}
#: What is said of a dropped window.
_DROP = {"patch_id": str, "label": str, "reason": str, "value": float}


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
    return killed_by(task.cut.slide.path)


def is_entry(finished: Finished) -> bool:
    """Whether what a manifest or note says of a finished slide is just what `make_unit` writes, and fits its files."""
    entry = finished.entry
    if entry.keys() != _ENTRY.keys() or any(type(entry[key]) not in kinds for key, kinds in _ENTRY.items()):
        return False
    rows = sum(shard.rows for shard in finished.shards)
    keys = [key.split("|") for key in entry["patches"]]
    return (
        all(len(key) == 3 and key[2] in CLASSES for key in keys)
        and all(type(count) is int for count in (*entry["patches"].values(), *entry["regions"].values()))
        and sum(entry["patches"].values()) == rows
        and all(type(value) is float for value in entry["dab_p99_median"].values())
        and all(isinstance(drop, dict) and drop.keys() == _DROP.keys() for drop in entry["dropped"])
        and all(type(drop[key]) is kind for drop in entry["dropped"] for key, kind in _DROP.items())
    )


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
