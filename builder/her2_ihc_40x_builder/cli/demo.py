"""`her2-ihc-40x demo`: see it work without the real release."""

from __future__ import annotations

import argparse
from pathlib import Path

from .. import demo
from ..summary import counts_table


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "demo",
        help="draw a small release, pack it, load it, look at it",
        description="Draw a small twin of the release (procedural patches, true names, both variants), pack it, load "
        "both configs with plain datasets, and write a contact sheet. Needs no download.",
    )
    parser.add_argument(
        "folder", type=Path, nargs="?", default=Path("her2-ihc-40x-demo"), help="made anew (%(default)s)"
    )
    parser.add_argument("--scale", type=float, default=demo.SCALE, help="size, as a part of the release (%(default)s)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the demo, and say what it made and what comes next."""
    made = demo.run_demo(arguments.folder, scale=arguments.scale, say=print)
    print(counts_table(made.manifest.counts))
    print("\nA batch of the streamed wsi_split:")
    for column in ("image", "label", "slide_score", "patch_id"):
        print(f"  {column:<12}{[_short(value) for value in made.batch[column]]}")
    print(f"""
Made in {arguments.folder}:
  {demo.RELEASE}/            the two zips, named and nested like the real ones
  {demo.SHARDS}/      the shards that datasets loads, with card and manifest
  {demo.SHEET}   what the patches look like: look at it

Next, with the real zips (https://doi.org/10.5281/zenodo.15179608) in a folder FOLDER:
  her2-ihc-40x pack FOLDER --out her2-ihc-40x
  python -c 'import datasets; print(datasets.load_dataset("her2-ihc-40x", "wsi_split"))'""")
    return 0


def _short(value: object) -> object:
    return f"{value.size[0]}x{value.size[1]}" if hasattr(value, "size") else value
