"""Tasks on processes and threads."""

from __future__ import annotations

import os
import signal

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


def test_a_killed_worker_is_reported() -> None:
    with pytest.raises(OutputError, match="killed"):
        run_tasks(die_at_three, range(9), workers=2, label="Packing", unit="")
