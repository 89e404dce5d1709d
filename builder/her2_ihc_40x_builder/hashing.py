"""The SHA-256 of a file, a block at a time."""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from pathlib import Path
from typing import IO


def sha256_of(file: Path | IO[bytes], block: int = 1 << 20) -> str:
    """The SHA-256 of a file, 64 hex digits.

    Args:
        file: its path, or the open file, whose rest is read.
        block: bytes that are read, and in memory, at a time.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with file.open("rb") if isinstance(file, Path) else nullcontext(file) as stored:
        while data := stored.read(block):
            digest.update(data)
    return digest.hexdigest()
