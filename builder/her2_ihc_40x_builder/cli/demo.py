"""`her2-ihc-40x demo`: see it work without the real release, and without real slides."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..demo import release_demo
from ..summary import build_summary, counts_table
from .arguments import path

_FOLDER, _SLIDES_FOLDER = Path("her2-ihc-40x-demo"), Path("her2-ihc-40x-demo-slides")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "demo",
        help="draw a small release or small slides, make shards, load them, look at them",
        description="Draw a small twin of the release (procedural patches, true names, both variants), pack it, load "
        "both configs with plain datasets, and write a contact sheet. With --slides: draw small slides with regions "
        "as crops and annotations, and build from them. Needs no download.",
    )
    parser.add_argument(
        "folder", type=path, nargs="?", help=f"made anew ({_FOLDER}, or {_SLIDES_FOLDER} with --slides)"
    )
    # Slides are drawn in one size: large enough for windows that lie apart.
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--slides", action="store_true", help="start from slides, as a laboratory would")
    either.add_argument(
        "--scale",
        type=_scale,
        default=release_demo.SCALE,
        help="size of the release, as a part of the real one (%(default)s)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the demo, and say what it made and what comes next."""
    if arguments.slides:
        _run_slides(arguments.folder or _SLIDES_FOLDER)
    else:
        _run_release(arguments.folder or _FOLDER, arguments.scale)
    return 0


def _run_release(folder: Path, scale: float) -> None:
    made = release_demo.run_demo(folder, scale=scale, say=print)
    print(counts_table(made.manifest.counts))
    print("\nA batch of the streamed wsi_split:")
    for column in ("image", "label", "slide_score", "patch_id"):
        print(f"  {column:<12}{[_short(value) for value in made.batch[column]]}")
    print(f"""
Made in {folder}:
  {release_demo.RELEASE}/            the two zips, named and nested like the real ones
  {release_demo.SHARDS}/      the shards that datasets loads, with card and manifest
  {release_demo.SHEET}   what the patches look like: look at it

Next, with the real zips (https://doi.org/10.5281/zenodo.15179608) in a folder FOLDER:
  her2-ihc-40x pack FOLDER --out her2-ihc-40x
  python -c 'import datasets; print(datasets.load_dataset("her2-ihc-40x", "wsi_split"))'""")


def _run_slides(folder: Path) -> None:
    from ..demo import lab_twin, slide_demo

    made = slide_demo.run_slide_demo(folder, say=print)
    print(build_summary(made))
    print(f"""
Made in {folder}:
  {lab_twin.SLIDES}/<class>/                  the slides; {lab_twin.LABELS}: their classes and patients
  {lab_twin.CROPS}/<class>/                  the regions as crops; {lab_twin.QUPATH}/ and
                                {lab_twin.CYTOMINE}: the same as annotations
  {slide_demo.SHARDS}/                 the shards that datasets loads, with card and manifest
  {slide_demo.REPORT}/          index.html: each slide with its regions and windows (never publish it)
  {slide_demo.SHEET}             what the patches look like: look at it

Next, with slides of your own in folders 0, 1+, 2+, 3+ of SLIDES, or with --labels CSV (slide_id, label, case_id), and
regions in REGIONS (crops, masks, or exports of QuPath, Cytomine or ImageScope):
  her2-ihc-40x plan SLIDES --regions REGIONS      what would be made, and every problem
  her2-ihc-40x build SLIDES --regions REGIONS     makes her2-ihc-40x, and her2-ihc-40x-report beside it
Look at her2-ihc-40x-report/index.html before you train: are the regions where they were drawn?""")


def _scale(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a number above 0 and up to 1")
    return value


def _short(value: object) -> object:
    return f"{value.size[0]}x{value.size[1]}" if hasattr(value, "size") else value
