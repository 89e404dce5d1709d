"""Run independent tasks on several processes; results come in the order of the tasks, whatever finished first."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from tqdm.auto import tqdm

from .errors import OutputError

Task = TypeVar("Task")
Result = TypeVar("Result")


def default_workers() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def run_tasks(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    workers: int,
    label: str,
    unit: str,
    weight: Callable[[Task], int] = lambda task: 1,
    threads: bool = False,
    done: Callable[[Task, Result], None] = lambda task, result: None,
) -> list[Result]:
    """Call `function` on every task, with a progress bar where there is a terminal.

    Args:
        function: at the top level of a module, so that a worker can import it.
        tasks: picklable.
        workers: processes; 1 runs here, without any.
        label: what the bar says.
        unit: what is counted.
        weight: how many of them a task is.
        done: is told each result as it comes.
        threads: whether to run on threads instead: for work that waits, or that leaves Python (hashing).

    Raises:
        Whatever `function` raised first; tasks that have not begun are dropped then.
        OutputError: a worker was killed from outside, for example for want of memory.
    """
    with tqdm(total=sum(map(weight, tasks)), desc=label, unit=unit, disable=None) as bar:
        if workers <= 1 or len(tasks) <= 1:
            results = []
            for task in tasks:
                results.append(function(task))
                bar.update(weight(task))
                done(task, results[-1])
            return results
        with _executor(min(workers, len(tasks)), threads=threads) as pool:
            futures = [pool.submit(function, task) for task in tasks]
            try:
                for position in _as_done(futures):
                    result = futures[position].result()
                    bar.update(weight(tasks[position]))
                    done(tasks[position], result)
                return [future.result() for future in futures]
            except BrokenProcessPool as error:
                raise OutputError(
                    label,
                    "workers that run to their end",
                    "one that was killed",
                    "Give fewer --workers: it may have run out of memory.",
                ) from error
            finally:
                for future in futures:
                    future.cancel()


def _executor(workers: int, *, threads: bool) -> Executor:
    if threads:
        return ThreadPoolExecutor(workers)
    # Spawned, not forked: a fork copies the locks of pyarrow's and OpenSlide's threads as they happen to be.
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


def _as_done(futures: Sequence[Future[Result]]) -> Iterator[int]:
    positions = {future: position for position, future in enumerate(futures)}
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        yield from sorted(positions[future] for future in done)
