"""A script: it imports the commands once, then forks a process for each that it is told of on its standard input."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile

from her2_ihc_40x_builder import report  # noqa: F401 (imports all that a build does)
from her2_ihc_40x_builder.cli import main

TIMEOUT = 120


def run(arguments: list[str], out: str, err: str, tmp: str) -> None:
    """Be the process of a command, at the head of a session of its own; end with its exit code."""
    os.setsid()
    signal.alarm(TIMEOUT)
    for path, number in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.environ["TMPDIR"] = tempfile.tempdir = tmp
    sys.exit(main(arguments))


if __name__ == "__main__":
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            run(**json.loads(line))
        _, status = os.waitpid(process, 0)
        print(process, os.waitstatus_to_exitcode(status), flush=True)
