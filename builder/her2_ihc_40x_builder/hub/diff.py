"""Compare two data sets patch by patch: folders, or revisions on the Hub; of the shards all but images are read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from her2_ihc_40x import Her2Error, ReleaseError, SourceError

from ..card.contents import class_of
from ..parallel import run_tasks
from ..shards.files import SCHEMA, Shard, Sides, open_shard
from ..shards.manifest import FILE_NAME, Manifest, read_manifest
from . import remote
from .changes import UnitChanges, compare_units
from .stored import open_remote
from .verify import check_entries, sides_of

_OWN = ("patch_id", "label", "sha256")
_OTHERS = tuple(name for name in SCHEMA.names if name not in (*_OWN, "image"))
_THREADS = 4


@dataclass(frozen=True)
class Edition:
    """A data set somewhere: its manifest, how a shard is opened, and whether that asks the Hub."""

    name: str
    manifest: Manifest
    open: Callable[[Shard], IO[bytes] | Any]
    on_hub: bool = False


@dataclass(frozen=True)
class Patch:
    """What a diff knows of a patch: its id, class, sides, the sha256 of its image, and its other columns in order."""

    patch_id: str
    label: str
    sides: Sides
    sha256: str
    others: tuple[object, ...]


@dataclass(frozen=True)
class Difference:
    """What is different in the second of two data sets; a patch is known by its id.

    Args:
        units: slides, or blocks of a release, by their files.
        added, removed: patches that are in one of them.
        relabelled: patches of another class, before and after.
        moved: patches on another side of a split.
        redrawn: patches whose image has other bytes.
        redescribed: patches with another value in any other column.
        doubled: an id that is there more than once, and in how many patches of either: they are not compared.
    """

    units: UnitChanges
    added: tuple[Patch, ...]
    removed: tuple[Patch, ...]
    relabelled: tuple[tuple[Patch, Patch], ...]
    moved: tuple[tuple[Patch, Patch], ...]
    redrawn: tuple[tuple[Patch, Patch], ...]
    redescribed: tuple[tuple[Patch, Patch], ...]
    doubled: tuple[tuple[str, int, int], ...] = ()


def open_edition(name: str) -> Edition:
    """Find a data set by its name.

    Args:
        name: a folder, or REPO or REPO@REVISION on the Hub.

    Raises:
        SourceError: there is none.
        ReleaseError: it is none of ours, or damaged.
        HubError: no answer.
    """
    folder = Path(name)
    if folder.is_dir():
        manifest = read_manifest(folder)
        edition = Edition(name, manifest, lambda shard: _open(folder / shard.path))
    else:
        repo, at, revision = name.partition("@")
        if repo.count("/") != 1 or repo.startswith((".", "/")):
            found = "a file" if folder.is_file() else "no such folder"
            raise SourceError(name, "the folder of a data set, or NAMESPACE/NAME@REVISION", found, "Check the path.")
        if at and not revision:
            raise SourceError(name, "a revision after the @", "none", "Give one, or leave the @ out for main.")
        try:
            snapshot = remote.read_snapshot(repo, revision or None)
        except remote.HubError as error:  # it may have been meant for a folder
            subject = f"{error.subject} (no such folder here, so of the Hub)"
            raise type(error)(subject, error.expected, error.found, error.remedy) from None
        if snapshot.manifest is None:
            raise SourceError(name, f"a {FILE_NAME} of ours", "none", "Check the id and the revision.")
        manifest = snapshot.manifest
        edition = Edition(name, manifest, lambda shard: open_remote(repo, snapshot.commit, shard.path), on_hub=True)
    for problem in check_entries(manifest):
        raise ReleaseError(name, problem.expected, problem.found, "Make the data set again.")
    return edition


def _open(path: Path) -> IO[bytes]:
    if not path.is_file():
        raise ValueError("no file")  # a pipe would be waited for without end
    return path.open("rb")


def compare(before: Edition, after: Edition) -> Difference:
    """Compare two data sets; files that are the same in both are not opened.

    Raises:
        ReleaseError: a shard cannot be read.
        HubError: no answer.
    """
    same = set(before.manifest.shards) & set(after.manifest.shards)
    olds, news = (read_patches(edition, set(edition.manifest.shards) - same) for edition in (before, after))
    counts = [(name, len(olds.get(name, ())), len(news.get(name, ()))) for name in sorted(olds.keys() | news.keys())]
    once = {name for name, *there in counts if max(there) == 1}
    old, new = ({name: patches[0] for name, patches in side.items() if name in once} for side in (olds, news))
    both = [(old[name], new[name]) for name in sorted(old.keys() & new.keys())]
    return Difference(
        units=compare_units(before.manifest, after.manifest),
        added=_only(new, old),
        removed=_only(old, new),
        relabelled=tuple(pair for pair in both if pair[0].label != pair[1].label),
        moved=tuple(pair for pair in both if pair[0].sides != pair[1].sides),
        redrawn=tuple(pair for pair in both if pair[0].sha256 != pair[1].sha256),
        redescribed=tuple(pair for pair in both if other_columns(*pair)),
        doubled=tuple(count for count in counts if count[0] not in once),
    )


def other_columns(before: Patch, after: Patch) -> list[str]:
    """The columns beside id, class and image that differ."""
    pairs = zip(_OTHERS, before.others, after.others, strict=True)
    return [name for name, old, new in pairs if old != new]


def read_patches(edition: Edition, shards: Iterable[Shard]) -> dict[str, list[Patch]]:
    """patch_id -> patches, from some shards; more than one only if the data set is damaged."""
    tasks = [(edition, shard) for shard in sorted(shards)]
    read = run_tasks(_read_shard, tasks, workers=_THREADS, label="Comparing", unit="file", threads=True)
    found: dict[str, list[Patch]] = defaultdict(list)
    for patch in (patch for patches in read for patch in patches):
        found[patch.patch_id].append(patch)
    return found


@contextmanager
def reading(edition: Edition, shard: Shard) -> Iterator[None]:
    """Tell a damaged or hostile shard from a Hub that does not answer.

    Raises:
        ReleaseError: it cannot be read, or is none of ours.
        HubError: no answer.
    """
    subject = f"{shard.path} of {edition.name}"
    with remote.talking(subject) if edition.on_hub else nullcontext():
        try:
            yield
        except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, IndexError) as error:
            if isinstance(error, Her2Error) or (edition.on_hub and _of_the_network(error)):
                raise
            found = (str(error).splitlines() or [type(error).__name__])[0][:300]
            raise ReleaseError(subject, "a shard of ours", found, "See `her2-ihc-40x verify`.") from error


def _of_the_network(error: Exception) -> bool:
    """Whether it is no plain OSError without a number, as pyarrow calls bytes that it cannot read."""
    if not isinstance(error, OSError) or isinstance(error, (FileNotFoundError, pa.ArrowException)):
        return False
    return type(error) is not OSError or error.errno is not None


def _read_shard(task: tuple[Edition, Shard]) -> list[Patch]:
    edition, shard = task
    with reading(edition, shard):
        with edition.open(shard) as file, open_shard(file, shard.bytes) as parquet:
            columns = parquet.read(columns=[*_OWN, *_OTHERS]).to_pydict()
        rows = zip(*(columns[name] for name in (*_OWN, *_OTHERS)), strict=True)
        sides = sides_of(shard.path)
        return [
            Patch(_text(name), class_of(label), sides, _text(sha256), tuple(others))
            for name, label, sha256, *others in rows
        ]


def _text(value: str | None) -> str:
    if value is None:
        raise ValueError("a patch without an id or a hash")
    return value


def _only(these: Mapping[str, Patch], those: Mapping[str, Patch]) -> tuple[Patch, ...]:
    return tuple(these[name] for name in sorted(these.keys() - those.keys()))
