"""From raw slides and regions to a folder of shards: the whole pipeline."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .card.companions import write_companions
from .earlier import change_warnings, earlier_build, gone_slides, made_build, moved_slides
from .errors import Her2Error, OutputError, SlideError
from .forking import start_imports
from .parallel import Processes, default_workers, run_tasks
from .parameters import BuildInputs, BuildParameters
from .patches.cut import CutTask
from .patches.hue import HueVerdict, references_to_json
from .patches.hue_decision import HueDecision, decide_hue
from .patches.intensity import Intensity
from .patches.stain_reference import stain_target
from .patches.survey import Survey, survey_slides
from .patches.unit import UnitTask, is_entry, make_unit, unit_killed
from .plan import plan_build
from .privacy.private_names import OpenNames
from .privacy.pseudonyms import sealed
from .progress import Progress
from .shards.files import Sides
from .shards.journal import Finished, adopt, noted, published
from .shards.manifest import Manifest, count_labels, read_manifest
from .shards.staging import check_outside, staged_folder
from .slide_plan import BuildPlan, SlidePlan


@dataclass(frozen=True)
class BuildResult:
    """What a build made.

    Args:
        plan: what was to be made; its quarantine holds every slide of which nothing was made.
        manifest: of the data set.
        verdicts: of the hue filter, by class, or by split and class.
        reused: slides whose files were there already.
        moved: slides that are on another side of `wsi_split` than in the data set that was replaced.
        gone: slides of the data set that was replaced that are not in this one, under any name.
        lost_licence: that of the data set that was replaced, if this one has none.
        names: what may be told of them.
    """

    plan: BuildPlan
    manifest: Manifest
    verdicts: Mapping[str, HueVerdict]
    reused: tuple[str, ...]
    moved: tuple[str, ...]
    gone: tuple[str, ...]
    lost_licence: str | None
    names: OpenNames


def build_dataset(
    inputs: BuildInputs,
    out: Path,
    parameters: BuildParameters | None = None,
    *,
    licence: str | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda line: None,
    names: OpenNames | None = None,
) -> BuildResult:
    """Cut every slide into patches and write the data set to `out`; a slide in trouble is left out and reported.

    The output is a function of the inputs and the parameters alone. What an interrupted run finished, and what is
    unchanged in a data set that was built from slides at `out`, is taken over.

    Args:
        inputs: where to read.
        out: the folder to make, or to bring up to date.
        parameters: how patches are made.
        licence: the data's licence, as an id of the Hub; None if unknown.
        workers: cores to use.
        overwrite: replace a data set at `out` that was built with other parameters.
        say: is told what happens.
        names: `PrivateNames` for pseudonyms in the output, in what is said and in errors; None for names as they are.

    Raises:
        Her2Error: nothing can be made: no slide, no region, unreadable tables, or an output that is taken.
    """
    parameters = parameters or BuildParameters()
    workers = workers or default_workers()
    names = names or OpenNames()
    check_outside(out, (inputs.slides, inputs.regions))
    with names.telling():
        told = _told(parameters, names)
        target = stain_target(parameters)
    earlier = earlier_build(out, overwrite=overwrite, say=say)
    same = earlier is not None and earlier.parameters == told
    if earlier is not None and not (same or overwrite):
        raise _other_parameters(out, earlier.parameters, told)
    # Under another key, or none, slides of then and now are not to be compared, and names of then not to be told.
    before = earlier if earlier and earlier.parameters.get("pseudonyms") == told["pseudonyms"] else None
    with (
        staged_folder(out, overwrite=overwrite or same, made_in=made_build, keep=True) as tree,
        Processes(workers) as processes,
        names.telling(),
    ):
        start_imports()
        journal = tree.parent / "units"
        earlier_units = published(earlier, out) if earlier else ()
        candidates = [one for one in (*noted(journal, tree), *earlier_units) if is_entry(one)]
        plan = names.renamed(plan_build(inputs, parameters, processes, key=names.key))
        plan = replace(plan, warnings=plan.warnings + _changes(plan, inputs, out, before))
        entries = {one.unit: one.entry for one in reversed(candidates)}
        plan, surveys = _look(plan, survey_slides(plan.slides, parameters.white, entries, processes), names)
        note = tree.parent / "hue" / "decision.json"
        hue = decide_hue(plan.slides, surveys, parameters, inputs.previous, earlier, note, processes)
        tasks = [
            UnitTask(_cut_task(slide, tree, surveys[slide.slide_id], hue, target, parameters), survey, journal)
            for slide in plan.slides
            for survey in [surveys[slide.slide_id]]
        ]
        made = adopt(candidates, {task.unit: task.inputs for task in tasks}, tree)
        reused = tuple(sorted(made))
        failed = _make([task for task in tasks if task.unit not in made], made, processes, say, names)
        quarantined = dict(sorted({**plan.quarantined, **failed}.items()))
        plan = replace(plan, quarantined=quarantined, warnings=plan.warnings + hue.warnings)
        manifest = _manifest(plan, made, hue, told, licence)
        _check_not_empty(inputs, plan, manifest)
        _drop_strangers(tree, manifest)
        manifest = write_companions(tree, manifest)
    moved, gone = moved_slides(before, manifest), gone_slides(before, manifest)
    lost_licence = earlier.source.get("licence") if earlier and not licence else None
    return BuildResult(plan, manifest, hue.verdicts, reused, moved, gone, lost_licence, names)


def _told(parameters: BuildParameters, names: OpenNames) -> dict[str, Any]:
    """What the manifest says of the parameters, as it is when it is read again."""
    told = parameters.to_json() | {"pseudonyms": names.key.id if names.key else None}
    if told["stain_reference"] is not None:
        told["stain_reference"] = sealed(told["stain_reference"], names.key)
    content: dict[str, Any] = json.loads(json.dumps(told))
    return content


def _other_parameters(out: Path, earlier: Mapping[str, Any], now: Mapping[str, Any]) -> OutputError:
    others = [name for name in sorted({*earlier, *now}) if earlier.get(name) != now.get(name)]
    expected, found = "the parameters that it was built with", f"another {', another '.join(others)}"
    return OutputError(str(out), expected, found, "Give --overwrite to replace it, or another --out.")


# --- Slide by slide -----------------------------------------------------------------------------------------------


def _changes(plan: BuildPlan, inputs: BuildInputs, out: Path, before: Manifest | None) -> tuple[str, ...]:
    """Warnings of slides that have only the name of one of before, in the data set that is replaced or `previous`."""
    earlier = {out.resolve(): (out, before)}
    if inputs.previous:
        earlier[inputs.previous.resolve()] = (inputs.previous, read_manifest(inputs.previous))
    return change_warnings(plan.slides, dict(earlier.values()), drawn=inputs.splits is None)


def _look(
    plan: BuildPlan, found: Mapping[str, Survey | Her2Error], names: OpenNames
) -> tuple[BuildPlan, dict[str, Survey]]:
    """Divide what was seen into slides to go on with and slides in trouble."""
    surveys = {slide: survey for slide, survey in found.items() if isinstance(survey, Survey)}
    errors = {slide: names.told(slide, error) for slide, error in found.items() if isinstance(error, Her2Error)}
    warnings = tuple(
        f"Slide {slide.slide_id}: no white point ({survey.reason}): its patches are not scaled, and their tissue is "
        "unknown. Give --white R,G,B."
        for slide in plan.slides
        if (survey := surveys.get(slide.slide_id)) and survey.white is None
    )
    slides = tuple(slide for slide in plan.slides if slide.slide_id in surveys)
    return BuildPlan(slides, {**plan.quarantined, **errors}, plan.warnings + warnings), surveys


def _cut_task(
    slide: SlidePlan,
    tree: Path,
    survey: Survey,
    hue: HueDecision,
    target: tuple[float, ...],
    parameters: BuildParameters,
) -> CutTask:
    labels = {patch.label for patch in slide.patches}
    return CutTask(
        root=tree,
        slide=slide,
        white=survey.white,
        intensity=Intensity(parameters.intensity, survey.white, target, parameters.accept_stain_loss),
        hue={label: hue.rules[slide.wsi_side, label] for label in labels if (slide.wsi_side, label) in hue.rules},
        min_tissue=parameters.min_tissue,
        patch_size=parameters.patch_size,
        encoding=parameters.encoding,
    )


def _make(
    tasks: Sequence[UnitTask],
    made: dict[str, Finished],
    workers: Processes,
    say: Callable[[str], None],
    names: OpenNames,
) -> dict[str, Her2Error]:
    """Cut slides and add them to `made`; returns the errors of the others."""
    failed: dict[str, Her2Error] = {}
    progress = Progress(len(tasks), sum(map(_weight, tasks)), "windows")

    def done(task: UnitTask, result: Finished | Her2Error) -> None:
        if isinstance(result, Her2Error):
            result = failed[task.unit] = names.told(task.unit, result)
        else:
            made[task.unit] = result
        say(f"{_line(task.cut.slide, result)} ({progress.after(_weight(task))})")

    # Cores that slides leave over work within a slide.
    threads = max(1, workers.count // max(1, len(tasks)))
    run_tasks(
        make_unit,
        [replace(task, cut=replace(task.cut, threads=threads)) for task in tasks],
        workers=workers,
        label="Cutting",
        unit="window",
        weight=_weight,
        done=done,
        killed=unit_killed,
    )
    return failed


def _weight(task: UnitTask) -> int:
    return len(task.cut.slide.patches)


def _line(slide: SlidePlan, result: Finished | Her2Error) -> str:
    if isinstance(result, Her2Error):
        return f"{slide.slide_id}: quarantined: {result}"
    kept = sum(result.entry["patches"].values())
    return f"{slide.slide_id}: {len(slide.regions)} regions, {len(slide.patches)} windows, {kept} kept"


# --- The whole ----------------------------------------------------------------------------------------------------


def _manifest(
    plan: BuildPlan,
    made: Mapping[str, Finished],
    hue: HueDecision,
    parameters: Mapping[str, object],
    licence: str | None,
) -> Manifest:
    rows = []
    for finished in made.values():
        for key, count in finished.entry["patches"].items():
            wsi, patch, label = key.split("|")
            rows += [(Sides(wsi, patch), label)] * count
    return Manifest(
        shards=sorted(shard for finished in made.values() for shard in finished.shards),
        counts=count_labels(rows),
        parameters=parameters,
        source={"kind": "slides", "licence": licence, "record": None},
        units={unit: made[unit].entry for unit in sorted(made)},
        report={"quarantined": sorted(plan.quarantined), "hue_filter": hue.to_json()},
        hue_references=references_to_json(hue.references),
    )


def _check_not_empty(inputs: BuildInputs, plan: BuildPlan, manifest: Manifest) -> None:
    if manifest.rows:
        return
    if plan.quarantined:
        name, error = next(iter(plan.quarantined.items()))
        found, remedy = f"{len(plan.quarantined)} slides in trouble", f"The first is {name}: {error}"
    else:
        reasons = Counter(drop["reason"] for unit in manifest.units.values() for drop in unit["dropped"])
        found = ", ".join(f"{count} windows dropped for {reason}" for reason, count in sorted(reasons.items()))
        remedy = "; ".join(plan.warnings) or "Check the paths of slides and regions."
    raise SlideError(str(inputs.slides), "a window that becomes a patch", found or "no window", remedy)


def _drop_strangers(tree: Path, manifest: Manifest) -> None:
    """Remove shards of slides that are gone or were in trouble, and the figures of a run that was cut short."""
    listed = {tree / shard.path for shard in manifest.shards}
    for path in sorted([*tree.glob("data/*/*/*"), *tree.glob("figures/*")]):
        if path not in listed:
            path.unlink()
    for folder in sorted((path for path in tree.glob("data/**/") if path != tree), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
