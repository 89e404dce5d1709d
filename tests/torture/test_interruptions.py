"""A build that is told to end, at any moment: one line, no process, nothing left in TMPDIR; the next run goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from drawn_slides import CLI, Cohort, command, contents
from interrupted import INTERRUPTED, hear_control_c
from torture.campaign import points, rng

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.mark.parametrize("point", points(short=1, long=100))
def test_who_is_told_to_end_does_and_the_next_run_goes_on(
    point: int, cohort: Cohort, built: Path, tmp_path: Path
) -> None:
    draw = rng("interruption", point)
    number = draw.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    everybody = draw.choice([True, False])  # as a terminal does, or as a service manager
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    build = [*CLI, *command(cohort, tmp_path / "out", "--workers", "2")]
    process = subprocess.Popen(
        build,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=hear_control_c,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    wait_until_it_listens(process.pid)
    time.sleep(draw.uniform(0, 4))
    tell = os.killpg if everybody else os.kill
    tell(process.pid, number)
    _, said = process.communicate(timeout=60)
    assert (said, process.returncode) in ((INTERRUPTED, 130), ("", 0))  # it may have been done
    assert list(temporary.iterdir()) == []
    wait_until_nobody_is_left(process.pid)
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "out") == contents(built)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out-report", "tmp"]


def wait_until_it_listens(process: int) -> None:
    """Wait until a program catches SIGTERM: a busy machine takes long to start Python, which is not asked here."""
    status = Path(f"/proc/{process}/status")
    for _ in range(6_000 if status.is_file() else 0):
        if caught(status.read_text()) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.01)


def caught(status: str) -> int:
    """The signals that a process catches, the first as the lowest bit."""
    return int(next(line for line in status.splitlines() if line.startswith("SigCgt")).split()[1], 16)


def wait_until_nobody_is_left(group: int) -> None:
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("a process is left")
