"""Entries of a folder that nobody vouches for: whether one is a plain file inside it, and how its name is shown."""

from __future__ import annotations

import os
from pathlib import Path


def why_not_a_file(path: Path, root: Path) -> str | None:
    """Say in a few words why an entry below a folder must not be opened; None if it is a plain file inside.

    A pipe would be waited for without end, a device read without end, and a link may lead to any file of this machine.
    Nothing is opened.

    Args:
        path: below `root`, as a listing of it gave it.
        root: the folder that was given.
    """
    try:
        if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
            return "a link to outside of the folder"
        if not path.exists():
            return "a link that leads nowhere"
    except (OSError, RuntimeError):  # a loop of links, which each Python tells in its own way
        return "a link that leads nowhere"
    if path.is_dir():
        return "a folder"
    return None if path.is_file() else "a pipe, a socket or a device"


def shown(path: Path) -> str:
    """Return a path as it can be printed, whatever bytes its name has: no control character reaches a terminal."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
