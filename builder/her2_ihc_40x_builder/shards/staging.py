"""A folder that appears whole or not at all: made beside its place under a lock, flushed, then renamed into it."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import Her2Error, OutputError
from ..places import shown
from .made import Made, MadeIn, strangers

#: Files that are named where there are others.
_NAMED = 3
#: What helps where the disk is not to blame.
_REMEDIES = {
    errno.EMFILE: "Raise the limit on open files (ulimit -n)",
    errno.ENFILE: "Close programs that hold files open",
    errno.ENAMETOOLONG: "Give a shorter name",
}


@contextmanager
def staged_folder(target: Path, *, overwrite: bool, made_in: MadeIn, keep: bool = False) -> Iterator[Path]:
    """Give an empty folder to fill; on leaving without an error it becomes `target`, else nothing has changed.

    The folder `scratch` beside the one that is given may be used for temporary files; it is removed. With `keep`, other
    folders beside it stay as long as the work does.

    Args:
        target: where the folder shall be. Its parent is made if need be.
        overwrite: whether a folder that is ours may be replaced; nothing else ever is, nor one that holds a file of
            somebody else's.
        made_in: tells what is ours.
        keep: keep what an interrupted run left, so that it can be gone on with, instead of starting empty.

    Raises:
        OutputError: `target` is taken, or has a name of unfinished work, or another process is writing it, or the disk
            refuses.
    """
    target = Path(os.path.realpath(target))  # a link to the folder is the user's, and stays
    work = target.parent / f".{target.name}.partial"
    # A name of its own for every run: what is left of one that was killed must not mix with the next.
    tree, aside = work / ("tree" if keep else f"tree-{os.getpid()}-{time.monotonic_ns()}"), work / "replaced"
    _check_name(target)
    if os.path.ismount(target):  # Path.is_mount fails where another run renames the folder meanwhile
        raise OutputError(str(target), "a folder that can be replaced", "a mount point", "Give a folder in it.")
    with suppress(FileNotFoundError):  # a current folder that is gone is in none
        if Path.cwd().is_relative_to(target):  # whoever is in it would be left in a folder that is gone
            expected, found = "a folder that can be replaced", "the current one, or one above it"
            raise OutputError(str(target), expected, found, "Go elsewhere first (cd).")
    try:
        with _exclusive(work, target):
            try:
                _say_who_holds(work)
                if aside.exists() and not target.exists():
                    aside.rename(target)  # a run was killed between its two renames
                check_free(target, overwrite=overwrite, made_in=made_in)
                if not keep:
                    for left in work.glob("tree*"):
                        shutil.rmtree(left, ignore_errors=True)
                tree.mkdir(exist_ok=True)
                yield tree
                _flush(tree)
                check_free(target, overwrite=overwrite, made_in=made_in)  # somebody may have put a file there since
                _replace(tree, target, aside)
            except BaseException:
                if not keep:
                    shutil.rmtree(tree, ignore_errors=True)
                raise
            finally:
                _leave(work, target)
    except OSError as error:
        if isinstance(error, Her2Error):  # of the input, or said already
            raise
        old = f"is in {aside}, and comes back then" if aside.exists() else "is as it was"
        kept = f" What is finished waits in {work}." if keep and tree.exists() else ""
        remedy = _REMEDIES.get(error.errno or 0, "Mend the disk, or free space or permissions")
        raise OutputError(
            str(error.filename or target),
            "room and permission to write",
            error.strerror or repr(error),
            f"{remedy}, then run it again. What was there {old}.{kept}",
        ) from error


def check_outside(output: Path, inputs: Iterable[Path]) -> None:
    """Refuse an output among inputs, where the next run would read it as one of them, and inputs in an output.

    Raises:
        OutputError: it is in a folder of inputs, or is one, or holds inputs.
    """
    check_holds_none(output, inputs)
    place = output.resolve()
    for given in inputs:
        if given.is_dir() and place.is_relative_to(given.resolve()):
            expected, found = "a place outside the folders that are read", f"one in {given}"
            raise OutputError(str(output), expected, found, "Give another --out and --report.")


def check_holds_none(output: Path, inputs: Iterable[Path]) -> None:
    """Refuse an output that holds inputs: they would be removed with what is replaced.

    Raises:
        OutputError: one of them is in it, or is it.
    """
    place = output.resolve()
    for given in inputs:
        if given.resolve().is_relative_to(place):
            raise OutputError(str(output), "a place of its own", f"one that holds {given}", "Give another folder.")


def check_beside(folder: Path, data: Path | None, *, made_in: MadeIn) -> None:
    """Refuse a place for a report before the work begins.

    Args:
        folder: where the report shall be.
        data: the data set's folder; None if it is not on this disk.
        made_in: tells what an earlier report of the same kind made.

    Raises:
        OutputError: it is in the data set, which is published, or taken by something else, or holds anything else.
    """
    _check_name(folder)
    above = next((each for each in folder.absolute().parents if each.exists()), None)
    if above and not above.is_dir():
        raise OutputError(str(folder), "a folder in a folder", f"a file, {above}", "Give another --report.")
    place, published = folder.resolve(), None if data is None else data.resolve()
    if place.is_symlink():  # where `resolve` raises nothing
        raise OutputError(str(folder), "a folder, or a place for one", "a link to itself", "Give another --report.")
    if published and (place == published or published in place.parents or place in published.parents):
        raise OutputError(str(folder), "a place beside the data set", f"{data}", "Give another --report.")
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    made = made_in(folder) if folder.is_dir() else None
    if made is None:
        expected, found = "nothing, or an earlier report", "something that this tool did not make"
        raise OutputError(str(folder), expected, found, "Give another --report.")
    _check_no_strangers(folder, made)


def _check_name(folder: Path) -> None:
    if folder.name.startswith(".") and folder.name.endswith(".partial"):
        expected, found = "a name of your own", "that of work that is not finished, which may be removed at any time"
        raise OutputError(str(folder), expected, found, "Give another name.")


@contextmanager
def _exclusive(work: Path, target: Path) -> Iterator[None]:
    """Hold the work folder's lock, which a process that dies lets go of; who comes second is told who holds it."""
    lock = FileLock(work / "lock", timeout=0)
    while not lock.is_locked:
        try:
            work.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire()
            except FileNotFoundError:
                continue  # who held it has just removed the folder
        except FileExistsError:
            if os.path.lexists(work) and not work.is_dir():
                raise
            # It was there, and was removed before `mkdir`, ours or the lock's, looked at what it is.
        except Timeout:
            expected, found = "to be the only one that writes it", f"another process that does, {_who_holds(work)}"
            raise OutputError(str(target), expected, found, "Wait until it has ended.") from None
        except OSError:
            with suppress(OSError):
                work.rmdir()
            raise
    try:
        yield
    finally:
        lock.release()


