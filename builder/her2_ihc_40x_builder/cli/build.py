"""`her2-ihc-40x build`: slides and regions become a folder of shards."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .arguments import add_build_arguments, add_license, add_pseudonymize, add_workers, build_arguments, path


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "build",
        help="make the shards from raw slides and regions",
        description="Cut annotated slides into patches and write them as `pack` does. Run again, it does only what is "
        "unfinished, changed or was in trouble. Exit code 3: made, but some slides are in quarantine.",
    )
    add_build_arguments(parser)
    parser.add_argument("--out", type=path, default=Path("her2-ihc-40x"), help="the folder to make (%(default)s)")
    parser.add_argument("--report", type=path, help="the report's folder, not to be published (OUT-report)")
    parser.add_argument("--report-dropped", action="store_true", help="list each dropped window and why")
    add_pseudonymize(
        parser,
        "give slides, cases and regions pseudonyms by the key in a file, made if there is none; the names are kept in "
        "KEYFILE.names.json",
    )
    add_license(parser)
    add_workers(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace a data set that was built otherwise")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Build, write the report, and say what was made."""
    from .. import build, private_names, report
    from ..summary import build_summary, dropped_lines

    inputs, parameters = build_arguments(arguments)
    folder = arguments.report or arguments.out.with_name(f"{arguments.out.name}-report")
    report.check_place(folder, arguments.out)
    names = None
    if arguments.pseudonymize:
        names, made = private_names.open_names(arguments.pseudonymize, arguments.out, folder)
        print(f"key {names.key.id} of {arguments.pseudonymize}{': made now, back it up' if made else ''}")
        print(f"names {names.path} (what the pseudonyms hide: for you alone)", flush=True)
    result = build.build_dataset(
        inputs,
        arguments.out,
        parameters,
        licence=arguments.licence,
        workers=arguments.workers,
        overwrite=arguments.overwrite,
        say=print,
        names=names,
    )
    report.write_report(result, arguments.out, folder, workers=arguments.workers)
    print(build_summary(result))
    if arguments.report_dropped:
        print("\n".join(dropped_lines(result.manifest)))
    for slide, error in result.plan.quarantined.items():
        print(f"quarantined {slide}: {error}", file=sys.stderr)
    print(f"{result.manifest.rows} patches in {len(result.manifest.shards)} files in {arguments.out}")
    print(f"report {folder} (overlays show whole slides: do not publish it)")
    print(f"digest {result.manifest.digest}")
    return 3 if result.plan.quarantined else 0
