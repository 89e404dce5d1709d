"""`her2-ihc-40x audit`: say what the splits leak, what is there twice, and what is wrong with patches."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ..errors import OutputError
from .arguments import add_workers, path


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "audit",
        help="find leaks between train and test, duplicates and bad patches",
        description="Read every patch once, and say for each config which promise is kept: slides, patients, windows "
        "and images on one side only, one label an image, nothing beside the pixels. Exit code 1: one is broken.",
    )
    parser.add_argument("data", metavar="DIR", help="a folder, or NAMESPACE/NAME@REVISION on the Hub")
    parser.add_argument(
        "--json", action="store_true", help="print JSON for machines, with all that was found; an error too"
    )
    parser.add_argument("--patients", type=path, metavar="CSV", help="a CSV of slide_id, case_id")
    parser.add_argument("--report", type=path, help="where the worst pairs are shown (DIR-audit, if there are any)")
    add_workers(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Audit, print, and show the worst pairs."""
    from .. import audit
    from ..audit.gallery import check_gallery_place, write_gallery
    from ..audit.patients import read_patients
    from ..audit.table import audit_table
    from ..hub.diff import open_edition

    folder = Path(arguments.data).expanduser()
    local = folder if folder.is_dir() else None
    report = arguments.report or _beside(folder)
    check_gallery_place(report, local)
    edition = open_edition(arguments.data if local is None else str(folder))
    patients = read_patients(arguments.patients, edition) if arguments.patients else None
    found = audit.audit_edition(edition, patients, arguments.workers)
    shown, trouble = 0, None
    try:
        shown = write_gallery(found, report)
    except OutputError as error:  # what was found is said all the same
        remedy = "There are no pictures of the worst pairs: give another --report."
        trouble = OutputError(error.subject, error.expected, error.found, remedy)
    if arguments.json:
        print(json.dumps(found.to_json(), indent=2, ensure_ascii=True))
    else:
        print(audit_table(found))
        if shown:
            print(f"{shown} pairs in {report} (patches of the data set: do not publish it)")
    if trouble:
        print(f"her2-ihc-40x: {trouble}", file=sys.stderr)
    return 1 if found.broken or trouble else 0


def _beside(data: Path) -> Path:
    """Beside a folder; of a revision of the Hub, here."""
    if data.is_dir():
        data = data.resolve()
        return data.parent / f"{data.name}-audit"
    return Path(f"{data.name.replace('@', '-')}-audit")
