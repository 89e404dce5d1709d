"""Entries of a folder that nobody vouches for: whether one is a plain file inside it, and how its name is shown."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from her2_ihc_40x import one_line

#: What is found where a plain file is wanted, and what to do about it.
SPECIAL = "a pipe, a socket or a device"
SPECIAL_REMEDY = "Save its content as a plain file, and give that."


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
    return None if path.is_file() else SPECIAL


def is_special(path: Path) -> bool:
    """Whether a path that was given leads to a pipe, a socket or a device, which must not be opened.

    What cannot be looked at is none: opening it tells why, and does not wait.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def walk(root: Path, closed: Callable[[Path, str], None]) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Go through a folder as `os.walk` does, from the top; no folder is passed over without a word.

    Args:
        root: the folder.
        closed: is told of each folder whose entries cannot be had, and why in a few words.
    """

    def tell(error: OSError) -> None:
        closed(Path(error.filename), error.strerror or repr(error))

    for folder, folders, names in os.walk(root, onerror=tell):
        if os.access(folder, os.X_OK):
            yield Path(folder), folders, names
        else:  # it may be listed, and nothing of it opened
            folders.clear()
            closed(Path(folder), os.strerror(errno.EACCES))


def shown(path: Path) -> str:
    """Return a path as it can be printed, whatever bytes its name has, without a control character."""
    return one_line(os.fsencode(path).decode("utf-8", "backslashreplace"))
