"""The program: `her2-ihc-40x`, or `python -m her2_ihc_40x_builder`."""

from __future__ import annotations

import _thread
import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from .streams import guard_streams

#: The commands that have workers.
_WITH_WORKERS = ("build", "plan")
#: Seconds after which an interruption that could not be raised comes again.
_AGAIN = 0.05


def main() -> int:
    """Run the command that the process was started with; returns its exit code: that of `cli.main`, 130 interrupted."""
    _open_streams()
    guard_streams()
    sys.unraisablehook = _come_again
    codes: list[int] = []
    atexit.register(_end_with, codes)  # before multiprocessing registers its own: the first comes last
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    # Who is asked to end, or whose terminal is closed, leaves things as tidy as who is interrupted. A job of
    # a shell in the background ignores Ctrl-C, and one under nohup that the terminal is closed.
    ends = [signal.SIGTERM]
    ends += [signal.SIGINT] if signal.getsignal(signal.SIGINT) is signal.default_int_handler else []
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        ends.append(signal.SIGHUP)
    try:
        # While it imports the program has begun nothing. Raised then, an interruption may be swallowed by a library,
        # take another's form, or fall into a callback of the import system, which complains and goes on.
        _handle(ends, note)
        if not _has_temporary_folder():
            return 1
        if set(_WITH_WORKERS).intersection(sys.argv[1:2]) and not {"-h", "--help"}.intersection(sys.argv):
            from .forking import start_imports

            # Before this process imports the same: each takes a core and more than a second.
            start_imports()
        from .cli import main as run

        _handle(ends, signal.default_int_handler)
        if asked:
            raise KeyboardInterrupt
        code = run()
        _handle(ends, signal.SIG_IGN)  # what was asked for is done
    except KeyboardInterrupt:
        _handle(ends, signal.SIG_IGN)
        with suppress(OSError):  # the terminal may be gone
            print("her2-ihc-40x: interrupted; the same command goes on or begins again", file=sys.stderr)
        code = 130
    codes.append(code)
    return code


def _has_temporary_folder() -> bool:
    """Whether there is a folder for temporary files, which libraries want as they are imported; says so if not."""
    import tempfile  # here, where an interruption is waited for

    try:
        tempfile.gettempdir()
    except OSError as error:
        expected, found = "a folder that can be written", f"none ({error.strerror})"
        remedy = "Set TMPDIR to a folder that can be written, on a disk that has room."
        print(f"her2-ihc-40x: temporary files: expected {expected}, found {found}. {remedy}", file=sys.stderr)
        return False
    return True


def _handle(numbers: list[signal.Signals], handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in numbers:
        signal.signal(number, handler)


def _end_with(codes: list[int]) -> None:
    """End the process as the last thing before Python takes itself down: a thread of pyarrow's may still drop a file.

    For that it asks for Python's lock, and where that is no more, the process aborts.
    """
    if codes:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(codes[0])


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
