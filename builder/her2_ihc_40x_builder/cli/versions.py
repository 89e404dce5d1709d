"""`her2-ihc-40x versions`: the versions on the Hub."""

from __future__ import annotations

import argparse

from ..hub.versions import list_versions


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "versions",
        help="list the versions on the Hub",
        description="List the versions of a data set on the Hub, newest first: tag, date, patches, digest.",
    )
    parser.add_argument("repo", help="NAMESPACE/NAME")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print a line a version."""
    versions = list_versions(arguments.repo)
    for version in versions:
        date = f"{version.date:%Y-%m-%d}" if version.date else "unknown"
        patches = "unknown" if version.patches is None else version.patches
        print(f"{version.version.tag:<12}{date:<12}{patches:>9}  {version.digest or 'unknown'}")
    if not versions:
        print(f"{arguments.repo} has no version yet")
    return 0
