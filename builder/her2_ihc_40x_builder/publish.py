"""Publish a data set as a version on the Hub: checked, sent in one commit, checked again there, and then tagged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from her2_ihc_40x import ReleaseError

from . import hub
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
    local_files,
    versions_among,
)
from .loadcheck import check_loading
from .manifest import Manifest
from .published_ids import SuspectId, review_code, suspect_ids
from .verify import verify_folder

# Pull requests that are looked at for one of an interrupted run.
_RECENT = 10


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
    """

    folder: Path
    repo: str
    version: Version
    manifest: Manifest
    files: tuple[LocalFile, ...]
    head: hub.Snapshot | None
    last: Version | None
    changes: FileChanges
    tagged: bool = False
    suspects: tuple[SuspectId, ...] = ()

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
class Published:
    """What a run did: the commit, the tag or the pull request that it is in, and whether it was there before."""

    commit: str
    tag: str | None
    pull_request: int | None
    was_there: bool = False


def plan_version(folder: Path, repo: str, version: Version, *, workers: int | None = None) -> VersionPlan:
    """Verify a data set, load it, and compare it with what the repo holds; nothing is changed anywhere.

    Args:
        folder: the data set.
        repo: namespace/name on the Hub.
        version: newer than every version there.
        workers: threads that read.

    Raises:
        PublishError: the data set is not in order, its licence is unknown, or the version does not fit.
        HubError: no answer.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise PublishError(repo, "a repo as namespace/name", repr(repo), "Give --repo NAMESPACE/her2-ihc-40x.")
    manifest, files = _checked_folder(folder, workers)
    suspects = suspect_ids(folder, manifest)
    tags = hub.read_tags(repo) if hub.exists(repo) else None
    if tags is None:
        new = compare_files(files, {}, None)
        return VersionPlan(folder, repo, version, manifest, files, None, None, new, suspects=suspects)
    last = max(versions_among(tags), default=None)
    if version.tag in tags:
        head = hub.read_snapshot(repo, tags[version.tag])
        changes = compare_files(files, head.files, head.manifest)
        if changes or changes.foreign:
            remedy = "A tag is never moved. Give a newer version."
            raise PublishError(f"{version.tag} of {repo}", "no such tag", "one with other files", remedy)
        return VersionPlan(folder, repo, version, manifest, files, head, last, changes, tagged=True, suspects=suspects)
    head = hub.read_snapshot(repo)
    _check_follows(version, last, tags, repo, manifest, files)
    changes = compare_files(files, head.files, head.manifest)
    return VersionPlan(folder, repo, version, manifest, files, head, last, changes, suspects=suspects)


def publish_version(
    plan: VersionPlan,
    *,
    may_share: bool,
    safe_ids: str | None = None,
    private: bool = False,
    deep: bool = False,
    pull_request: bool = False,
) -> Published:
    """Send what changed in one commit, check what the Hub then holds, and tag it.

    After an interruption, run it again: it goes on from where it was.

    Args:
        plan: from `plan_version`, of a moment ago.
        may_share: the publisher's word that consent and licence allow it.
        safe_ids: the publisher's word that the plan's suspects identify nobody: the code of just this list.
        private: make a new repo private; one that is there must be.
        deep: download and hash every file before the tag.
        pull_request: open a pull request instead, and do not tag.

    Raises:
        PublishError: it must not be published like this.
        ConflictError: somebody else changed the repo; nothing was mixed.
        HubError: no answer, or the Hub holds other bytes than were sent; there is no tag then.
    """
    if not may_share:
        raise PublishError(
            plan.repo,
            "your word that consent and licence allow it",
            "none",
            "Ask those who answer for the slides; then give --i-may-share-this.",
        )
    _check_ids(plan, safe_ids)
    head, changes = plan.head, plan.changes
    if head is None:
        hub.create_repo(plan.repo, private=private)
        head = hub.read_snapshot(plan.repo)
        changes = compare_files(plan.files, head.files, head.manifest)
    if private and not head.private:
        remedy = "Make it private in its settings, or publish without --private."
        raise PublishError(plan.repo, "a private repo", "a public one", remedy)
    if plan.tagged:
        _check_stored(plan, head.commit, deep=deep)
        return Published(head.commit, plan.version.tag, None, was_there=True)
    if changes.foreign:
        remedy = "`datasets` would read them in both configs. Move them elsewhere, then run it again."
        raise PublishError(f"{plan.repo}@main", "no files of others below data/", changes.foreign[0], remedy)
    if pull_request:
        return _open_pull_request(plan, head, changes)
    commit = head.commit
    if changes:
        commit = _send(plan, head, changes, pull_request=False).commit
    return _check_and_tag(plan, commit, deep=deep)


def finish_version(plan: VersionPlan, number: int, *, deep: bool = False) -> Published:
    """Check that a pull request's merge holds the very files of the plan, and tag it.

    Args:
        plan: of the folder that the pull request was made from.
        number: the pull request's.
        deep: as `publish_version`.

    Raises:
        PublishError: it is not merged.
        HubError: the merge holds something else, or no answer.
    """
    status, merge = hub.pull_request_state(plan.repo, number)
    if status != "merged":
        remedy = f"Review and merge it on the Hub, then run --finish {number} again."
        raise PublishError(f"pull request {number} of {plan.repo}", "a merged one", f"status {status}", remedy)
    commit = merge or hub.read_snapshot(plan.repo).commit
    if plan.tagged and plan.head is not None:
        _check_stored(plan, plan.head.commit, deep=deep)
        return Published(plan.head.commit, plan.version.tag, number, was_there=True)
    return _check_and_tag(plan, commit, deep=deep)


# --- Steps --------------------------------------------------------------------------------------------------------


def _checked_folder(folder: Path, workers: int | None) -> tuple[Manifest, tuple[LocalFile, ...]]:
    verified = verify_folder(folder, workers=workers)
    if verified.manifest is None or verified.problems:
        problems = verified.problems
        found = f"{len(problems)} problems, first: {problems[0]}"
        raise PublishError(str(folder), "a data set in order", found, "See `her2-ihc-40x verify`; make it again.")
    licence = verified.manifest.source.get("licence")
    if not isinstance(licence, str) or licence in ("", "unknown"):
        remedy = "Ask the authors; then make the folder with --license. It is never guessed."
        raise PublishError(str(folder), "a licence", "unknown", remedy)
    try:
        check_loading(str(folder.resolve()), verified.manifest)
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, ReleaseError):
            raise
        remedy = "Make the folder again."
        raise PublishError(str(folder), "to be loaded by datasets", str(error)[:500], remedy) from error
    return verified.manifest, tuple(local_files(folder, verified.manifest, verified.companions))


def _check_ids(plan: VersionPlan, safe_ids: str | None) -> None:
    if not plan.suspects or safe_ids == review_code(plan.suspects):
        return
    stale = " (the code given is of another list)" if safe_ids else ""
    raise PublishError(
        str(plan.folder),
        "ids that identify nobody",
        f"{len(plan.suspects)} that may{stale}, first: {plan.suspects[0]}",
        "Build with --pseudonymize KEYFILE. If you know that each id listed is harmless, give "
        f"--these-ids-are-safe {review_code(plan.suspects)}, which holds for this list alone.",
    )


def _check_follows(
    version: Version,
    last: Version | None,
    tags: Mapping[str, str],
    repo: str,
    manifest: Manifest,
    files: tuple[LocalFile, ...],
) -> None:
    if last is None:
        return
    before = hub.read_snapshot(repo, tags[last.tag])
    check_version(version, last, same_data=before.manifest is not None and before.manifest.digest == manifest.digest)
    if not compare_files(files, before.files, before.manifest):
        remedy = "There is nothing to publish."
        raise PublishError(f"version {version}", f"a change since {last}", "the same files", remedy)


def _send(plan: VersionPlan, head: hub.Snapshot, changes: FileChanges, *, pull_request: bool) -> hub.Sent:
    title = f"Version {plan.version}"
    return hub.send_commit(plan.folder, head, changes.send, changes.delete, title, pull_request=pull_request)


def _open_pull_request(plan: VersionPlan, head: hub.Snapshot, changes: FileChanges) -> Published:
    if not changes:
        raise PublishError(plan.repo, "a change to review", "the same files on main", "Publish without --pr to tag it.")
    for number in hub.pull_requests(plan.repo)[:_RECENT]:
        there = hub.read_snapshot(plan.repo, f"refs/pr/{number}", files_only=True)
        if not compare_files(plan.files, there.files, head.manifest):
            status, _ = hub.pull_request_state(plan.repo, number)
            if status in ("draft", "open"):
                return Published(there.commit, None, number, was_there=True)
    sent = _send(plan, head, changes, pull_request=True)
    return Published(sent.commit, None, sent.pull_request)


def _check_and_tag(plan: VersionPlan, commit: str, *, deep: bool) -> Published:
    _check_stored(plan, commit, deep=deep)
    hub.create_tag(plan.repo, plan.version.tag, commit, f"sha256 of all files: {plan.manifest.digest}")
    return Published(commit, plan.version.tag, None)


def _check_stored(plan: VersionPlan, commit: str, *, deep: bool) -> None:
    """Whether a commit declares the folder's files, and gives them back: all of them if `deep`, else all but shards."""
    stored = hub.read_snapshot(plan.repo, commit, files_only=True)
    changes = compare_files(plan.files, stored.files, plan.manifest)
    if changes or changes.foreign:
        first = min([file.path for file in changes.send] + [*changes.delete, *changes.foreign])
        remedy = "It was not tagged. Somebody changed the folder or what was merged: publish the folder again."
        raise hub.HubError(f"{plan.repo}@{commit[:8]}", "the folder's files", f"a difference at {first}", remedy)
    hub.stream_rows(plan.repo, commit, plan.manifest.shards)
    shards = {shard.path for shard in plan.manifest.shards}
    hub.hash_files(plan.repo, commit, [file for file in plan.files if deep or file.path not in shards])
    with hub.talking(f"{plan.repo}@{commit[:8]}"):
        check_loading(plan.repo, plan.manifest, commit)
