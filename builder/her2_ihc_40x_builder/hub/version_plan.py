"""What publishing a data set as a version would change: the folder and the repo are checked, and nothing is changed."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from her2_ihc_40x import ReleaseError

from ..privacy.published_ids import SuspectId, suspect_ids
from ..shards.manifest import Manifest
from . import remote
from .changes import (
    CountChange,
    FileChanges,
    LocalFile,
    PublishError,
    UnitChanges,
    Version,
    check_version,
    compare_counts,
    compare_files,
    compare_units,
    edited_since,
    local_files,
    versions_among,
)
from .loadcheck import check_loading
from .verify import verify_folder


@dataclass(frozen=True)
class VersionPlan:
    """A data set that may be published as a version, and what that changes.

    Args:
        folder: the data set; it is only read.
        repo: namespace/name.
        version: what it will be called.
        manifest: of the folder.
        files: of the folder, all of them.
        head: what the repo holds now (at the version's tag, if that is there already); None if there is no repo.
        last: the newest version there is.
        changes: between `head` and the folder.
        tagged: whether the version is there already, with these very files.
        suspects: ids that look identifying.
        edited: files that somebody changed on main after `last`, and that will be replaced.
    """

    folder: Path
    repo: str
    version: Version
    manifest: Manifest
    files: tuple[LocalFile, ...]
    head: remote.Snapshot | None
    last: Version | None
    changes: FileChanges
    tagged: bool = False
    suspects: tuple[SuspectId, ...] = ()
    edited: tuple[str, ...] = ()

    @property
    def bytes_to_send(self) -> int:
        """An upper bound: what an interrupted run has sent is not sent again."""
        return sum(file.size for file in self.changes.send)

    @property
    def units(self) -> UnitChanges:
        """Slides, or blocks of a release, that change."""
        return compare_units(self.head.manifest if self.head else None, self.manifest)

    @property
    def counts(self) -> list[CountChange]:
        """Classes whose number of patches changes."""
        return compare_counts(self.head.manifest if self.head else None, self.manifest)


@dataclass(frozen=True)
class CheckedFolder:
    """A data set that is in order, and what is known of it before the Hub is asked.

    Args:
        folder: the data set.
        manifest: of the folder.
        files: of the folder, all of them.
        suspects: ids that look identifying.
    """

    folder: Path
    manifest: Manifest
    files: tuple[LocalFile, ...]
    suspects: tuple[SuspectId, ...]


def check_folder(folder: Path, *, workers: int | None = None) -> CheckedFolder:
    """Verify a data set, load it, and look at its ids; nothing is asked of the Hub.

    Args:
        folder: the data set.
        workers: threads that read.

    Raises:
        ReleaseError: there is no such folder.
        PublishError: the data set is not in order, or its licence is unknown.
    """
    manifest, files = _checked_folder(folder, workers)
    return CheckedFolder(folder, manifest, files, suspect_ids(folder, manifest))


def plan_version(checked: CheckedFolder, repo: str, version: Version) -> VersionPlan:
    """Compare a data set with what the repo holds; nothing is changed anywhere.

    Args:
        checked: from `check_folder`, of a moment ago.
        repo: namespace/name on the Hub, as `remote.check_id` takes it.
        version: newer than every version there.

    Raises:
        PublishError: the version does not fit.
        HubError: no answer.
    """
    folder, manifest, files, suspects = checked.folder, checked.manifest, checked.files, checked.suspects
    tags = remote.read_tags(repo) if remote.exists(repo) else None
    if tags is None:
        new = compare_files(files, {}, None, repo)
        return VersionPlan(folder, repo, version, manifest, files, None, None, new, suspects=suspects)
    last = max(versions_among(tags), default=None)
    if version.tag in tags:
        head = remote.read_snapshot(repo, tags[version.tag])
        changes = compare_files(files, head.files, head.manifest, repo)
        if changes or changes.foreign:
            remedy = "A tag is never moved. Give a newer version."
            raise PublishError(f"{version.tag} of {repo}", "no such tag", "one with other files", remedy)
        return VersionPlan(folder, repo, version, manifest, files, head, last, changes, tagged=True, suspects=suspects)
    head = remote.read_snapshot(repo)
    changes = compare_files(files, head.files, head.manifest, repo)
    edited: tuple[str, ...] = ()
    if last is not None:
        before = remote.read_snapshot(repo, tags[last.tag])
        _check_follows(version, last, before, manifest, files)
        edited = edited_since(before.files, head.files, changes)
    return VersionPlan(folder, repo, version, manifest, files, head, last, changes, suspects=suspects, edited=edited)


def _checked_folder(folder: Path, workers: int | None) -> tuple[Manifest, tuple[LocalFile, ...]]:
    verified = verify_folder(folder, workers=workers)
    if verified.manifest is None or verified.problems:
        problems = verified.problems
        found = f"{len(problems)} problems, first: {problems[0]}"
        raise PublishError(str(folder), "a data set in order", found, "See `her2-ihc-40x verify`; make it again.")
    licence = verified.manifest.source.get("licence")
    if not isinstance(licence, str) or licence in ("", "unknown"):
        command = f"her2-ihc-40x card {shlex.quote(str(folder))} --license ID"
        remedy = f"It is never guessed: ask the authors, then run `{command}`, with an id of the Hub."
        raise PublishError(str(folder), "a licence", "unknown", remedy)
    try:
        check_loading(str(folder.resolve()), verified.manifest)
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, ReleaseError):
            raise
        remedy = "Make the folder again."
        raise PublishError(str(folder), "to be loaded by datasets", str(error)[:500], remedy) from error
    return verified.manifest, tuple(local_files(folder, verified.manifest, verified.companions))


def _check_follows(
    version: Version, last: Version, before: remote.Snapshot, manifest: Manifest, files: tuple[LocalFile, ...]
) -> None:
    check_version(version, last, same_data=before.manifest is not None and before.manifest.digest == manifest.digest)
    if not compare_files(files, before.files, before.manifest, before.repo):
        remedy = "There is nothing to publish."
        raise PublishError(f"version {version}", f"a change since {last}", "the same files", remedy)
