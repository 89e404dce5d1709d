"""`her2-ihc-40x card`: write the card, figures and croissant.json of a data set anew."""

from __future__ import annotations

import argparse

from ..card.companions import refresh_companions
from .arguments import add_license, path


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "card",
        help="write the card, figures and croissant.json of a data set anew",
        description="Make README.md, figures/, croissant.json and manifest.json of a data set again from its shards, "
        "which are only read. `pack` and `build` do this themselves.",
    )
    parser.add_argument("folder", type=path, help="a data set that pack or build made")
    add_license(parser, otherwise="it stays")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write them, and say what was written."""
    manifest = refresh_companions(arguments.folder, arguments.licence)
    for companion in manifest.companions:
        print(f"{companion.bytes:>9}  {companion.path}")
    print(f"licence {manifest.source.get('licence') or 'unknown'}")
    print(f"digest {manifest.digest} (the shards are as they were)")
    return 0
