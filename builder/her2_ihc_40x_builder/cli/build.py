"""`her2-ihc-40x build`: slides and regions become a folder of shards."""

from __future__ import annotations

import argparse
import sys

from her2_ihc_40x import one_line

from .arguments import add_build_arguments, add_output_arguments, build_arguments


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "build",
        help="make the shards from raw slides and regions",
        description="Cut annotated slides into patches and write them as `pack` does. Run again, it does only what is "
        "unfinished, changed or was in trouble. Exit code 3: made, but some slides are in quarantine.",
    )
    add_build_arguments(parser)
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Build, write the report, and say what was made."""
    from .. import build, report
    from ..earlier import earlier_build, made_build
    from ..privacy import private_names
    from ..shards.staging import check_free, check_outside
    from ..summary import build_summary, dropped_lines

    inputs, parameters = build_arguments(arguments)
    folder = arguments.report or arguments.out.with_name(f"{arguments.out.name}-report")
    report.check_place(folder, arguments.out)
    for place in (folder, arguments.out):
        check_outside(place, (inputs.slides, inputs.regions))
    check_free(arguments.out.resolve(), overwrite=True, made_in=made_build)  # before a key is made
    names = None
    if arguments.pseudonymize:
        private_names.check_not_read(arguments.pseudonymize, inputs.regions)
        built = None if arguments.overwrite else earlier_build(arguments.out)
        if built:
            private_names.check_key(arguments.pseudonymize, arguments.out, built)
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
        for line in dropped_lines(result.manifest):
            print(one_line(line))
    for slide, error in result.plan.quarantined.items():
        print(one_line(f"quarantined {slide}: {error}"), file=sys.stderr)
    print(f"{result.manifest.rows} patches in {len(result.manifest.shards)} files in {arguments.out}")
    print(f"report {folder} (overlays show whole slides: do not publish it)")
    print(f"digest {result.manifest.digest}")
    return 3 if result.plan.quarantined else 0
