"""Tasks on processes and threads."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from her2_ihc_40x import ReleaseError
from her2_ihc_40x_builder.errors import OutputError
from her2_ihc_40x_builder.parallel import Processes, run_tasks


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


@pytest.mark.parametrize("workers", [1, 2])
def test_the_task_that_kills_its_worker_is_told_from_the_others(workers: int) -> None:
    done = run_tasks(die_at_three, [2, 3, 4], workers=workers, label="", unit="", killed=lambda number: -number)
    assert done == [2, -3, 4]


def die_once(mark: Path) -> str:
    if not mark.exists():
        mark.write_text("killed")
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def test_a_killed_task_has_a_second_chance_and_never_takes_this_process_along(tmp_path: Path) -> None:
    assert run_tasks(die_once, [tmp_path / "mark"], workers=2, label="", unit="", killed=lambda mark: "lost") == [
        "done"
    ]


def find_no_memory_at_three(number: int) -> int:
    if number == 3:
        raise MemoryError
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_a_task_that_finds_no_memory_is_told_from_the_others(workers: int) -> None:
    tasks = [2, 3, 4]
    found = run_tasks(find_no_memory_at_three, tasks, workers=workers, label="", unit="", killed=lambda number: -number)
    assert found == [2, -3, 4]


def test_a_killed_worker_is_reported() -> None:
    with pytest.raises(OutputError, match="killed"):
        run_tasks(die_at_three, range(9), workers=2, label="Packing", unit="")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_thread_that_finds_no_memory_is_reported(workers: int) -> None:
    with pytest.raises(OutputError, match=r"no memory.*--workers"):
        run_tasks(find_no_memory_at_three, range(9), workers=workers, label="Packing", unit="", threads=True)


LAME = """
import multiprocessing
if multiprocessing.parent_process():
    raise ImportError("libGL.so.1: no such file")

def work(number):
    return number
"""


def test_workers_that_cannot_start_are_not_blamed_on_the_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lame.py").write_text(LAME)
    monkeypatch.syspath_prepend(tmp_path)
    work = importlib.import_module("lame").work
    with pytest.raises(OutputError, match="processes that start and import"):
        run_tasks(work, [1, 2], workers=2, label="", unit="", killed=lambda number: "blamed")


ORPHANS = """
import os, sys, time
from pathlib import Path
from her2_ihc_40x_builder.parallel import run_tasks
from orphans import linger
if __name__ == "__main__":
    run_tasks(linger, [sys.argv[1]] * 2, workers=2, label="", unit="")
"""
LINGER = """
import os, time
from pathlib import Path

def linger(folder):
    Path(folder, str(os.getpid())).touch()
    time.sleep(600)
"""


def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(ORPHANS)
    (tmp_path / "orphans.py").write_text(LINGER)
    (tmp_path / "pids").mkdir()
    main = subprocess.Popen([sys.executable, str(tmp_path / "main.py"), str(tmp_path / "pids")])
    while len(list((tmp_path / "pids").iterdir())) < 2:
        assert main.poll() is None
        time.sleep(0.05)
    main.kill()
    main.wait()
    pids = [int(path.name) for path in (tmp_path / "pids").iterdir()]
    deadline = time.monotonic() + 20
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < deadline, "a worker goes on without its parent"
        time.sleep(0.05)


# The program itself has imported nothing yet when it begins, so its command imports what it needs.
INTERRUPTED = """
import sys
from her2_ihc_40x_builder.__main__ import main
def run():
    from her2_ihc_40x_builder.parallel import Processes, run_tasks
    from orphans import linger
    with Processes(2) as workers:
        run_tasks(linger, [sys.argv[1]] * 3, workers=workers, label="", unit="", killed=print)
class Cli:
    main = staticmethod(run)
if __name__ == "__main__":
    sys.modules["her2_ihc_40x_builder.cli"] = Cli
    sys.exit(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("depth", [0, 80], ids=["forked", "spawned"])
def test_who_alone_is_told_to_end_ends_workers_that_are_at_work(tmp_path: Path, depth: int) -> None:
    """As systemd and `docker stop` tell it: a terminal tells the workers too."""
    (tmp_path / "main.py").write_text(INTERRUPTED)
    (tmp_path / "orphans.py").write_text(LINGER)
    (tmp_path / "pids").mkdir()
    # The server of forks needs a temporary folder of a short path.
    with tempfile.TemporaryDirectory(prefix="her2-", suffix="x" * depth, dir="/tmp") as temporary:
        main = subprocess.Popen(
            [sys.executable, str(tmp_path / "main.py"), str(tmp_path / "pids")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": temporary},
        )
        while len(list((tmp_path / "pids").iterdir())) < 2:
            assert main.poll() is None
            time.sleep(0.05)
        assert any(Path(temporary).iterdir()) == (depth == 0)
        main.send_signal(signal.SIGTERM)
        began = time.monotonic()
        printed, said = main.communicate(timeout=60)
        assert time.monotonic() - began < 20  # of 600; a second, where nothing else runs
        assert (printed, main.returncode) == ("", 130)
        assert said == "her2-ihc-40x: interrupted; the same command goes on or begins again\n"
        assert list(Path(temporary).iterdir()) == []
    assert not any(_runs(int(path.name)) for path in (tmp_path / "pids").iterdir())


def linger_but_for(number: int) -> int:
    if number:
        time.sleep(600)
    raise ReleaseError("zero", "another number", "zero", "Take it out.")


def test_an_error_ends_the_tasks_that_are_at_work_and_the_workers_serve_again() -> None:
    with Processes(2) as workers:
        began = time.monotonic()
        with pytest.raises(ReleaseError, match="zero"):
            run_tasks(linger_but_for, [1, 0, 2], workers=workers, label="", unit="")
        assert time.monotonic() - began < 60
        assert run_tasks(square, [1, 2, 3], workers=workers, label="", unit="") == [1, 4, 9]


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
