"""The program in a process of its own, which is forked from the workers' process of imports: it begins at once.

What comes before its imports or after its last line, or hangs on what Python itself is started with (environment
variables too), is for tests that start Python. Its own workers are forked from a process of imports of its own, as
always, and write to its standard streams.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from subprocess import CompletedProcess

from her2_ihc_40x_builder.forking import worker_context

#: Seconds in which a process ends even where the machine is busy.
LIMIT = 120


class Program:
    """A running program, much as `subprocess.Popen` gives one.

    Args:
        arguments: of the command line, without the program's name.
        cwd: its current folder; else that of the tests.
        timeout: seconds after which it is killed.
    """

    def __init__(self, arguments: Sequence[object], cwd: Path = Path(), timeout: float = LIMIT) -> None:
        self._arguments = [str(argument) for argument in arguments]
        self._folder = tempfile.TemporaryDirectory()
        reader, writer = Pipe(duplex=False)
        self.stdout = os.fdopen(os.dup(reader.fileno()), encoding="utf-8")
        reader.close()
        run = (self._arguments, cwd.absolute(), writer, self._stderr)
        self._process = worker_context().Process(target=_run, args=run)  # type: ignore[attr-defined]
        self._process.start()
        writer.close()
        self._guard = threading.Timer(timeout, self.kill)
        self._guard.daemon = True
        self._guard.start()

    @property
    def _stderr(self) -> Path:
        return Path(self._folder.name) / "stderr"

    def kill(self) -> None:
        """End it as the kernel does."""
        self._process.kill()

    def communicate(self) -> CompletedProcess[str]:
        """Wait for its end; what it printed that was not read yet, and its exit code, below zero that of a signal."""
        with self.stdout, self._folder:
            out = self.stdout.read()
            self._process.join()
            self._guard.cancel()
            err = self._stderr.read_text("utf-8") if self._stderr.exists() else ""
        return CompletedProcess(self._arguments, self._process.exitcode, out, err)


def run_program(arguments: Sequence[object], cwd: Path = Path(), timeout: float = LIMIT) -> CompletedProcess[str]:
    """Run the program to its end, as `subprocess.run` does."""
    return Program(arguments, cwd, timeout).communicate()


def exit_code(function: Callable[..., object], *arguments: object) -> int | None:
    """Call a function in a process of its own; returns how that ended, below zero by a signal, None not in time."""
    process = worker_context().Process(target=function, args=arguments)  # type: ignore[attr-defined]
    process.start()
    process.join(LIMIT)
    code: int | None = process.exitcode
    process.kill()
    return code


def _run(arguments: list[str], cwd: Path, stdout: Connection, stderr: Path) -> None:
    """Be the program: end with its exit code."""
    from her2_ihc_40x_builder.__main__ import main

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    os.chdir(cwd)
    os.dup2(stdout.fileno(), 1)
    stdout.close()
    os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT), 2)
    # As Python opens them, but that each line of standard output comes at once.
    sys.stdout = open(1, "w", encoding="utf-8", buffering=1)  # noqa: SIM115 (for good)
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115 (for good)
    sys.argv = ["her2-ihc-40x", *arguments]
    sys.exit(main())
