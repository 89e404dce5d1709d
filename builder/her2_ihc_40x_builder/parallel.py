"""Run independent tasks on several processes; results come in the order of the tasks, whatever finished first."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TypeVar

from tqdm.auto import tqdm

from .errors import OutputError
from .forking import control_c_unheard, worker_context
from .streams import guard_streams

#: What starting a process may raise: no more of them allowed, no memory, or the server of forks is gone.
_NO_START = (OSError, EOFError)

Task = TypeVar("Task")
Result = TypeVar("Result")


def default_workers() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


class Processes:
    """Worker processes, started when they are needed; a context manager. They may serve several `run_tasks` in turn.

    Each is alone in its pool: when one is killed, it is known which task it had.

    Args:
        count: how many there may be.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._idle: SimpleQueue[ProcessPoolExecutor] = SimpleQueue()
        self._at_work: set[ProcessPoolExecutor] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        for process in self._at_work:  # of whoever was interrupted while it waited
            process.shutdown()
        while not self._idle.empty():
            self._idle.get().shutdown()

    def stop(self) -> None:
        """End what is at work: nobody waits for it any more, and a slide may take minutes. No task begins any more."""
        with self._lock:
            self._stopped = True
            at_work = list(self._at_work)
        for process in at_work:
            _terminate(process)

    def caller(self, function: Callable[[Task], Result]) -> Callable[[Task], Result]:
        """Return `function` as run in a worker process, from a thread that waits for it."""
        self._stopped = False  # of an earlier `run_tasks`, whose threads have ended

        def call(task: Task) -> Result:
            process = self._process()
            try:
                future = self._run(process, function, task)
            except _NO_START as error:
                raise _no_worker(error) from error
            if isinstance(future.exception(), BrokenProcessPool):
                process.shutdown()
                self._check_start(function)
            else:
                self._idle.put(process)
            return future.result()

        return call

    def _run(self, process: ProcessPoolExecutor, function: Callable[[Task], Result], task: Task) -> Future[Result]:
        """Give a process a task, and wait until it has ended.

        Raises:
            CancelledError: they are stopped.
        """
        with self._lock:
            self._at_work.add(process)
        if self._stopped:
            raise CancelledError
        with control_c_unheard():
            future = process.submit(function, task)
        if self._stopped:  # perhaps before there was a process that could be ended
            _terminate(process)
        future.exception()
        with self._lock:
            self._at_work.remove(process)
        return future

    def _process(self) -> ProcessPoolExecutor:
        try:
            return self._idle.get_nowait()
        except Empty:
            return _new_process()

    def _check_start(self, function: Callable[[Task], Result]) -> None:
        """Refuse to blame a task where no process can begin one."""
        process = _new_process()
        try:
            self._run(process, _begin, function).result()
        except (*_NO_START, BrokenProcessPool) as error:
            raise _no_worker(error) from error
        self._idle.put(process)


def _new_process() -> ProcessPoolExecutor:
    with control_c_unheard():  # its locks may be the first to need the process that tracks resources
        return ProcessPoolExecutor(1, mp_context=worker_context(), initializer=_be_a_worker)


def _terminate(executor: ProcessPoolExecutor) -> None:
    """End an executor's process, whatever it does; Python itself has no public way to before 3.14."""
    for process in list((getattr(executor, "_processes", None) or {}).values()):
        with suppress(OSError, ValueError):  # it has ended, or has not begun
            process.terminate()


def _begin(function: Callable[[Task], Result]) -> None:
    """Run in a worker: to be here it started, and imported the function."""


def _no_worker(error: BaseException) -> OutputError:
    found = str(error) or type(error).__name__
    remedy = "See what is written above; else free memory, raise the limit on processes, or mend the installation."
    return OutputError("workers", "processes that start and import", found, remedy)


def run_tasks(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    workers: int | Processes | None,
    label: str,
    unit: str,
    weight: Callable[[Task], int] = lambda task: 1,
    threads: bool = False,
    done: Callable[[Task, Result], None] = lambda task, result: None,
    killed: Callable[[Task], Result] | None = None,
) -> list[Result]:
    """Call `function` on every task, with a progress bar where there is a terminal.

    Args:
        function: at the top level of a module, so that a worker can import it.
        tasks: picklable.
        workers: how many processes, or those to use; None runs all here. Without `killed` one process, or one task, is
            none: it runs here.
        label: what the bar says.
        unit: what is counted.
        weight: how many of them a task is.
        done: is told each result as it comes.
        threads: whether to run on threads instead: for work that waits, or that leaves Python (hashing).
        killed: gives the result of a task whose process is killed from outside (for want of memory, or by a fault in a
            C library), or that finds no memory, twice, the second time with no other beside it; None makes the first
            an error.

    Raises:
        Whatever `function` raised first, or an interruption; tasks that have not begun are dropped then, and
            processes that are at work are ended.
        OutputError: no worker can start; or one was killed from outside or found no memory, and there is no `killed`.
    """
    with tqdm(total=sum(map(weight, tasks)), desc=label, unit=unit, disable=None) as bar, ExitStack() as stack:
        results: dict[int, Result] = {}

        def finish(position: int, result: Result) -> None:
            results[position] = result
            bar.update(weight(tasks[position]))
            done(tasks[position], result)

        def stop(kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
            if error is not None:
                processes.stop()

        processes = workers if isinstance(workers, Processes) else stack.enter_context(Processes(workers or 1))
        if workers is None or (killed is None and min(processes.count, len(tasks)) <= 1):
            for position, task in enumerate(tasks):
                try:
                    finish(position, function(task))
                except MemoryError as error:
                    raise _cut_short(label, error) from error
            return [results[position] for position in range(len(tasks))]
        call = function if threads else processes.caller(function)
        pool = stack.enter_context(ThreadPoolExecutor(max(1, min(processes.count, len(tasks)))))
        futures: list[Future[Result]] = []
        stack.callback(_cancel, futures)
        stack.push(stop)  # before the pool waits for its threads, which wait for the processes
        futures.extend(pool.submit(call, task) for task in tasks)
        victims = []
        for position in _as_done(futures):
            try:
                finish(position, futures[position].result())
            except (BrokenProcessPool, MemoryError) as error:
                if killed is None:
                    raise _cut_short(label, error) from error
                victims.append(position)
        for position in sorted(victims):
            try:
                finish(position, call(tasks[position]))
            except (BrokenProcessPool, MemoryError):
                if killed is None:
                    raise
                finish(position, killed(tasks[position]))
        return [results[position] for position in range(len(tasks))]


def _cut_short(label: str, error: BaseException) -> OutputError:
    found = "one that found no memory" if isinstance(error, MemoryError) else "one that was killed"
    remedy = "Give fewer --workers: it may have run out of memory."
    return OutputError(label, "workers that run to their end", found, remedy)


def _be_a_worker() -> None:
    """Let this process end, without a word, at Ctrl-C and when the one that started it does: it would go on writing."""
    guard_streams()
    signal.signal(signal.SIGINT, lambda *_: os._exit(1))
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # as `control_c_unheard` left it
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _cancel(futures: Sequence[Future[Result]]) -> None:
    for future in futures:
        future.cancel()


def _as_done(futures: Sequence[Future[Result]]) -> Iterator[int]:
    positions = {future: position for position, future in enumerate(futures)}
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        yield from sorted(positions[future] for future in done)
