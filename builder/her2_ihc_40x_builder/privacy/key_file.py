"""The file of a secret key: made once, kept by its owner, read by nobody else."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from ..errors import OutputError
from ..places import SPECIAL, is_special
from .pseudonyms import Key

LEAST_BYTES, MOST_BYTES = 32, 4096
_LEAST_VALUES = 8


def read_or_make_key(path: Path) -> tuple[Key, bool]:
    """Read a key, or make one where there is no file; returns whether it was made.

    The key is the file's bytes, blanks around them left out. A new one is 32 random bytes in hexadecimal, mode 600.

    Raises:
        OutputError: it is no plain file, can be read by others, is under 32 or over 4096 bytes or plainly not random,
            or cannot be read or made.
    """
    made = not os.path.lexists(path)
    if made:
        try:
            write_private(path, secrets.token_hex(LEAST_BYTES) + "\n")
        except OSError as error:
            raise _refused(path, error) from error
    return read_key(path), made


def read_key(path: Path) -> Key:
    """Read a key.

    Raises:
        OutputError: as `read_or_make_key`, or there is none.
    """
    try:
        return _read(path)
    except OSError as error:
        raise _refused(path, error) from error


def write_private(path: Path, text: str) -> None:
    """Write a new file that only its owner can read, from its first byte on, and flush it to the disk."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> Key:
    if is_special(path):  # one that is a pipe would be waited for
        raise OutputError(str(path), "a file with a key", SPECIAL, "Give another --pseudonymize.")
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):  # it was another when it was looked at
            raise OutputError(str(path), "a file with a key", "something else", "Give another --pseudonymize.")
        if os.name == "posix" and status.st_mode & 0o077:
            found = f"mode {status.st_mode & 0o777:o}"
            raise OutputError(str(path), "a key that its owner alone can read", found, f"Run: chmod 600 {path}")
        secret = file.read(MOST_BYTES + 1).strip()
    if not LEAST_BYTES <= len(secret) <= MOST_BYTES or len(set(secret)) < _LEAST_VALUES:
        expected = f"{LEAST_BYTES} to {MOST_BYTES} random bytes"
        remedy = "Name a file that does not exist, and a key is made; or write one with: openssl rand -hex 32"
        raise OutputError(str(path), expected, f"{len(secret)} bytes, or ones that repeat", remedy)
    return Key(secret)


def _refused(path: Path, error: OSError) -> OutputError:
    if isinstance(error, OutputError):
        return error
    found = error.strerror or repr(error)
    return OutputError(str(path), "a key file, or a place to make one", found, "Check the path and its permissions.")
