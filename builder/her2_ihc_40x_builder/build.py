"""From raw slides and regions to a folder of shards: the one place where readers and writers meet."""

from __future__ import annotations

import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from her2_ihc_40x import ReleaseError

from . import card
from .cut import CutSlide, CutTask, cut_slide
from .errors import Her2Error, SlideError
from .hue import HueVerdict, references_to_json
from .intensity import Intensity, fit_target
from .journal import Finished, adopt, finished_units, record
from .manifest import FILE_NAME, Manifest, count_labels, read_manifest
from .parallel import default_workers, run_tasks
from .parameters import BuildInputs, BuildParameters, digest_of
from .plan import BuildPlan, SlidePlan, plan_build
from .references import HueDecision, decide_hue
from .shards import Sides
from .staging import staged_folder, write_text
from .survey import Survey, SurveyTask, survey_slide


@dataclass(frozen=True)
class BuildResult:
    """What a build made.

    Args:
        plan: what was to be made; its quarantine holds every slide of which nothing was made.
        surveys: slide -> what was seen of its glass.
        manifest: of the data set.
        verdicts: of the hue filter.
        reused: slides whose files were there already.
        moved: slides that are on another side of `wsi_split` than in the data set that was replaced.
    """

    plan: BuildPlan
    surveys: Mapping[str, Survey]
    manifest: Manifest
    verdicts: tuple[HueVerdict, ...]
    reused: tuple[str, ...]
    moved: tuple[str, ...]


