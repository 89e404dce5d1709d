"""What a program says that was told to end, and how it is started so that it hears."""

from __future__ import annotations

import signal

INTERRUPTED = "her2-ihc-40x: interrupted; the same command goes on or begins again\n"


def hear_control_c() -> None:
    """Of a process that is started: a shell's background job has it ignored, and so has what that starts.

    So has under `nohup` the signal of a terminal that is closed.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
