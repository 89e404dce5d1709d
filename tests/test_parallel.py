"""Tasks on processes and threads."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from her2_ihc_40x import ReleaseError
from her2_ihc_40x_builder.errors import OutputError
from her2_ihc_40x_builder.parallel import run_tasks


def square(number: int) -> int:
    return number * number


def fail_at_three(number: int) -> int:
    if number == 3:
        raise ReleaseError("three", "another number", "three", "Take it out.")
    return number


def die_at_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize(("workers", "threads"), [(1, False), (2, False), (4, True)])
def test_results_come_in_the_order_of_the_tasks(workers: int, threads: bool) -> None:
    numbers = list(range(40))
    done = run_tasks(square, numbers, workers=workers, label="", unit="", threads=threads)
    assert done == [number * number for number in numbers]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_comes_through_whole(workers: int) -> None:
    with pytest.raises(ReleaseError) as caught:
        run_tasks(fail_at_three, range(9), workers=workers, label="", unit="")
    assert caught.value.subject == "three"


def test_the_task_that_kills_its_worker_is_told_from_the_others() -> None:
    assert run_tasks(die_at_three, [2, 3, 4], workers=2, label="", unit="", killed=lambda number: -number) == [2, -3, 4]


def die_once(mark: Path) -> str:
    if not mark.exists():
        mark.write_text("killed")
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def test_a_killed_task_has_a_second_chance_and_never_takes_this_process_along(tmp_path: Path) -> None:
    assert run_tasks(die_once, [tmp_path / "mark"], workers=2, label="", unit="", killed=lambda mark: "lost") == [
        "done"
    ]


def test_a_killed_worker_is_reported() -> None:
    with pytest.raises(OutputError, match="killed"):
        run_tasks(die_at_three, range(9), workers=2, label="Packing", unit="")
