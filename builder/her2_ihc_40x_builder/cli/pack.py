"""`her2-ihc-40x pack`: the release as downloaded becomes a folder of shards."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .. import pack as packing
from ..summary import counts_table
from .arguments import add_license, add_workers, folder, path, positive


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "pack",
        help="turn the downloaded release into shards that datasets loads",
        description="Read the release (the two zips as downloaded, or what was in them) and write each patch once, as "
        "Parquet that plain datasets.load_dataset loads in both configs.",
    )
    parser.add_argument("release", type=path, help="the folder that holds the zips or what was in them, or one zip")
    parser.add_argument("--out", type=folder, default=Path("her2-ihc-40x"), help="the folder to make (%(default)s)")
    parser.add_argument("--slides", type=path, help="a CSV of patch_id, slide_id; the release itself names no slide")
    parser.add_argument(
        "--check",
        choices=["decode", "crc"],
        default="decode",
        help="decode every image once, or only trust checksums and look at headers (%(default)s)",
    )
    parser.add_argument("--subset", action="store_true", help="accept other counts than the published ones")
    parser.add_argument(
        "--image-size", type=_size, default=1024, help="width and height of every patch, or 'any' (%(default)s)"
    )
    add_license(parser)
    add_workers(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace a data set of ours at --out")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Pack, and say what was made."""
    options = packing.PackOptions(
        check=arguments.check,
        subset=arguments.subset,
        image_size=arguments.image_size,
        slides=arguments.slides,
        licence=arguments.licence,
        workers=arguments.workers,
        overwrite=arguments.overwrite,
    )
    manifest = packing.pack_release(arguments.release, arguments.out, options)
    print(counts_table(manifest.counts))
    print(_findings(manifest.report))
    print(f"{manifest.rows} patches in {len(manifest.shards)} files in {arguments.out}")
    print(f"digest {manifest.digest}")
    return 0


def _findings(report: dict[str, Any] | Any) -> str:
    lines = [f"In both variants: {report['in_both_variants']} of {report['patches']}"]
    if count := report["duplicates_within_a_variant"]:
        lines.append(f"The same image more than once in a variant: {count} (kept: the published counts hold them)")
    if count := report["suffix_unlike_format"]:
        lines.append(f"Files whose suffix is not their format: {count} (kept as they are)")
    pairs = report["same_image_other_label_score_or_side"]
    if pairs:
        lines.append(f"The same image with another label, score or side: {len(pairs)} (stored twice), for example")
        lines += [f"  {first} and {second}" for first, second in pairs[:5]]
    return "\n".join(lines)


def _size(text: str) -> int | None:
    return None if text == "any" else positive(text)
