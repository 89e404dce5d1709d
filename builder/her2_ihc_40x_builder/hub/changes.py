"""What a new version changes, and what it may be called: decisions without effects."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from her2_ihc_40x import CLASSES, CONFIGS, SPLITS

from ..errors import Her2Error
from ..shards.made import COMPANION
from ..shards.manifest import FILE_NAME, Manifest
from .verify import SHARD

#: The Hub keeps no larger file outside LFS, where a file's id is git's and not its sha256.
MAX_REGULAR_BYTES = 10 << 20


class PublishError(Her2Error, ValueError):
    """A version that must not be published, or not like this."""


# --- Versions -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class Version:
    """A version of the data: major or minor grows when data changed, patch when only the card did."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read "X.Y.Z".

        Raises:
            ValueError: it is something else (semver.org, point 2, without suffixes).
        """
        match = re.fullmatch(r"(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})", text)
        if match is None:
            raise ValueError(f"{text}: expected X.Y.Z, for example 1.2.0")
        return cls(*map(int, match.groups()))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def tag(self) -> str:
        """The tag of this version: v1.2.0."""
        return f"v{self}"


def versions_among(tags: Iterable[str]) -> list[Version]:
    """The versions among tags, oldest first; other tags are left out."""
    found = []
    for tag in tags:
        try:
            found.append(Version.parse(tag.removeprefix("v")) if tag.startswith("v") else None)
        except ValueError:
            continue
    return sorted(version for version in found if version is not None)


def check_version(version: Version, last: Version | None, *, same_data: bool) -> None:
    """Whether a version may follow the last one.

    Args:
        version: the new one.
        last: the newest there is; None if there is none.
        same_data: whether both have the same digest.

    Raises:
        PublishError: it is not newer, or it changes data under a number that promises the same data.
    """
    if last is None:
        return
    if version <= last:
        raise PublishError(f"version {version}", f"a version newer than {last}", str(version), "Give a newer one.")
    if not same_data and (version.major, version.minor) == (last.major, last.minor):
        raise PublishError(
            f"version {version}",
            f"a new major or minor version, since data changed after {last}",
            "one that promises the same data",
            f"Give {Version(last.major, last.minor + 1, 0)} or {Version(last.major + 1, 0, 0)}.",
        )


# --- Files --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class LocalFile:
    """A file of the data set on this disk; `git_oid` is None for one that the Hub keeps in LFS for its size alone."""

    path: str
    size: int
    sha256: str
    git_oid: str | None


@dataclass(frozen=True)
class RemoteFile:
    """A file as the Hub declares it; `sha256` is None if it is not in LFS."""

    size: int
    sha256: str | None
    git_oid: str


@dataclass(frozen=True)
class FileChanges:
    """What a commit has to do.

    Args:
        add: files that are not there.
        change: files that are there with another content.
        delete: paths of the earlier version that are no more.
        foreign: paths of neither version that `datasets` would read: below data/ in both configs, and instead of the
            card or beside it.
    """

    add: tuple[LocalFile, ...]
    change: tuple[LocalFile, ...]
    delete: tuple[str, ...]
    foreign: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.add or self.change or self.delete)

    @property
    def send(self) -> tuple[LocalFile, ...]:
        """The files that are sent."""
        return tuple(sorted(self.add + self.change))


def local_files(folder: Path, manifest: Manifest, companions: Iterable[str]) -> list[LocalFile]:
    """The files to publish: shards as the manifest declares them, the others as they are now."""
    shards = [
        LocalFile(shard.path, shard.bytes, shard.sha256, _git_oid_of_small(folder / shard.path, shard.bytes))
        for shard in manifest.shards
    ]
    others = []
    for path in [FILE_NAME, *companions]:
        data = (folder / path).read_bytes()
        others.append(LocalFile(path, len(data), hashlib.sha256(data).hexdigest(), _git_oid(data)))
    return sorted(shards + others)


def compare_files(
    local: Sequence[LocalFile], remote: Mapping[str, RemoteFile], previous: Manifest | None, repo: str
) -> FileChanges:
    """What to do so that a revision holds these files.

    Args:
        local: every file of the new version.
        remote: every file of the revision.
        previous: the revision's manifest: only what it lists, where a shard or a companion lies, is ever deleted.
        repo: namespace/name.
    """
    paths = {file.path for file in local}
    earlier = _published_paths(previous) if previous else set()
    return FileChanges(
        add=tuple(file for file in local if file.path not in remote),
        change=tuple(file for file in local if file.path in remote and not _is_same(file, remote[file.path])),
        delete=tuple(sorted((earlier & set(remote)) - paths)),
        foreign=tuple(sorted(path for path in set(remote) - paths - earlier if _is_read(path, repo))),
    )


def _is_read(path: str, repo: str) -> bool:
    """Whether `datasets` reads a file: a repo with a script of its name is refused, the others go beside the card."""
    script = f"{repo.rsplit('/', 1)[-1]}.py"
    return path.startswith("data/") or path in (script, ".huggingface.yaml", "dataset_infos.json")


def edited_since(
    before: Mapping[str, RemoteFile], now: Mapping[str, RemoteFile], changes: FileChanges
) -> tuple[str, ...]:
    """The files that somebody changed in a repo after a version, and that a commit would replace or delete.

    Args:
        before: every file of the last version.
        now: every file of main.
        changes: what the commit does to main.
    """
    touched = {file.path for file in changes.change} | set(changes.delete)
    return tuple(sorted(path for path in touched if now[path] != before.get(path)))


def _published_paths(manifest: Manifest) -> set[str]:
    """What a version holds by its manifest; a path that no companion or no shard can have is not believed."""
    companions = {companion.path for companion in manifest.companions if COMPANION.fullmatch(companion.path)}
    return companions | {shard.path for shard in manifest.shards if SHARD.fullmatch(shard.path)}


def _is_same(local: LocalFile, remote: RemoteFile) -> bool:
    if local.size != remote.size:
        return False
    return local.git_oid == remote.git_oid if remote.sha256 is None else local.sha256 == remote.sha256


def _git_oid_of_small(path: Path, size: int) -> str | None:
    return _git_oid(path.read_bytes()) if size <= MAX_REGULAR_BYTES else None


def _git_oid(data: bytes) -> str:
    """The id that git gives a file (git-hash-object)."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


