"""Download a Zenodo record: resumed where it broke off, verified, and never over a file of yours.

The bytes of a file gather in `<name>.<md5>.part`: the checksum in the name says what the part is a part of, for this
process and the next, whatever the server makes of it. The file gets its name once its md5 is the record's.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import filelock

from her2_ihc_40x import ZENODO_RECORD

from ..errors import Her2Error, OutputError
from ..shards.staging import sync_folder
from .download import CHUNK, Part, RemoteFile, complete
from .http_client import Client, FetchError, Patience
from .record import SOURCE_FILE, Record

__all__ = ["FetchError", "Fetched", "Patience", "Present", "Progress", "Record", "decide", "fetch_record", "select"]

ENDPOINT = "https://zenodo.org"
#: Names another endpoint: a mirror, a test.
ENDPOINT_VARIABLE = "HER2_IHC_40X_ZENODO"

# The record's own JSON is some 10 kB.
_MAX_RECORD_BYTES = 16 << 20
# What a file system keeps for itself, and source.json.
_DISK_MARGIN = 64 << 20


# --- What to do: decisions without effects ------------------------------------------------------------------------


@dataclass(frozen=True)
class Present:
    """What is on disk under a file's name, and of its part; None where nothing is, `md5` where it need not be known."""

    size: int | None = None
    md5: str | None = None
    part: int | None = None


def select(record: Record, only: Literal["wsi", "patch"] | None) -> tuple[RemoteFile, ...]:
    """The files of one variant: those with its name as a word of theirs, such as `her2-ihc-40x-wsi.zip`; or all."""
    words = {file: re.split(r"[^a-z0-9]+", file.name.casefold()) for file in record.files}
    files = tuple(file for file in record.files if only is None or only in words[file])
    if not files:
        names = ", ".join(file.name for file in record.files)
        raise FetchError(f"record {record.id}", f"a file named for {only}", names, "Fetch all of it.")
    return files


Step = Literal["skip", "resume", "restart", "refuse"]


def decide(file: RemoteFile, present: Present) -> Step:
    """What to do about a file: it is there, its part is continued, it is fetched from the start, or hands off."""
    if present.size is not None:
        return "skip" if (present.size, present.md5) == (file.size, file.md5) else "refuse"
    return "resume" if present.part is not None and 0 < present.part <= file.size else "restart"


# --- Effects ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Progress:
    """How far a fetch is: bytes of all files that are asked for, there already or arrived.

    Args:
        name: the file that bytes are arriving of.
        done: bytes there.
        total: bytes asked for.
    """

    name: str
    done: int
    total: int


@dataclass(frozen=True)
class Fetched:
    """What a fetch did: the files that it brought, those that were there already, and its `source.json`."""

    record: Record
    new: tuple[Path, ...]
    kept: tuple[Path, ...]
    source: Path


def fetch_record(
    record: str,
    to: Path,
    *,
    only: Literal["wsi", "patch"] | None = None,
    endpoint: str | None = None,
    progress: Callable[[Progress], None] | None = None,
    patience: Patience | None = None,
) -> Fetched:
    """Download the files of a Zenodo record into a folder, and write its `source.json`.

    It may be interrupted at any time and run again: what has arrived is kept, and a file that is there with the
    right md5 is not fetched again.

    Args:
        record: its number.
        to: the folder; made if it is not there.
        only: the files of one variant, by their names; None for all.
        endpoint: a mirror's address; by default what the environment variable HER2_IHC_40X_ZENODO says, else Zenodo.
        progress: told after each chunk that arrives.
        patience: with a server that is busy or breaks off.

    Raises:
        FetchError: the record or a file cannot be had, or is not what the record says.
        OutputError: a file of yours is in the way, the disk is too small, or another process is at it.
    """
    if not re.fullmatch(r"[0-9]{1,20}", record):
        raise FetchError(record, "the number of a record", "another text", f"Give a number such as {ZENODO_RECORD}.")
    _check_place(to)
    endpoint = (endpoint or os.environ.get(ENDPOINT_VARIABLE) or ENDPOINT).rstrip("/")
    client = Client(endpoint, patience or Patience())
    found = _get_record(client, f"{endpoint}/api/records/{record}")
    files = select(found, only)
    lock = to / ".fetch.lock"
    try:
        to.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(lock, timeout=0):
            try:
                return _fetch(client, found, files, to, progress)
            finally:
                with contextlib.suppress(OSError):
                    lock.unlink()
    except filelock.Timeout:
        raise OutputError(str(to), "one fetch at a time", "another process at it", "Wait until it has ended.") from None
    except OSError as error:
        if isinstance(error, Her2Error):
            raise
        remedy = "Free disk space or permissions and run it again: what has arrived is kept."
        subject, reason = str(error.filename or to), error.strerror or repr(error)
        raise OutputError(subject, "to write there", reason, remedy) from error


def _get_record(client: Client, url: str) -> Record:
    data = client.json_bytes(url, _MAX_RECORD_BYTES)
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FetchError(url, "JSON", f"{error}", "Check the endpoint.") from error
    return Record.parse(content, url)


