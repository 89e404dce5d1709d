"""What standard output and standard error take: names that come with the data may hold codes that a terminal obeys.

It is done at the streams, and not where something is printed: no name can be forgotten there, whoever writes it (a
command, a log of another package, a traceback).
"""

from __future__ import annotations

import os
import re
import sys
from typing import Any, TextIO, cast

#: C0 but for tab and newline, DEL, C1, and what turns the direction of writing.
_CODES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
#: What bars write: returns around a line, or nothing but lines down or up.
_RETURNS = re.compile(r"(\r*)(.*?)(\r*)", re.DOTALL)
_MOVES = re.compile(r"\n*(\x1b\[A)*")


class UnwritableError(Exception):
    """Standard output took no more; no OSError, so that nobody takes it for a file's."""


class ReaderGoneError(UnwritableError):
    """Whoever read standard output, such as `head`, has gone."""


def escape_codes(text: str) -> str:
    r"""Text without anything that a terminal obeys, but for tab and newline.

    Codes are written as \u009b, which Python and JSON read alike: JSON stays valid.
    """
    return _CODES.sub(lambda code: f"\\u{ord(code[0]):04x}", text)


class _Guarded:
    """A stream that no codes are written to; for the rest it is the stream itself."""

    def __init__(self, stream: TextIO, *, bars: bool) -> None:
        self._stream, self._bars = stream, bars

    def write(self, text: str) -> int:
        self._stream.write(_escape_but_moves(text) if self._bars else escape_codes(text))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _escape_but_moves(text: str) -> str:
    """A message never begins or ends with a return, nor is it nothing but moves: that is a bar's alone."""
    if _MOVES.fullmatch(text):
        return text
    before, line, after = _RETURNS.fullmatch(text).groups()  # type: ignore[union-attr]  # which matches any text
    return f"{before}{escape_codes(line)}{after}"


def guard_streams() -> None:
    """Let this process write no codes to its standard streams, from now on."""
    # Python 3.13 would colour tracebacks in a terminal: their codes would be escaped.
    os.environ["PYTHON_COLORS"] = "0"
    if sys.stdout is not None:
        sys.stdout = cast(TextIO, _Guarded(sys.stdout, bars=False))
    if sys.stderr is not None:
        sys.stderr = cast(TextIO, _Guarded(sys.stderr, bars=True))
