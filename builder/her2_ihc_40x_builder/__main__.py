"""The program: `her2-ihc-40x`, or `python -m her2_ihc_40x_builder`."""

import os
import signal
import sys
from types import FrameType

from .forking import start_imports

#: The commands that have workers.
_WITH_WORKERS = ("build", "plan")


def main() -> int:
    """Run the command that the process was started with; returns its exit code: that of `cli.main`, 130 interrupted."""
    _open_streams()
    asked: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        raise KeyboardInterrupt

    try:
        # Who is asked to end leaves things as tidy as who is interrupted; a shell's background job ignores Ctrl-C.
        ends = [signal.SIGTERM]
        ends += [signal.SIGINT] if signal.getsignal(signal.SIGINT) is signal.default_int_handler else []
        for number in ends:
            signal.signal(number, end)
        if set(_WITH_WORKERS).intersection(sys.argv[1:2]) and not {"-h", "--help"}.intersection(sys.argv):
            # Before this process imports the same: each takes a core and more than a second.
            start_imports()
        from .cli import main as run

        for number in ends:
            signal.signal(number, signal.default_int_handler)
        if asked:  # some library swallows whatever is raised while it is imported
            raise KeyboardInterrupt
        return run()
    except KeyboardInterrupt:
        # CPython ends by the signal, and not with the exit code, if a text was being executed, as dataclasses do when
        # they are imported: until another is executed to its end.
        exec("")  # noqa: S102 (an empty text, for what it does to CPython)
        print("her2-ihc-40x: interrupted; the same command goes on or begins again", file=sys.stderr)
        return 130


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
