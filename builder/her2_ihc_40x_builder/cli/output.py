"""Standard output, whose troubles are known from those of any other file: an OSError of a write names none."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO, cast

from ..streams import ReaderGoneError, UnwritableError


class _Watched:
    """A stream whose writes raise an UnwritableError; for the rest it is the stream itself."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with _told():
            return self._stream.write(text)

    def flush(self) -> None:
        with _told():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def watched_output() -> Iterator[None]:
    """Raise an UnwritableError where standard output cannot be written, at the latest when it is flushed at the end."""
    with redirect_stdout(cast(TextIO, _Watched(sys.stdout))):
        yield
        sys.stdout.flush()


def drop_output() -> None:
    """Let what is left of standard output go nowhere: Python would complain of it once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderGoneError(error.strerror or repr(error)) from error
    except OSError as error:
        raise UnwritableError(error.strerror or repr(error)) from error
