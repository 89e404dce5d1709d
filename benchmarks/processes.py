"""Run a command to its end, and tell its time, and the memory of it and of the processes that it starts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_INTERVAL = 0.05


@dataclass(frozen=True)
class Run:
    """What a command took.

    Args:
        seconds: from its start to its end.
        cpu: seconds of all cores, of it and its children.
        peak: bytes of the largest of its processes, at their most (resident).
        together: bytes of all its processes at one time, at their most; pages that they share count for each.
        output: what it printed.
    """

    seconds: float
    cpu: float
    peak: int
    together: int
    output: str


def run(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Run:
    """Run a command; its processes are looked at 20 times a second (on Linux; elsewhere only the largest is known).

    Raises:
        RuntimeError: it failed; with the end of what it printed.
    """
    peaks: dict[int, int] = {}
    cpu: dict[int, float] = {}
    together = 0
    with (
        log.open("w") as errors,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True) as child,
    ):
        start = time.perf_counter()
        while (ended := os.wait4(child.pid, os.WNOHANG))[0] == 0:
            now = {pid: look for pid in _tree(child.pid) if (look := _look(pid))}
            peaks.update({pid: look.most for pid, look in now.items()})
            cpu.update({pid: look.cpu for pid, look in now.items()})
            together = max(together, sum(look.resident for look in now.values()))
            time.sleep(_INTERVAL)
        seconds = time.perf_counter() - start
        _, status, usage = ended
        child.returncode = os.waitstatus_to_exitcode(status)
        output = child.stdout.read() if child.stdout else ""
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{output[-1000:]}\n{log.read_text()[-2000:]}")
    largest = max(peaks.values()) if peaks else usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    # Workers may be children of another process than the one that is waited for, which then does not know their time.
    return Run(seconds, max(usage.ru_utime + usage.ru_stime, sum(cpu.values())), largest, together, output)


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = path.read_text().split()
        except OSError:  # it has ended
            continue
        for child in children:
            yield from _tree(int(child))


@dataclass(frozen=True)
class _Look:
    """Bytes of a process, now and at its most (the kernel keeps it: no peak falls between two looks), and its time."""

    resident: int
    most: int
    cpu: float


def _look(pid: int) -> _Look | None:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        ticks = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    if "VmHWM" not in fields:  # it has ended, or there is no /proc
        return None
    now, most = (int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    return _Look(now, most, sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"))
