"""The command line in a process of its own, which talks to the Hub double with the real client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from hub_double import HubDouble

_LOOP = """
import contextlib, io, json, sys
from her2_ihc_40x_builder.cli import main
for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(json.loads(line))
        except SystemExit as stop:
            code = stop.code
    print(json.dumps([code, out.getvalue(), err.getvalue()]), flush=True)
"""


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


class HubClient:
    """Runs commands one after another in one process, which imports the libraries once; a context manager."""

    def __init__(self, hub: HubDouble, home: Path) -> None:
        home.mkdir(exist_ok=True)
        self._errors = (home / "stderr").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LOOP],
            env=hub.environment(home),
            cwd=home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def __enter__(self) -> HubClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._errors.close()

    def start(self, *arguments: str | os.PathLike[str]) -> None:
        """Begin a command."""
        assert self._process.stdin
        print(json.dumps([str(argument) for argument in arguments]), file=self._process.stdin, flush=True)

    def end(self) -> Ran:
        """Wait for the command that was begun."""
        assert self._process.stdout
        answer = self._process.stdout.readline()
        if not answer:
            self._errors.seek(0)
            raise AssertionError(self._errors.read()[-3000:])
        return Ran(*json.loads(answer))

    def run(self, *arguments: str | os.PathLike[str]) -> Ran:
        """A command, from begin to end."""
        self.start(*arguments)
        return self.end()
