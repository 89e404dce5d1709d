"""Download a file whose size and md5 are known: resumed where it broke off, and verified."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from ..errors import OutputError
from .http_client import Client, FetchError, RangeError, TransientError

logger = logging.getLogger(__name__)

CHUNK = 1 << 20
_CHANGED = "The server and the record disagree: run it again later, or tell the record's authors."


@dataclass(frozen=True)
class RemoteFile:
    """A file to download: a plain name, its bytes, their md5 in hex, and where it is."""

    name: str
    size: int
    md5: str
    url: str


def body_start(
    status: int, content_range: str | None, content_length: str | None, offset: int, file: RemoteFile
) -> int:
    """The byte of the file at which an answer's body starts: `offset` as asked for, or 0 where Range was ignored.

    Raises:
        FetchError: the answer is about a file of another length, or about another part of it.
    """
    if status == 206:
        span = re.fullmatch(r"bytes ([0-9]+)-[0-9]+/([0-9]+|\*)", content_range or "")
        if span and int(span[1]) == offset and span[2] in ("*", str(file.size)):
            return offset
        raise FetchError(file.url, f"bytes from {offset} of {file.size}", f"Content-Range: {content_range}", _CHANGED)
    if status != 200 or content_length not in (None, str(file.size)):
        raise FetchError(file.url, f"{file.size} bytes", f"HTTP {status} with {content_length} bytes", _CHANGED)
    return 0


class Part:
    """A file that is being filled, and the md5 of what it holds; a context manager.

    Args:
        path: of the part; what an earlier process left in it is kept.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # A link that somebody put there would lead out of the folder.
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        self._stream = os.fdopen(os.open(path, flags, 0o666), "r+b")
        self._digest = hashlib.md5(usedforsecurity=False)
        while data := self._stream.read(CHUNK):
            self._digest.update(data)
        self.size = self._stream.tell()
        #: From how many connections the bytes are.
        self.pieces = 1 if self.size else 0

    def __enter__(self) -> Part:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    @property
    def md5(self) -> str:
        """Of the bytes so far, in hex."""
        return self._digest.hexdigest()

    def append(self, data: bytes) -> None:
        """Add bytes at the end."""
        self._stream.write(data)
        self._digest.update(data)
        self.size += len(data)

    def clear(self) -> None:
        """Throw all bytes away."""
        self._stream.seek(0)
        self._stream.truncate()
        self._digest = hashlib.md5(usedforsecurity=False)
        self.size = self.pieces = 0

    def finish(self, target: Path) -> None:
        """Give the file its name, now that it is whole.

        Raises:
            OutputError: something has that name.
        """
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        if target.exists():
            raise OutputError(str(target), "no file yet", "one that came meanwhile", "Move it away and run it again.")
        self.path.replace(target)


def complete(client: Client, file: RemoteFile, part: Part, report: Callable[[int], None]) -> None:
    """Fill a part until it holds the file's bytes, over as many connections as it takes, and verify them.

    Args:
        client: to ask with.
        file: what to ask for.
        part: what is there of it, at most the file's size.
        report: told the part's size after each chunk.

    Raises:
        FetchError: the file cannot be had, or its bytes are wrong; the part is then kept, or emptied.
    """
    # A seam may join two files: the part may be damaged, or the file replaced while it arrived. One more chance then.
    for chance in (1, 2):
        client.patiently(lambda: _receive(client, file, part, report))
        if part.md5 == file.md5:
            return
        found, pieces = part.md5, part.pieces
        part.clear()
        if pieces == 1 or chance == 2:
            raise FetchError(file.url, f"md5 {file.md5}", found, "The bytes were thrown away. " + _CHANGED)
        logger.warning("%s: wrong md5 after it was resumed; once more from the start", file.url)


def _receive(client: Client, file: RemoteFile, part: Part, report: Callable[[int], None]) -> None:
    """Append what one connection gives."""
    if part.size == file.size:
        return
    try:
        response = client.open(file.url, part.size)
    except RangeError:
        part.clear()
        response = client.open(file.url)
    with response:
        span, length = response.headers.get("Content-Range"), response.headers.get("Content-Length")
        if body_start(response.status, span, length, part.size, file) != part.size:
            part.clear()
        part.pieces += 1
        while part.size < file.size and (data := client.read(response, min(CHUNK, file.size - part.size))):
            part.append(data)
            report(part.size)
    if part.size < file.size:
        raise TransientError(file.url, f"the connection ended at {part.size} of {file.size} bytes")