# --- Units and patches, by the manifests alone --------------------------------------------------------------------


@dataclass(frozen=True)
class UnitChanges:
    """Units (slides, or blocks of a release) that came, went, or have other files."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]


def compare_units(before: Manifest | None, after: Manifest) -> UnitChanges:
    """Which units a version changes."""
    old, new = _files_by_unit(before), _files_by_unit(after)
    return UnitChanges(
        added=tuple(sorted(set(new) - set(old))),
        removed=tuple(sorted(set(old) - set(new))),
        changed=tuple(sorted(unit for unit in set(old) & set(new) if old[unit] != new[unit])),
    )


def _files_by_unit(manifest: Manifest | None) -> dict[str, set[tuple[str, str]]]:
    units: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for shard in manifest.shards if manifest else ():
        units[shard.unit].add((shard.path, shard.sha256))
    return units


@dataclass(frozen=True)
class CountChange:
    """Patches of a class in a split, before and after."""

    config: str
    split: str
    label: str
    before: int
    after: int


def compare_counts(before: Manifest | None, after: Manifest) -> list[CountChange]:
    """Every class whose number of patches changes, in the order of configs, splits and classes."""
    return list(_count_changes(before, after))


def _count_changes(before: Manifest | None, after: Manifest) -> Iterator[CountChange]:
    for config in CONFIGS:
        for split in SPLITS:
            for label in CLASSES:
                old, new = (
                    manifest.counts.get(config, {}).get(split, {}).get(label, 0) if manifest else 0
                    for manifest in (before, after)
                )
                if old != new:
                    yield CountChange(config, split, label, old, new)
