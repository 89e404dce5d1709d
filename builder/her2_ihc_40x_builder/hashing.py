"""The SHA-256 of a file, a block at a time, and of what a JSON file says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Any


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


def checksum(content: Mapping[str, Any]) -> str:
    """The sha256 of all that a JSON file says but for its own "sha256": an edited or damaged one is known by it."""
    told = {key: value for key, value in content.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