def _fetch(
    client: Client, record: Record, files: tuple[RemoteFile, ...], to: Path, progress: Callable[[Progress], None] | None
) -> Fetched:
    """All decisions before the first byte, so that nothing is half done where something is refused."""
    source = to / SOURCE_FILE
    _check_source(source, record)
    present = {file.name: _look(file, to) for file in files}
    steps = {file.name: decide(file, present[file.name]) for file in files}
    for file in files:
        if steps[file.name] == "refuse":
            raise OutputError(
                str(to / file.name),
                f"the record's file of {file.size} bytes, md5 {file.md5}, or none",
                f"another, of {present[file.name].size} bytes" if (to / file.name).is_file() else "no plain file",
                "It is left as it is. Move it away, or fetch into another folder.",
            )
    missing = [file for file in files if steps[file.name] != "skip"]
    there = {file.name: present[file.name].part or 0 for file in missing if steps[file.name] == "resume"}
    _check_disk(to, sum(file.size - there.get(file.name, 0) for file in missing))

    done = sum(file.size for file in files if steps[file.name] == "skip") + sum(there.values())
    meter = _Meter(progress, done, sum(file.size for file in files))
    for file in missing:
        path = _part_path(file, to)
        for stale in _parts(file, to):
            if stale != path or steps[file.name] == "restart":
                stale.unlink()
        with _open_part(path) as part:
            complete(client, file, part, meter.of(file.name, part.size))
            part.finish(to / file.name)
        sync_folder(to)
    _write_source(source, record)
    paths = {step: tuple(to / f.name for f in files if (steps[f.name] == "skip") == step) for step in (True, False)}
    return Fetched(record, new=paths[False], kept=paths[True], source=source)


class _Meter:
    """Adds up the bytes of all files."""

    def __init__(self, progress: Callable[[Progress], None] | None, done: int, total: int) -> None:
        self._progress = progress
        self._done = done
        self._total = total

    def of(self, name: str, size: int) -> Callable[[int], None]:
        """What to tell the size of the file of that name, which is `size` now."""
        last = size

        def report(size: int) -> None:
            nonlocal last
            self._done += size - last  # a part that was thrown away takes bytes back
            last = size
            if self._progress is not None:
                self._progress(Progress(name, self._done, self._total))

        return report


@contextlib.contextmanager
def _open_part(path: Path) -> Iterator[Part]:
    """A part to be filled; one that is empty at the end is not left."""
    try:
        with Part(path) as part:
            yield part
    finally:
        if path.is_file() and not path.lstat().st_size:
            path.unlink()


def _part_path(file: RemoteFile, to: Path) -> Path:
    return to / f"{file.name}.{file.md5}.part"


def _parts(file: RemoteFile, to: Path) -> list[Path]:
    """The parts under a file's name, whatever they are parts of."""
    pattern = re.compile(re.escape(file.name) + r"\.[0-9a-f]{32}\.part")
    return sorted(path for path in to.iterdir() if pattern.fullmatch(path.name))


def _look(file: RemoteFile, to: Path) -> Present:
    """What is there of a file; only one of the right size is read."""
    path, part = to / file.name, _part_path(file, to)
    if path.exists() or path.is_symlink():
        size = path.stat().st_size if path.is_file() else -1
        if size != file.size:
            return Present(size=size)
        digest = hashlib.md5(usedforsecurity=False)
        with path.open("rb") as stream:
            while data := stream.read(CHUNK):
                digest.update(data)
        return Present(size=size, md5=digest.hexdigest())
    return Present(part=part.stat().st_size if part.is_file() and not part.is_symlink() else None)


def _check_place(to: Path) -> None:
    """Refuse what can be no folder before a server is asked, and waited for."""
    there = next(place for place in (to.absolute(), *to.absolute().parents) if os.path.lexists(place))
    if not there.is_dir():
        raise OutputError(str(to), "a folder, or a place for one", f"{there}, which is none", "Give another --to.")


def _check_disk(to: Path, needed: int) -> None:
    free = shutil.disk_usage(to).free
    if needed and free < needed + _DISK_MARGIN:
        expected = f"{(needed + _DISK_MARGIN) / 1e9:.2f} GB free"
        raise OutputError(str(to), expected, f"{free / 1e9:.2f} GB", "Make room, or fetch one variant only.")


def _check_source(source: Path, record: Record) -> None:
    """A `source.json` of another record, or that is none, is not ours to replace."""
    if not source.exists() and not source.is_symlink():
        return
    try:
        content = json.loads(source.read_bytes()) if source.is_file() else None  # a pipe would be waited for
        same = isinstance(content, dict) and content.get("record") == record.id
    except (OSError, ValueError, RecursionError):
        same = False
    if not same:
        remedy = "It is left as it is. Fetch into another folder."
        raise OutputError(str(source), f"that of record {record.id}, or none", "another file", remedy)


def _write_source(source: Path, record: Record) -> None:
    content = json.dumps(record.source(), indent=2) + "\n"
    temporary = source.with_name(f".{SOURCE_FILE}.part")
    with temporary.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(source)
    sync_folder(source.parent)