def build_dataset(
    inputs: BuildInputs,
    out: Path,
    parameters: BuildParameters | None = None,
    *,
    licence: str | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> BuildResult:
    """Cut every slide into patches and write the data set to `out`; a slide in trouble is left out and reported.

    The output is a function of the inputs and the parameters alone. What an interrupted run finished, and what is
    unchanged in a data set at `out` that was built with the same parameters, is taken over.

    Args:
        inputs: where to read.
        out: the folder to make, or to bring up to date.
        parameters: how patches are made.
        licence: the data's licence, as an id of the Hub; None if unknown.
        workers: cores to use.
        overwrite: replace a data set of ours at `out` that was built otherwise.
        say: is told what happens.

    Raises:
        Her2Error: nothing can be made: no slide, no region, unreadable tables, or an output that is taken.
    """
    parameters = parameters or BuildParameters()
    workers = workers or default_workers()
    plan = plan_build(inputs, parameters)
    if not plan.slides:
        first = next(iter(plan.quarantined.values()), None)
        raise SlideError(
            str(inputs.slides),
            "a slide with a label and a region",
            "none",
            f"The first problem: {first}" if first else "Check the paths of slides and regions.",
        )
    same = _built_with(out, parameters)
    with staged_folder(out, overwrite=overwrite or same, is_ours=_is_built, keep=True) as tree:
        plan, surveys = _survey(plan, parameters, workers)
        hue = decide_hue(plan.slides, surveys, parameters, inputs.previous, workers)
        tasks = _cut_tasks(plan, tree, surveys, hue, parameters, workers)
        digests = {task.slide.slide_id: _inputs_digest(task, surveys, parameters) for task in tasks}
        journal = tree.parent / "units"
        finished = {
            unit: done
            for unit, done in finished_units(journal, tree, out).items()
            if unit in digests and adopt(done, digests[unit], tree)
        }
        todo = [
            _Recorded(task, digests[task.slide.slide_id], surveys, journal)
            for task in tasks
            if task.slide.slide_id not in finished
        ]
        results = run_tasks(
            _cut_and_record,
            todo,
            workers=min(workers, len(plan.slides)),
            label="Cutting",
            unit="window",
            weight=lambda one: len(one.task.slide.patches),
            done=lambda one, result: say(_line(one.task.slide, result)),
        )
        quarantined = dict(plan.quarantined)
        made = dict(finished)
        for one, result in zip(todo, results, strict=True):
            if isinstance(result, Her2Error):
                quarantined[one.task.slide.slide_id] = result
            else:
                made[one.task.slide.slide_id] = result
        plan = replace(plan, quarantined=dict(sorted(quarantined.items())))
        manifest = _manifest(plan, made, hue, parameters, licence)
        _drop_strangers(tree, manifest)
        if not manifest.rows:
            raise SlideError(str(inputs.slides), "a window that is kept", "none", "Look at --report-dropped.")
        card.write_card(tree, manifest)
        write_text(tree / FILE_NAME, manifest.to_json())
        moved = _moved(out, manifest)
    return BuildResult(plan, surveys, manifest, hue.verdicts, tuple(sorted(finished)), moved)


# --- Before the slides are cut ------------------------------------------------------------------------------------


def _is_built(folder: Path) -> bool:
    try:
        return read_manifest(folder).source.get("kind") == "slides"
    except ReleaseError:
        return False


def _built_with(out: Path, parameters: BuildParameters) -> bool:
    return _is_built(out) and read_manifest(out).parameters == json.loads(json.dumps(parameters.to_json()))


def _survey(plan: BuildPlan, parameters: BuildParameters, workers: int) -> tuple[BuildPlan, dict[str, Survey]]:
    tasks = [SurveyTask(slide, parameters.white) for slide in plan.slides]
    found = run_tasks(survey_slide, tasks, workers=workers, label="White points", unit="slide", threads=True)
    surveys: dict[str, Survey] = {}
    quarantined = dict(plan.quarantined)
    warnings = list(plan.warnings)
    for slide, survey in zip(plan.slides, found, strict=True):
        if isinstance(survey, Her2Error):
            quarantined[slide.slide_id] = survey
            continue
        surveys[slide.slide_id] = survey
        if survey.white is None:
            what = "its patches are not scaled, and their tissue is unknown"
            warnings.append(f"Slide {slide.slide_id}: no white point ({survey.reason}): {what}. Give --white R,G,B.")
    slides = tuple(slide for slide in plan.slides if slide.slide_id in surveys)
    return BuildPlan(slides, quarantined, tuple(warnings)), surveys


def _cut_tasks(
    plan: BuildPlan,
    tree: Path,
    surveys: Mapping[str, Survey],
    hue: HueDecision,
    parameters: BuildParameters,
    workers: int,
) -> list[CutTask]:
    target = _stain_target(parameters)
    # Cores that slides leave over work within a slide.
    threads = max(1, workers // max(1, min(workers, len(plan.slides))))
    tasks = []
    for slide in plan.slides:
        white = surveys[slide.slide_id].white
        labels = {patch.label for patch in slide.patches}
        rules = {label: hue.rules[slide.wsi_side, label] for label in labels if (slide.wsi_side, label) in hue.rules}
        intensity = Intensity(parameters.intensity, white, target, parameters.accept_stain_loss)
        tasks.append(
            CutTask(
                root=tree,
                slide=slide,
                white=white,
                intensity=intensity,
                hue=rules,
                min_tissue=parameters.min_tissue,
                patch_size=parameters.patch_size,
                encoding=parameters.encoding,
                threads=threads,
            )
        )
    return tasks


def _stain_target(parameters: BuildParameters) -> tuple[float, ...]:
    path, name = parameters.stain_reference, parameters.intensity
    if path is None or name not in ("reinhard", "macenko"):
        return ()
    with Image.open(path, formats=("PNG", "JPEG")) as image:
        if max(image.size) > 8192:
            raise SlideError(str(path), "at most 8192 pixels a side", f"{image.size}", "Give one patch.")
        pixels = np.asarray(image.convert("RGB"))
    return fit_target("reinhard" if name == "reinhard" else "macenko", pixels, parameters.white)


def _inputs_digest(task: CutTask, surveys: Mapping[str, Survey], parameters: BuildParameters) -> str:
    """Of all that a slide's files hang on, so that nothing else makes it anew."""
    slide = task.slide
    rules = {label: (rule.reference.histogram, rule.threshold, rule.drops) for label, rule in task.hue.items()}
    return digest_of(
        [
            [slide.slide_id, slide.content_key, slide.mpp, slide.factor, slide.score, slide.case_id, slide.wsi_side],
            [[p.box.x, p.box.y, p.box.width, p.roi_id, p.label, p.label_source, p.patch_side] for p in slide.patches],
            surveys[slide.slide_id].fingerprint,
            task.white.levels if task.white else None,
            task.intensity.target,
            rules,
            parameters.to_json(),
        ]
    )


# --- Cutting ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Recorded:
    task: CutTask
    digest: str
    surveys: Mapping[str, Survey] = field(repr=False)
    journal: Path

    def __post_init__(self) -> None:
        own = self.task.slide.slide_id
        object.__setattr__(self, "surveys", {own: self.surveys[own]})


def _cut_and_record(one: _Recorded) -> Finished | Her2Error:
    cut = cut_slide(one.task)
    if isinstance(cut, Her2Error):
        return cut
    finished = Finished(one.task.root, cut.shards, _entry(one, cut))
    record(one.journal, cut.slide_id, finished)
    return finished


def _entry(one: _Recorded, cut: CutSlide) -> dict[str, Any]:
    """What the manifest says of a slide."""
    slide = one.task.slide
    counts = Counter(f"{patch.sides.wsi}|{patch.sides.patch}|{patch.label}" for patch in cut.kept)
    densities: dict[str, list[float]] = defaultdict(list)
    for patch in cut.kept:
        if patch.dab is not None:
            densities[patch.label].append(patch.dab)
    return {
        "inputs": one.digest,
        "content_key": slide.content_key,
        "score": slide.score,
        "wsi_side": slide.wsi_side,
        "regions": len(slide.regions),
        "windows": len(slide.patches),
        "mpp": slide.mpp,
        "white": list(one.task.white.levels) if one.task.white else None,
        "white_reason": one.surveys[slide.slide_id].reason,
        "patches": dict(sorted(counts.items())),
        "dab_p99_median": {label: round(statistics.median(v), 4) for label, v in sorted(densities.items())},
        "dropped": [
            {"patch_id": drop.patch_id, "label": drop.label, "reason": drop.reason, "value": round(drop.value, 4)}
            for drop in cut.dropped
        ],
    }


def _line(slide: SlidePlan, result: Finished | Her2Error) -> str:
    if isinstance(result, Her2Error):
        return f"{slide.slide_id}: quarantined: {result}"
    kept = sum(result.entry["patches"].values())
    return f"{slide.slide_id}: {len(slide.regions)} regions, {len(slide.patches)} windows, {kept} kept"


# --- After the slides are cut -------------------------------------------------------------------------------------


def _manifest(
    plan: BuildPlan, made: Mapping[str, Finished], hue: HueDecision, parameters: BuildParameters, licence: str | None
) -> Manifest:
    shards = sorted(shard for finished in made.values() for shard in finished.shards)
    rows = []
    for finished in made.values():
        for key, count in finished.entry["patches"].items():
            wsi, patch, label = key.split("|")
            rows += [(Sides(wsi, patch), label)] * count
    return Manifest(
        shards=shards,
        counts=count_labels(rows),
        parameters=json.loads(json.dumps(parameters.to_json())),
        source={"kind": "slides", "licence": licence, "record": None},
        units={unit: made[unit].entry for unit in sorted(made)},
        report={
            "quarantined": sorted(plan.quarantined),
            "hue_filter": {verdict.label: verdict.reason for verdict in hue.verdicts},
        },
        hue_references=references_to_json(hue.references),
    )


def _drop_strangers(tree: Path, manifest: Manifest) -> None:
    """Remove shards that no finished unit has: of slides that are gone, or that were in trouble this time."""
    listed = {tree / shard.path for shard in manifest.shards}
    for path in sorted(tree.glob("data/*/*/*")):
        if path not in listed:
            path.unlink()
    for folder in sorted((path for path in tree.glob("data/**/") if path != tree), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def _moved(out: Path, manifest: Manifest) -> tuple[str, ...]:
    if not _is_built(out):
        return ()
    before = {unit["content_key"]: unit["wsi_side"] for unit in read_manifest(out).units.values()}
    return tuple(
        slide_id
        for slide_id, unit in manifest.units.items()
        if before.get(unit["content_key"], unit["wsi_side"]) != unit["wsi_side"]
    )
