"""`her2-ihc-40x publish`: a data set becomes a version on the Hub."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from her2_ihc_40x import one_line

from ..hub import remote
from ..hub.changes import Version
from ..hub.publish import Published, check_word, finish_version, publish_version
from ..hub.version_plan import VersionPlan, check_folder, plan_version
from ..privacy.published_ids import review_code
from .arguments import add_workers, path, positive

_SHOWN = 10


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "publish",
        help="publish a data set to the Hub as a version",
        description="Verify and load the data set, show what changes on the Hub, send it in one commit, check what the "
        "Hub then holds (declared hashes, and a row of every file), and only then tag it. The folder is only read. "
        "After an interruption run it again. The token is the one of `hf auth login`, or HF_TOKEN.",
    )
    parser.add_argument("folder", type=path, help="the data set")
    parser.add_argument("--repo", required=True, metavar="NAMESPACE/NAME", help="the data set's repo on the Hub")
    parser.add_argument(
        "--version", type=_version, required=True, metavar="X.Y.Z", help="newer than all that are there"
    )
    parser.add_argument("--dry-run", action="store_true", help="check and show, change nothing")
    parser.add_argument("--deep", action="store_true", help="download and hash every file before the tag")
    parser.add_argument("--private", action="store_true", help="make a new repo private; one that is there must be")
    parser.add_argument(
        "--i-may-share-this", action="store_true", help="your word that consent and licence allow publishing it"
    )
    parser.add_argument(
        "--these-ids-are-safe",
        metavar="CODE",
        help="your word that the ids listed as suspect identify nobody; the code is shown with the list",
    )
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--pr", action="store_true", help="open a pull request for review, do not tag")
    way.add_argument("--finish", type=positive, metavar="PR", help="check that merged pull request, then tag")
    add_workers(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Show the plan, and carry it out."""
    remote.check_id(arguments.repo)
    checked = check_folder(arguments.folder, workers=arguments.workers)
    # Before the Hub is asked: offline too, ids are there to be read.
    for suspect in checked.suspects:
        print(one_line(f"suspect: {suspect}"), flush=True)
    safe_ids, deep = arguments.these_ids_are_safe, arguments.deep
    # --finish tags what --pr sent with that word.
    may_share = arguments.i_may_share_this or arguments.finish is not None
    if not arguments.dry_run:
        check_word(checked, may_share=may_share, safe_ids=safe_ids)
    plan = plan_version(checked, arguments.repo, arguments.version)
    print("\n".join(map(one_line, _show(plan))), flush=True)
    if arguments.dry_run:
        print(_dry(plan, finish=arguments.finish is not None))
        return 0
    with _interrupted_at_once():
        if arguments.finish:
            done = finish_version(plan, arguments.finish, safe_ids=safe_ids, deep=deep)
        else:
            done = publish_version(
                plan,
                may_share=may_share,
                safe_ids=safe_ids,
                private=arguments.private,
                deep=deep,
                pull_request=arguments.pr,
            )
    print(_done(plan, done))
    return 0


@contextmanager
def _interrupted_at_once() -> Iterator[None]:
    """Let Ctrl-C end the process there and then: else the client's threads first send their files to the end.

    Nothing here is left half written by it: the folder is only read.
    """

    def end(number: int, frame: FrameType | None) -> None:
        os.write(2, b"\nher2-ihc-40x: interrupted; run it again: what has arrived is not sent again\n")
        os._exit(130)

    # Elsewhere than at a command line, whoever runs this has a way of their own.
    own = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not own or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _show(plan: VersionPlan) -> Iterator[str]:
    where = "a repo that will be made" if plan.head is None else f"{plan.head.commit[:8]}"
    yield f"{plan.folder} as {plan.version.tag} of {plan.repo}, compared with {where}"
    yield f"the last version is {plan.last.tag if plan.last else 'none'}"
    units = plan.units
    for kind, files, names in (
        ("added", [file.path for file in plan.changes.add], units.added),
        ("changed", [file.path for file in plan.changes.change], units.changed),
        ("removed", plan.changes.delete, units.removed),
    ):
        yield f"{kind}: {len(files)} files{_some(files)}"
        yield f"{kind}: {len(names)} slides or blocks{_some(names)}"
    if units.changed and plan.head is not None:
        yield f"what changed in them: her2-ihc-40x diff {plan.repo}@{plan.head.commit} {shlex.quote(str(plan.folder))}"
    for change in plan.counts:
        yield f"{change.config} {change.split} {change.label}: {change.before} -> {change.after} patches"
    for foreign in plan.changes.foreign:
        yield f"not of this data set, but read by datasets: {foreign}"
    if plan.last is not None:
        yield from (f"edited on the Hub since {plan.last.tag}, will be replaced: {file}" for file in plan.edited)
    yield f"bytes to send: {plan.bytes_to_send}"
    yield f"digest {plan.manifest.digest}"


def _some(names: Sequence[str]) -> str:
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f" ({', '.join(names[:_SHOWN])}{more})" if names else ""


def _dry(plan: VersionPlan, *, finish: bool) -> str:
    more = "" if finish else ", and with --i-may-share-this"
    if plan.suspects:
        more += f"; if you know that each suspect listed is harmless, with{_safe_ids(plan)} too"
    return f"Nothing was sent: --dry-run. To send it, run it without{more}"


def _done(plan: VersionPlan, done: Published) -> str:
    before = " (it was there already)" if done.was_there else ""
    if done.tag is None:
        return (
            f"pull request {done.pull_request}{before}. After its merge: "
            f"her2-ihc-40x publish {shlex.quote(str(plan.folder))} --repo {plan.repo} "
            f"--version {plan.version} --finish {done.pull_request}{_safe_ids(plan)}"
        )
    return (
        f"published {done.tag}{before}: commit {done.commit}\n"
        f'load_dataset("{plan.repo}", "wsi_split", revision="{done.tag}")'
    )


def _safe_ids(plan: VersionPlan) -> str:
    return f" --these-ids-are-safe {review_code(plan.suspects)}" if plan.suspects else ""


def _version(text: str) -> Version:
    try:
        return Version.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
