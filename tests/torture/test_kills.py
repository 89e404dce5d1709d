"""Killed at any call that changes a file, and run again: the same bytes as an unbroken run, and nothing left over."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from torture.campaign import SHARE, points, rng
from torture.jobs import FORKSERVER, SPAWN, Job, left_by_python, part, snapshot
from torture.machine import KILL_ALL, KILL_MAIN, Fault

#: Every second point is in a folder in which a build starts its workers the other way.
POINTS = [
    pytest.param(point, start, id=f"{point}-{start}")
    for point in points(short=2, long=50)
    for start in [SPAWN if point % 2 else FORKSERVER]
]


@pytest.mark.parametrize("command", ["pack", "build", "card", "fetch"])
@pytest.mark.parametrize(("point", "start"), POINTS)
def test_a_killed_run_is_run_again_to_the_same_bytes(
    point: int, start: str, command: str, make_job: Callable[[str], Job], scratch: Path
) -> None:
    draw = rng(f"kill {command}", point)
    over = SHARE is not None and draw.random() < 0.5 and command in ("pack", "build")
    job = make_job(f"{command} over another" if over else command)
    after, calls = job.unbroken(scratch, start)
    action = draw.choice([KILL_ALL, KILL_MAIN])
    # Workers that outlive the process that started them are there only where there is more than one.
    workers = ["--workers", 2] if command in ("pack", "build") and action == KILL_MAIN else []
    root = scratch / "root"
    before = job.prepare(root)
    call = draw.randint(1, len(calls))
    run = job.run(root, Fault(action, call), *workers)
    # A download takes as many calls as its pieces arrive in: the one that kills may never come.
    is_killed = command != "fetch" or call <= len(run.calls)
    assert run.code == (-signal.SIGKILL if is_killed else 0), run.err
    broken = snapshot(root)
    for name in job.outputs if command != "card" else ():
        aside = f".{name}.partial/replaced"
        assert part(broken, name) in (part(before, name), part(after, name)) or aside in broken, run.calls[-1]
    run = job.run(root)
    assert run.code == 0, run.err
    # What Python left of the first run stays; of the second there is none.
    assert snapshot(root) == {**after, **left_by_python(broken)}
