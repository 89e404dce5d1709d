"""A machine that goes wrong on demand: commands run in processes whose disk fails, which die, or whose clock is wrong.

`faults.c` is compiled and preloaded into a server that has imported the commands; each run is a fork of it, so that a
point of a campaign takes no longer than its work. A run counts its calls that change files, and so do its workers.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

#: Kinds of calls: a file opened to be written, a write, a flush, a rename, a link, a folder made, something removed.
KINDS = "owsrlmu"
KILL_ALL, KILL_MAIN = -1, -2
_HERE = Path(__file__).parent
_FOREVER = 1 << 62
_PATIENCE = 30


@dataclass(frozen=True)
class Fault:
    """What goes wrong.

    Args:
        action: an errno with which a call fails; KILL_ALL, KILL_MAIN: the process and its workers, or it alone, killed.
        first: the number of the call at which it does, from 1.
        lasts: whether all calls after it fail too.
        kinds: of calls that are counted.
    """

    action: int
    first: int
    lasts: bool = False
    kinds: str = KINDS


@dataclass(frozen=True)
class Run:
    """How a command ended: its exit code, negative for a signal, what it printed, and its counted calls in order."""

    code: int
    out: str
    err: str
    calls: tuple[str, ...]


class _Control(ctypes.Structure):
    _fields_ = (
        ("count", ctypes.c_int64),
        ("first", ctypes.c_int64),
        ("last", ctypes.c_int64),
        ("action", ctypes.c_int64),
        ("clock", ctypes.c_int64),
        ("looks", ctypes.c_int64),
        ("kinds", ctypes.c_char * 64),
        ("root", ctypes.c_char * 4096),
        ("log", ctypes.c_char * 4096),
    )


class Machine:
    """Runs commands; a context manager.

    Args:
        folder: an empty one, for the library and what the runs say.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "control").write_bytes(bytes(ctypes.sizeof(_Control)))
        with (folder / "control").open("r+b") as file:
            self._control = _Control.from_buffer(mmap.mmap(file.fileno(), 0))
        faults = {"LD_PRELOAD": str(_compile(folder / "faults.so")), "FAULTS_CONTROL": str(folder / "control")}
        self._server = subprocess.Popen(
            [sys.executable, _HERE / "server.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **faults},
        )

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *error: object) -> None:
        self._server.communicate()

    def run(self, root: Path, arguments: Sequence[object], fault: Fault | None = None, *, clock: int = 0) -> Run:
        """Run a command, and wait until it and its workers have ended.

        Args:
            root: the folder below which calls are counted; its `tmp` is the process's folder for temporary files.
            arguments: of the command line.
            fault: what goes wrong.
            clock: by how many seconds the clock goes back each time it is looked at.
        """
        log, out, err = (self._folder / name for name in ("calls", "out", "err"))
        log.unlink(missing_ok=True)
        (root / "tmp").mkdir(parents=True, exist_ok=True)
        fault = fault or Fault(0, 0)
        control = self._control
        control.first, control.last = fault.first, _FOREVER if fault.lasts else fault.first
        control.action, control.kinds = fault.action, fault.kinds.encode()
        control.clock, control.count, control.looks = clock, 0, 0
        control.log, control.root = os.fsencode(log), os.fsencode(root)
        told = {"arguments": list(map(str, arguments)), "out": str(out), "err": str(err), "tmp": str(root / "tmp")}
        code = self._wait(told)
        control.root, control.clock = b"", 0
        calls = log.read_text(errors="surrogateescape").splitlines() if log.exists() else []
        return Run(code, out.read_text(), err.read_text(), tuple(calls))

    def _wait(self, told: Mapping[str, object]) -> int:
        assert self._server.stdin
        assert self._server.stdout
        self._server.stdin.write(json.dumps(told) + "\n")
        self._server.stdin.flush()
        session, code = map(int, self._server.stdout.readline().split())
        deadline = time.monotonic() + _PATIENCE
        while _is_alive(session):
            if time.monotonic() > deadline:
                os.killpg(session, signal.SIGKILL)
                pytest.fail("a worker goes on without the process that started it")
            time.sleep(0.01)
        return code


def _is_alive(session: int) -> bool:
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, leader = path.read_text().rsplit(")", 1)[1].split()[:4]
            if int(leader) == session and state != "Z":
                return True
    return False


def _compile(library: Path) -> Path:
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("needs Linux and a C compiler, to make a disk fail")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, _HERE / "faults.c", "-ldl"], check=True)
    return library
