"""`her2-ihc-40x plan`: what `build` with the same arguments would do, without reading a patch."""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from her2_ihc_40x import CLASSES, one_line

from .arguments import add_build_arguments, add_output_arguments, build_arguments

#: What a 1024 x 1024 patch of stained tissue takes: bytes by format, and seconds of one core (benchmarks/build.py).
_BYTES = {"png": 2_000_000, "jpeg": 730_000, "webp": 1_400_000}
_SECONDS = 0.03
#: Seconds of one core for what is done once a slide (white point, references, overlay), and until workers run.
_SLIDE_SECONDS, _START_SECONDS = 1.2, 3.0


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "plan",
        help="say what build would make, and every problem",
        description="Read slides' heads, labels and regions as `build` does, and say how many patches, bytes and "
        "minutes that is, and what is wrong; nothing is written but where crops lie, for `build`. "
        "Exit code 3: some slides would be in quarantine; 1: nothing would be made.",
    )
    add_build_arguments(parser)
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Plan, and print."""
    from ..earlier import change_warnings
    from ..parallel import Processes
    from ..patches.stain_reference import stain_target
    from ..plan import plan_build
    from ..privacy.key_file import read_key
    from ..privacy.private_names import check_not_read
    from ..shards.manifest import read_manifest
    from ..shards.staging import check_outside

    inputs, parameters = build_arguments(arguments)
    check_outside(arguments.out, (inputs.slides, inputs.regions))
    if arguments.pseudonymize:
        check_not_read(arguments.pseudonymize, inputs.regions)
    stain_target(parameters)
    key = read_key(arguments.pseudonymize) if arguments.pseudonymize and inputs.previous else None
    with Processes(arguments.workers) as workers:
        plan = plan_build(inputs, parameters, workers, key=key)
    print(f"{'slide':<24}{'score':<7}{'side':<7}{'mpp':>7}{'regions':>9}{'windows':>9}")
    for slide in plan.slides:
        print(
            f"{slide.slide_id:<24}{slide.score:<7}{slide.wsi_side:<7}{slide.mpp:>7.4f}"
            f"{len(slide.regions):>9}{len(slide.patches):>9}"
        )
    labels = Counter(patch.label for slide in plan.slides for patch in slide.patches)
    total = labels.total()
    print("windows by class: " + ", ".join(f"{label}: {labels[label]}" for label in CLASSES))
    area = (parameters.patch_size / 1024) ** 2
    size = total * area * _BYTES[parameters.encoding.format] / 1e9
    seconds = total * area * _SECONDS + len(plan.slides) * _SLIDE_SECONDS
    minutes = (seconds / arguments.workers + _START_SECONDS) / 60
    print(f"at most {total} patches, about {size:.2g} GB and {minutes:.2g} minutes on {arguments.workers} cores")
    drawn = inputs.splits is None
    previous = {inputs.previous: read_manifest(inputs.previous)} if inputs.previous else {}
    for warning in (*plan.warnings, *change_warnings(plan.slides, previous, drawn=drawn, key=key)):
        print(one_line(f"warning: {warning}"))
    for name, error in plan.quarantined.items():
        print(one_line(f"quarantine {name}: {error}"))
    if not total:
        print("her2-ihc-40x: no window: build would make nothing", file=sys.stderr)
        return 1
    return 3 if plan.quarantined else 0