def _say_who_holds(work: Path) -> None:
    (work / "holder").write_text(f"number {os.getpid()} on {platform.node() or 'this machine'}", encoding="utf-8")


def _who_holds(work: Path) -> str:
    try:
        return (work / "holder").read_text(encoding="utf-8", errors="replace")[:200] or "just begun"
    except OSError:
        return "just begun"


def check_free(target: Path, *, overwrite: bool, made_in: MadeIn) -> None:
    """Refuse a place that is taken: nothing but a folder that is ours, in whole, may be replaced.

    Args:
        target: where a folder shall be.
        overwrite: whether one that is ours may be replaced.
        made_in: tells what is ours.

    Raises:
        OutputError: it is not free; it says what is there.
    """
    if not os.path.lexists(target) or (target.is_dir() and not any(target.iterdir())):
        return
    made = made_in(target) if target.is_dir() else None
    if made is None:
        raise OutputError(
            str(target), "nothing, or an empty folder", "something that this tool did not make", "Give another --out."
        )
    if not overwrite:
        raise OutputError(
            str(target), "nothing, or an empty folder", "a finished data set", "Give --overwrite to replace it."
        )
    _check_no_strangers(target, made)


def _check_no_strangers(folder: Path, made: Made) -> None:
    try:
        others = [shown(Path(one)) + "/" * one.endswith("/") for one in strangers(folder, made)]
    except OSError as error:
        place, found = str(error.filename or folder), error.strerror or repr(error)
        raise OutputError(place, "a folder that can be looked through", found, "Give another folder.") from error
    if others:
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        expected, found = "only what this tool made, for all in it is removed", ", ".join(others[:_NAMED]) + more
        raise OutputError(str(folder), expected, found, "Move what is yours out of it, or give another folder.")


def _flush(tree: Path) -> None:
    """Force every folder's entries to the disk; files are flushed by who wrote them."""
    for folder, _, _ in os.walk(tree, onerror=_fail):
        sync_folder(Path(folder))


def _fail(error: OSError) -> None:
    raise error


def _replace(tree: Path, target: Path, aside: Path) -> None:
    """Rename `tree` to `target`; what was there is set aside first and comes back if anything fails.

    Raises:
        OutputError: the new one is in its place, and neither does the disk say that it holds it nor can it be taken
            back.
        OSError: it could not be put there.
    """
    shutil.rmtree(aside, ignore_errors=True)
    had = target.exists()
    if had:
        target.rename(aside)
    try:
        tree.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        if not tree.exists():
            try:
                target.rename(tree)
            except OSError:
                found, remedy = error.strerror or repr(error), "The new one is in its place, whole: mend the disk, and"
                raise OutputError(
                    str(target), "a disk that says it holds this folder", found, f"{remedy} look at it again."
                ) from error
        if had:
            aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _leave(work: Path, target: Path) -> None:
    """Remove the work folder unless something in it can be gone on with, or is all there is; the lock is still held."""
    shutil.rmtree(work / "scratch", ignore_errors=True)
    with suppress(OSError):  # what is left is removed by the next run
        (work / "holder").unlink(missing_ok=True)
        tree, aside = work / "tree", work / "replaced"
        if (tree.exists() and any(tree.iterdir())) or (aside.exists() and not target.exists()):
            return
        for entry in work.iterdir():
            if entry.name != "lock":
                shutil.rmtree(entry, ignore_errors=True)
        (work / "lock").unlink(missing_ok=True)
        work.rmdir()  # unless another process has just put its lock there


def sync_folder(folder: Path) -> None:
    """Force a folder's entries to the disk, so that a rename lasts through a power cut."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write a text file, UTF-8 with line feeds, and flush it to the disk."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def link_or_copy(source: Path, target: Path) -> None:
    """Give the same bytes a second name, which nobody writes to; a copy where the file system has no links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
        with target.open("rb") as file:
            os.fsync(file.fileno())
