"""Which scan or export a slide is, by the bytes of its files."""

from __future__ import annotations

import hashlib
import os
import re
import time
from contextlib import suppress
from pathlib import Path

from ..errors import SlideError
from ..hashing import sha256_of
from ..notes import notes_folder, write_note

#: Nanoseconds in which a file may change twice without its times telling: a hash of one so young is not kept.
_YOUNG = 2_000_000_000


def fingerprint(*files: Path) -> str:
    """A digest of all bytes of files; names and order do not count.

    A file that was read before is not read again while its size, its place on the disk and both its times are the same:
    what it was is kept in a note in the cache of `datasets`, which holds no name and may be deleted at any time.

    Raises:
        SlideError: one cannot be read.
    """
    marks = sorted(map(_fingerprint, files))
    return marks[0] if len(marks) == 1 else hashlib.sha256("".join(marks).encode()).hexdigest()


def _fingerprint(path: Path) -> str:
    try:
        before = path.stat()
        note = _note(before)
        if found := _read(note):
            return found
        found = sha256_of(path)
        newest = max(before.st_mtime_ns, before.st_ctime_ns)
        if _note(path.stat()) == note and 0 <= newest < time.time_ns() - _YOUNG:
            with suppress(OSError):  # without a place to keep it, it is computed again
                write_note(note, found)
    except OSError as error:
        told, remedy = error.strerror or repr(error), "Check the disk and the file's permissions."
        raise SlideError(str(path), "a readable file", told, remedy) from error
    return found


def _note(state: os.stat_result) -> Path:
    """Where the hash of a file in this state is kept."""
    told = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    return notes_folder("files") / hashlib.sha256(repr(told).encode()).hexdigest()


def _read(note: Path) -> str | None:
    try:
        text = note.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    return text if re.fullmatch("[0-9a-f]{64}", text) else None
