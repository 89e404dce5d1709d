"""The demo with slides: a small laboratory is drawn, its slides are built, loaded and looked at, all checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.dataset as ds

from her2_ihc_40x import CLASSES, CONFIGS

from ..build import BuildResult, build_dataset
from ..card.contact_sheet import draw_contact_sheet
from ..geometry import Size
from ..parallel import default_workers
from ..parameters import BuildInputs, BuildParameters
from ..plan import plan_build
from ..report import write_report
from ..shards.staging import staged_folder
from ..slide_plan import BuildPlan
from .checks import DemoError, check_load, example_patches
from .lab_twin import CROPS, CYTOMINE, LABELS, QUPATH, SLIDES, LabSlide, write_lab
from .mark import made_demo, write_mark

SHARDS = "her2-ihc-40x"
REPORT = "her2-ihc-40x-report"
SHEET = "contact-sheet.png"
#: So that a slide's large region is two windows of 1024 side by side, and its small one a third that overlaps neither.
DEFAULT_SIZE = Size(6023, 2226)


def run_slide_demo(
    folder: Path,
    *,
    slides_per_class: int = 2,
    size: Size = DEFAULT_SIZE,
    patch_size: int = 1024,
    workers: int | None = None,
    say: Callable[[str], None],
) -> BuildResult:
    """Draw slides and regions, build from the crops, load, plan the same from the annotations, and show.

    Args:
        folder: made anew; replaced if it holds an earlier demo and nothing else.
        slides_per_class: at least 2, so that `wsi_split` has a test side.
        size: of a slide.
        patch_size: pixels of a side of a patch.
        workers: processes.
        say: is told each step.

    Returns:
        What was built from the crops.

    Raises:
        DemoError: what was built or loaded is not what was drawn.
        OutputError: the folder is taken by something else, or holds anything else.
    """
    workers = workers or default_workers()
    parameters = BuildParameters(patch_size=patch_size)
    with staged_folder(folder, overwrite=True, made_in=made_demo) as tree:
        say("Drawing slides, with their regions as crops and as exports of QuPath and Cytomine")
        slides = write_lab(tree, slides_per_class, size, workers=workers)
        say(f"Building from {len(slides)} slides and the crops")
        result = build_dataset(_inputs(tree, CROPS), tree / SHARDS, parameters, workers=workers)
        _check_patches(slides, result.plan, tree / SHARDS)
        cache = tree.parent / "scratch" / "cache"
        for config in CONFIGS:
            say(f"Loading {config}: map-style and streaming")
            check_load(tree / SHARDS, config, _planned(result.plan, config), cache, patch_size)
        for regions in (QUPATH, CYTOMINE):
            say(f"Planning from {regions}: it must give the same windows")
            _check_same(regions, plan_build(_inputs(tree, regions), parameters), result.plan)
        say("Drawing the report and the contact sheet")
        write_report(result, tree / SHARDS, tree / REPORT, workers=workers)
        draw_contact_sheet(example_patches(tree / SHARDS)).save(tree / SHEET)
        write_mark(tree)
    return result


def _inputs(tree: Path, regions: str) -> BuildInputs:
    return BuildInputs(slides=tree / SLIDES, regions=tree / regions, labels=tree / LABELS)


def _planned(plan: BuildPlan, config: str) -> Counter[tuple[str, str]]:
    """(Split, class) -> windows; regions were drawn in tissue, so that none may have been dropped."""
    return Counter(
        (patch.patch_side if config == "patch_split" else slide.wsi_side, patch.label)
        for slide in plan.slides
        for patch in slide.patches
    )


def _check_patches(slides: list[LabSlide], plan: BuildPlan, shards: Path) -> None:
    """Compare what the patches say of their slides, patients and regions with what was drawn."""
    if plan.quarantined:
        raise DemoError("the build", "every slide", f"in quarantine: {dict(plan.quarantined)}", "Report this.")
    drawn = {
        (slide.slide_id, slide.label, slide.case_id, region.roi_id) for slide in slides for region in slide.regions
    }
    files = sorted(str(path) for path in shards.glob("data/*/*/*.parquet"))
    table = ds.dataset(files, format="parquet").to_table(columns=["slide_id", "slide_score", "case_id", "roi_id"])
    built = {(row["slide_id"], CLASSES[row["slide_score"]], row["case_id"], row["roi_id"]) for row in table.to_pylist()}
    if built != drawn:
        raise DemoError("the patches", f"the regions drawn, {sorted(drawn)}", f"{sorted(built)}", "Report this.")


def _check_same(regions: str, found: BuildPlan, expected: BuildPlan) -> None:
    """Compare windows, their classes and sides; all that is made after a plan hangs on these and on the pixels."""
    other, own = _windows(found), _windows(expected)
    if other != own:
        differing = sorted(name for name in other.keys() | own.keys() if other.get(name) != own.get(name))
        remedy = "Look at the regions' files, and report this."
        raise DemoError(regions, "the windows of the crops", f"others: {', '.join(differing)}", remedy)


def _windows(plan: BuildPlan) -> dict[str, tuple[str, ...]]:
    return {
        slide.patch_id(patch.box): (patch.roi_id, patch.label, slide.wsi_side, patch.patch_side)
        for slide in plan.slides
        for patch in slide.patches
    }
