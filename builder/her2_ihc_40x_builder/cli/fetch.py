"""`her2-ihc-40x fetch`: download the release's record."""

from __future__ import annotations

import argparse
from typing import Any

from tqdm.auto import tqdm

from her2_ihc_40x import ZENODO_RECORD

from ..zenodo.fetch import Progress, fetch_record
from .arguments import path


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "fetch",
        help="download the release from Zenodo",
        description="Download the record's files: resumed where they stopped, checked by md5, under their names only "
        "when whole. source.json beside them keeps record, DOI, version, licence and checksums.",
    )
    parser.add_argument("--record", default=ZENODO_RECORD, help="the Zenodo record (%(default)s)")
    parser.add_argument("--to", type=path, required=True, help="the folder for the files")
    parser.add_argument("--only", choices=["wsi", "patch"], help="one of the two variants")
    parser.add_argument("--endpoint", help="another server than zenodo.org; also HER2_IHC_40X_ZENODO")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Fetch, with a progress bar a file, and say what came."""
    bars: dict[str, Any] = {}

    def show(progress: Progress) -> None:
        bar = bars.get(progress.name)
        if bar is None:
            bar = bars[progress.name] = tqdm(
                total=progress.total, desc=progress.name, unit="B", unit_scale=True, disable=None
            )
        bar.update(progress.done - bar.n)

    try:
        fetched = fetch_record(
            arguments.record, arguments.to, only=arguments.only, endpoint=arguments.endpoint, progress=show
        )
    finally:
        for bar in bars.values():
            bar.close()
    print(f"record {fetched.record.id}, doi {fetched.record.doi}, licence {fetched.record.licence or 'unknown'}")
    for new in fetched.new:
        print(f"fetched {new}")
    for kept in fetched.kept:
        print(f"was there {kept}")
    print(f"Next: her2-ihc-40x pack {arguments.to} --out her2-ihc-40x")
    return 0
