"""`her2-ihc-40x verify`: compare a data set with its manifest."""

from __future__ import annotations

import argparse

from ..hub.verify import Subset, verify_folder
from .arguments import add_workers, path


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "verify",
        help="compare a data set with its manifest",
        description="Read every file and compare it with the manifest: bytes, sha256, columns, rows, labels; then the "
        "card's metadata and the digest; and name what is missing or not listed. The digest stands for the shards, the "
        "manifest's sha256 for all that it says of them as well. Exit code 1: there is a problem.",
    )
    parser.add_argument("folder", type=path, help="the data set")
    parser.add_argument(
        "--subset", type=_subset, metavar="n/t", help="read only the n-th of t parts in whole, and the others' sizes"
    )
    add_workers(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Verify, and print every problem."""
    verified = verify_folder(arguments.folder, subset=arguments.subset, workers=arguments.workers)
    for problem in verified.problems:
        print(problem)
    if verified.problems:
        print(f"{len(verified.problems)} problems in {arguments.folder}. Make or copy it again.")
        return 1
    if verified.manifest is not None:
        print(f"{verified.checked} of {len(verified.manifest.shards)} shards read, no problem")
        print(f"manifest {verified.manifest_sha256}")
        print(f"digest {verified.manifest.digest}")
    return 0


def _subset(text: str) -> Subset:
    try:
        return Subset.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
