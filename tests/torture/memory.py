"""How much memory a process and those that it starts hold at most: a build decodes slides in workers of its own."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

#: Seconds between two looks; what a process takes in the last of them before it ends is not seen.
_PAUSE = 0.02


class Watch:
    """Looks, from a thread, at the most that any one process of this process's tree has held; a context manager.

    The kernel keeps that for each process that lives, so that a peak between two looks counts. `getrusage` would not
    do: it knows workers only once their own parent has ended, and of this process what its parent held.

    Attributes:
        peak_kb: the most, in kB; whole once the context is left.
    """

    def __init__(self) -> None:
        self.peak_kb = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        over = False
        while not over:
            over = self._over.wait(_PAUSE)
            self.peak_kb = max([self.peak_kb, *map(_held, _tree(os.getpid()))])


def _tree(root: int) -> Iterator[int]:
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            parent = int(path.read_text(errors="replace").rsplit(")", 1)[1].split()[1])
            parents.setdefault(parent, []).append(int(path.parent.name))
    waiting = [root]
    while waiting:
        waiting += parents.get(process := waiting.pop(), [])
        yield process


def _held(process: int) -> int:
    with contextlib.suppress(OSError):
        _, found, rest = Path(f"/proc/{process}/status").read_text(errors="replace").partition("VmHWM:")
        return int(rest.split()[0]) if found else 0  # one that has ended, and is not yet waited for, holds nothing
    return 0
