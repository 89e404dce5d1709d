"""The program: `her2-ihc-40x`, or `python -m her2_ihc_40x_builder`."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from types import FrameType

from .forking import start_imports

#: The commands that have workers.
_WITH_WORKERS = ("build", "plan")
#: Seconds after which an interruption that could not be raised comes again.
_AGAIN = 0.05


def main() -> int:
    """Run the command that the process was started with; returns its exit code: that of `cli.main`, 130 interrupted."""
    _open_streams()
    sys.unraisablehook = _come_again
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    # Who is asked to end leaves things as tidy as who is interrupted; a shell's background job ignores Ctrl-C.
    ends = [signal.SIGTERM]
    ends += [signal.SIGINT] if signal.getsignal(signal.SIGINT) is signal.default_int_handler else []
    try:
        # While it imports the program has begun nothing. Raised then, an interruption may be swallowed by a library,
        # take another's form, or fall into a callback of the import system, which complains and goes on.
        for number in ends:
            signal.signal(number, note)
        if set(_WITH_WORKERS).intersection(sys.argv[1:2]) and not {"-h", "--help"}.intersection(sys.argv):
            # Before this process imports the same: each takes a core and more than a second.
            start_imports()
        from .cli import main as run

        for number in ends:
            signal.signal(number, signal.default_int_handler)
        if asked:
            raise KeyboardInterrupt
        return run()
    except KeyboardInterrupt:
        # CPython ends by the signal, and not with the exit code, if a text was being executed, as dataclasses do when
        # they are made: until another is executed to its end.
        exec("")  # noqa: S102 (an empty text, for what it does to CPython)
        print("her2-ihc-40x: interrupted; the same command goes on or begins again", file=sys.stderr)
        return 130


def _come_again(lost: sys.UnraisableHookArgs) -> None:
    """Of an exception that could not be raised, as in a `__del__`: an interruption comes again, any other is said."""
    if isinstance(lost.exc_value, KeyboardInterrupt):
        threading.Timer(_AGAIN, _interrupt).start()
    else:
        sys.__unraisablehook__(lost)


def _interrupt() -> None:
    main_thread = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main_thread is not None:
        signal.pthread_kill(main_thread, signal.SIGTERM)  # which ends its waiting too
    else:
        _thread.interrupt_main()


def _open_streams() -> None:
    """Give a process that was started without them the three standard streams, before other files take their places."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    # They stay open as long as the process: no `with`.
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 (for good)
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 (for good)
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 (for good)


if __name__ == "__main__":
    sys.exit(main())
