"""A folder that appears whole or not at all: made beside its place under a lock, flushed, then renamed into it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import Her2Error, OutputError


@contextmanager
def staged_folder(
    target: Path, *, overwrite: bool, is_ours: Callable[[Path], bool], keep: bool = False
) -> Iterator[Path]:
    """Give an empty folder to fill; on leaving without an error it becomes `target`, else nothing has changed.

    The folder `scratch` beside the one that is given may be used for temporary files; it is removed. With `keep`, other
    folders beside it stay as long as the work does.

    Args:
        target: where the folder shall be. Its parent is made if need be.
        overwrite: whether a folder that is ours may be replaced; nothing else ever is.
        is_ours: whether a folder was made by this project.
        keep: keep what an interrupted run left, so that it can be gone on with, instead of starting empty.

    Raises:
        OutputError: `target` is taken, or another process is writing it, or the disk refuses.
    """
    target = Path(os.path.realpath(target))  # a link to the folder is the user's, and stays
    work = target.parent / f".{target.name}.partial"
    # A name of its own for every run: what is left of one that was killed must not mix with the next.
    tree, aside = work / ("tree" if keep else f"tree-{os.getpid()}-{time.monotonic_ns()}"), work / "replaced"
    if target.is_mount():
        raise OutputError(str(target), "a folder that can be replaced", "a mount point", "Give a folder in it.")
    try:
        work.mkdir(parents=True, exist_ok=True)
        with _exclusive(FileLock(work / "lock", timeout=0), target):
            try:
                if aside.exists() and not target.exists():
                    aside.rename(target)  # a run was killed between its two renames
                _check_free(target, overwrite=overwrite, is_ours=is_ours)
                if not keep:
                    for left in work.glob("tree*"):
                        shutil.rmtree(left, ignore_errors=True)
                tree.mkdir(exist_ok=True)
                yield tree
                _flush(tree)
                _replace(tree, target, aside)
            except BaseException:
                if not keep:
                    shutil.rmtree(tree, ignore_errors=True)
                raise
            finally:
                _leave(work)
    except OSError as error:
        if isinstance(error, Her2Error):  # of the input, or said already
            raise
        raise OutputError(
            str(error.filename or target),
            "room and permission to write",
            error.strerror or repr(error),
            "Nothing at the output's place was changed. Free disk space or permissions, then run it again.",
        ) from error


def check_beside(folder: Path, data: Path | None, *, is_ours: Callable[[Path], bool]) -> None:
    """Refuse a place for a report before the work begins.

    Args:
        folder: where the report shall be.
        data: the data set's folder; None if it is not on this disk.
        is_ours: whether a folder is an earlier report of the same kind.

    Raises:
        OutputError: it is in the data set, which is published, or taken by something else.
    """
    place, published = folder.resolve(), None if data is None else data.resolve()
    if published and (place == published or published in place.parents or place in published.parents):
        raise OutputError(str(folder), "a place beside the data set", f"{data}", "Give another --report.")
    if folder.exists() and not (folder.is_dir() and (is_ours(folder) or not any(folder.iterdir()))):
        expected, found = "nothing, or an earlier report", "something that this tool did not make"
        raise OutputError(str(folder), expected, found, "Give another --report.")


@contextmanager
def _exclusive(lock: FileLock, target: Path) -> Iterator[None]:
    try:
        lock.acquire()
    except Timeout:
        raise OutputError(
            str(target), "to be the only one that writes it", "another process that does", "Wait until it has ended."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _check_free(target: Path, *, overwrite: bool, is_ours: Callable[[Path], bool]) -> None:
    if not os.path.lexists(target) or (target.is_dir() and not any(target.iterdir())):
        return
    if not target.is_dir() or not is_ours(target):
        raise OutputError(
            str(target), "nothing, or an empty folder", "something that this tool did not make", "Give another --out."
        )
    if not overwrite:
        raise OutputError(
            str(target), "nothing, or an empty folder", "a finished data set", "Give --overwrite to replace it."
        )


def _flush(tree: Path) -> None:
    """Force every folder's entries to the disk; files are flushed by who wrote them."""
    if os.name != "posix":
        return
    for folder, _, _ in os.walk(tree):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _replace(tree: Path, target: Path, aside: Path) -> None:
    """Rename `tree` to `target`; what was there is set aside first and comes back if that fails."""
    shutil.rmtree(aside, ignore_errors=True)
    had = target.exists()
    if had:
        target.rename(aside)
    try:
        tree.rename(target)
    except OSError:
        if had:
            aside.rename(target)
        raise
    if os.name == "posix":
        handle = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    shutil.rmtree(aside, ignore_errors=True)


def _leave(work: Path) -> None:
    """Remove the work folder unless something in it can be gone on with; the lock is still held."""
    shutil.rmtree(work / "scratch", ignore_errors=True)
    if (work / "tree").exists() and any((work / "tree").iterdir()):
        return
    for entry in work.iterdir():
        if entry.name != "lock":
            shutil.rmtree(entry, ignore_errors=True)
    (work / "lock").unlink(missing_ok=True)
    try:
        work.rmdir()
    except OSError:
        return  # another process has just put its lock there


def write_text(path: Path, text: str) -> None:
    """Write a text file, UTF-8 with line feeds, and flush it to the disk."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
