"""A disk that is full, or breaks, at any call: the old output stays, and the error says what and what to do."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from torture.campaign import SHARE, points, rng
from torture.jobs import FORKSERVER, WRITING, Job, Snapshot, part, rest, snapshot
from torture.machine import Fault

POINTS = 50


@pytest.mark.parametrize("command", ["pack", "build", "card", "fetch"])
@pytest.mark.parametrize("point", points(short=1, long=POINTS))
@pytest.mark.parametrize("start", [FORKSERVER])
def test_a_disk_that_refuses_leaves_the_old_output_whole(
    point: int, command: str, start: str, make_job: Callable[[str], Job], scratch: Path
) -> None:
    draw = rng(f"disk {command}", point)
    over = SHARE is not None and draw.random() < 0.5 and command in ("pack", "build")
    job = make_job(f"{command} over another" if over else command)
    after, calls = job.unbroken(scratch, start)
    count = sum(call[0] in WRITING for call in calls)
    tries = [(call, error) for call in range(1 + point, count + 1, POINTS) for error in (errno.ENOSPC, errno.EIO)]
    # In the long form the points share out every call; in the short form each tries one.
    for call, error in tries if SHARE is not None else [draw.choice(tries)]:
        fault = Fault(error, call, lasts=draw.random() < 0.5, kinds=WRITING)
        _try(job, fault, after, scratch / f"{call}-{error}")


def _try(job: Job, fault: Fault, after: dict[str, str], root: Path) -> None:
    before = job.prepare(root)
    run = job.run(root, fault)
    found = snapshot(root)
    # A download takes as many calls as its pieces arrive in: the one that fails may never come.
    call = run.calls[fault.first - 1] if fault.first <= len(run.calls) else "no call"
    told = f"{fault} at {call}: {run.code}, {run.err}"
    if run.code == 0:
        assert found == after, told
        return
    assert run.code == 1, told
    line = run.err.splitlines()[-1]
    assert re.fullmatch(rf"her2-ihc-40x: .*{root}.*: expected .+, found {os.strerror(fault.action)}\. .+\.", line), told
    if "comes back then" in line:
        found = _as_it_comes_back(found)
    assert rest(found, job) == rest(before, job), told
    for name in job.outputs:
        if job.name == "card" and fault.lasts:  # which renames file after file: what it renamed cannot come back then
            name = "out/data"
        # What was finished before the trouble stays, and so does what cannot be taken back.
        is_done = name != "out" or "out-report" in line or "is in its place" in line
        assert part(found, name) in (part(before, name), *([part(after, name)] if is_done else [])), told
    run = job.run(root)
    assert run.code == 0, run.err
    assert snapshot(root) == after, told


def _as_it_comes_back(found: Snapshot) -> Snapshot:
    """What the next run makes of an old output that was set aside, on a disk that then refused to put it back."""
    moved = {re.sub(r"^\.([^/]+)\.partial/replaced", r"\1", path): what for path, what in found.items()}
    return {path: what for path, what in moved.items() if not re.match(r"\.[^/]+\.partial(/|$)", path)}
