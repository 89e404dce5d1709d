"""Notes of what need not be worked out again. They hold no name that is kept secret, and may be deleted."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .hashing import checksum


def notes_folder(kind: str) -> Path:
    """Where notes of a kind are in the cache of `datasets`, `her2-ihc-40x-<kind>`; made when the first is written."""
    from datasets import config

    return Path(config.HF_DATASETS_CACHE) / f"her2-ihc-40x-{kind}"


def with_checksum(content: Mapping[str, Any]) -> dict[str, Any]:
    """What a note says, with the sha256 of it, by which `read_checked` knows that nobody edited it."""
    return {**content, "sha256": checksum(content)}


def read_checked(note: Path) -> dict[str, Any]:
    """What a note says that was written `with_checksum`.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no mapping of JSON, or its sha256 is of something else.
        RecursionError: it is nested without end.
    """
    content = json.loads(note.read_bytes())
    if not isinstance(content, dict) or content.get("sha256") != checksum(content):
        raise ValueError("a note that was edited or damaged")
    return content


def write_note(note: Path, text: str) -> None:
    """Write a note in ASCII, which appears whole or not at all, whoever else writes it.

    Raises:
        OSError: it cannot be written.
    """
    note.parent.mkdir(parents=True, exist_ok=True)
    part = note.with_name(f".{note.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="ascii")
        part.replace(note)
    finally:
        part.unlink(missing_ok=True)
