"""What worker processes are forked from: a process that has done nothing but import.

A fork of the main process copies the locks of pyarrow's and OpenSlide's threads as they happen to be; a fork of this
one is free of that, and of the second of imports that each worker would begin with. This module itself imports nothing
that takes time, so that the other process can begin before the one that starts it has imported anything.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import BaseContext

#: What the workers of a build import.
_PRELOADED = ("her2_ihc_40x_builder.patches.unit", "her2_ihc_40x_builder.placing.locate")
#: Bytes of a temporary folder's path in which a socket still has a path that macOS (104 bytes) and Linux (108) take.
_DEEPEST = 70


def worker_context() -> BaseContext:
    """How workers are started here: forked from the process of imports, or afresh where that cannot be."""
    # That process listens in the temporary folder, and the path of a socket is short.
    too_deep = len(os.fsencode(tempfile.gettempdir())) > _DEEPEST
    if too_deep or "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", *_PRELOADED])
    return context


def start_imports() -> None:
    """Let the imports of the workers begin, while this process does something else; workers then start at once."""
    if worker_context().get_start_method() != "forkserver":
        return
    with control_c_unheard():
        forkserver.ensure_running()


@contextmanager
def control_c_unheard() -> Iterator[None]:
    """Start processes within that do not hear Ctrl-C until they unblock it: while they import, they would say where.

    Nor do they hear that the terminal is closed: the process that starts them ends them then.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        # Starting the process that tracks resources, which comes with the first of others, would end the blocking.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
