"""Notes of what need not be worked out again. They hold no name that is kept secret, and may be deleted."""

from __future__ import annotations

import os
from pathlib import Path


def notes_folder(kind: str) -> Path:
    """Where notes of a kind are in the cache of `datasets`, `her2-ihc-40x-<kind>`; made when the first is written."""
    from datasets import config

    return Path(config.HF_DATASETS_CACHE) / f"her2-ihc-40x-{kind}"


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
