"""The program: `her2-ihc-40x`, or `python -m her2_ihc_40x_builder`."""

import sys

from .forking import start_imports

#: The commands that have workers.
_WITH_WORKERS = ("build", "plan")


def main() -> int:
    """Run the command that the process was started with; returns its exit code."""
    if set(_WITH_WORKERS).intersection(sys.argv[1:2]) and not {"-h", "--help"}.intersection(sys.argv):
        # Before this process imports the same: each takes a core and more than a second.
        start_imports()
    from .cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
