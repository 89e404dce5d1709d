"""Publish a data set as a version on the Hub: sent in one commit, checked again there, and then tagged."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..privacy.published_ids import review_code
from . import remote
from .changes import FileChanges, PublishError, compare_files
from .loadcheck import check_loading
from .stored import hash_files, stream_rows
from .version_plan import CheckedFolder, VersionPlan

# Pull requests that are looked at for one of an interrupted run.
_RECENT = 10


@dataclass(frozen=True)
class Published:
    """What a run did: the commit, the tag or the pull request that it is in, and whether it was there before."""

    commit: str
    tag: str | None
    pull_request: int | None
    was_there: bool = False


def check_word(of: CheckedFolder | VersionPlan, *, may_share: bool, safe_ids: str | None = None) -> None:
    """Refuse to publish without the publisher's word; all that is missing is told at once, and the Hub is not asked.

    Args:
        of: what is to be published.
        may_share: as `publish_version`.
        safe_ids: as `publish_version`.

    Raises:
        PublishError: a word is missing, or ids may identify somebody.
    """
    wanted = []
    if not may_share:
        remedy = "Ask those who answer for the slides; then give --i-may-share-this."
        wanted.append(("your word that consent and licence allow it", "none", remedy))
    if of.suspects and safe_ids != (code := review_code(of.suspects)):
        stale = " (the code given is of another list)" if safe_ids else ""
        found = f"{len(of.suspects)} that may{stale}, first: {of.suspects[0]}"
        remedy = (
            "Build with --pseudonymize KEYFILE. If you know that each id listed is harmless, give "
            f"--these-ids-are-safe {code}, which holds for this list alone."
        )
        wanted.append(("ids that identify nobody", found, remedy))
    if wanted:
        expectations, findings, remedies = zip(*wanted, strict=True)
        raise PublishError(str(of.folder), ", and ".join(expectations), ", and ".join(findings), " ".join(remedies))


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
    check_word(plan, may_share=may_share, safe_ids=safe_ids)
    head, changes = plan.head, plan.changes
    if head is None:
        remote.create_repo(plan.repo, private=private)
        head = remote.read_snapshot(plan.repo)
        changes = compare_files(plan.files, head.files, head.manifest, plan.repo)
    if private and not head.private:
        remedy = "Make it private in its settings, or publish without --private."
        raise PublishError(plan.repo, "a private repo", "a public one", remedy)
    if plan.tagged:
        _check_stored(plan, head.commit, deep=deep)
        return Published(head.commit, plan.version.tag, None, was_there=True)
    if changes.foreign:
        remedy = (
            "Rename or delete it on the Hub, then run it again: `datasets` would read it, or refuse the repo for it."
        )
        raise PublishError(f"{plan.repo}@main", "no file of others that `datasets` reads", changes.foreign[0], remedy)
    if pull_request:
        return _open_pull_request(plan, head, changes)
    commit = head.commit
    if changes:
        commit = _send(plan, head, changes, pull_request=False).commit
    return _check_and_tag(plan, commit, deep=deep)


def finish_version(plan: VersionPlan, number: int, *, safe_ids: str | None = None, deep: bool = False) -> Published:
    """Check that a pull request's merge holds the very files of the plan, and tag it.

    Args:
        plan: of the folder that the pull request was made from.
        number: the pull request's.
        safe_ids: as `publish_version`.
        deep: as `publish_version`.

    Raises:
        PublishError: it is not merged, or of another version, or ids may identify somebody.
        HubError: the merge holds something else, or no answer.
    """
    check_word(plan, may_share=True, safe_ids=safe_ids)  # the pull request had the word
    pull = remote.read_pull_request(plan.repo, number)
    subject = f"pull request {number} of {plan.repo}"
    if pull.status != "merged":
        remedy = f"Review and merge it on the Hub, then run --finish {number} again."
        raise PublishError(subject, "a merged one", f"status {pull.status}", remedy)
    if _is_of_another(pull, plan):
        remedy = "Give the --version of its title, or the number of another pull request."
        raise PublishError(subject, f"the title {_title(plan)!r}", repr(pull.title), remedy)
    commit = pull.merge or remote.read_snapshot(plan.repo).commit
    if plan.tagged and plan.head is not None:
        _check_stored(plan, plan.head.commit, deep=deep)
        return Published(plan.head.commit, plan.version.tag, number, was_there=True)
    return _check_and_tag(plan, commit, deep=deep)


# --- Steps --------------------------------------------------------------------------------------------------------


def _send(plan: VersionPlan, head: remote.Snapshot, changes: FileChanges, *, pull_request: bool) -> remote.Sent:
    return remote.send_commit(plan.folder, head, changes.send, changes.delete, _title(plan), pull_request=pull_request)


def _title(plan: VersionPlan) -> str:
    return f"Version {plan.version}"


def _open_pull_request(plan: VersionPlan, head: remote.Snapshot, changes: FileChanges) -> Published:
    if not changes:
        raise PublishError(plan.repo, "a change to review", "the same files on main", "Publish without --pr to tag it.")
    for number in remote.pull_requests(plan.repo)[:_RECENT]:
        there = remote.read_snapshot(plan.repo, f"refs/pr/{number}", files_only=True)
        if not compare_files(plan.files, there.files, head.manifest, plan.repo):
            pull = remote.read_pull_request(plan.repo, number)
            if not _is_of_another(pull, plan) and pull.status in ("draft", "open"):
                return Published(there.commit, None, number, was_there=True)
    sent = _send(plan, head, changes, pull_request=True)
    return Published(sent.commit, None, sent.pull_request)


def _is_of_another(pull: remote.PullRequest, plan: VersionPlan) -> bool:
    """Whether a pull request names another version; a title that somebody gave it may name none."""
    return bool(re.match("Version [0-9]", pull.title)) and pull.title != _title(plan)


def _check_and_tag(plan: VersionPlan, commit: str, *, deep: bool) -> Published:
    _check_stored(plan, commit, deep=deep)
    remote.create_tag(plan.repo, plan.version.tag, commit, f"sha256 of all files: {plan.manifest.digest}")
    return Published(commit, plan.version.tag, None)


def _check_stored(plan: VersionPlan, commit: str, *, deep: bool) -> None:
    """Whether a commit declares the folder's files, and gives them back: all of them if `deep`, else all but shards."""
    stored = remote.read_snapshot(plan.repo, commit, files_only=True)
    changes = compare_files(plan.files, stored.files, plan.manifest, plan.repo)
    if changes or changes.foreign:
        first = min([file.path for file in changes.send] + [*changes.delete, *changes.foreign])
        remedy = "It was not tagged. Somebody changed the folder or what was merged: publish the folder again."
        raise remote.HubError(f"{plan.repo}@{commit[:8]}", "the folder's files", f"a difference at {first}", remedy)
    stream_rows(plan.repo, commit, plan.manifest.shards)
    shards = {shard.path for shard in plan.manifest.shards}
    hash_files(plan.repo, commit, [file for file in plan.files if deep or file.path not in shards])
    with remote.talking(f"{plan.repo}@{commit[:8]}"):
        check_loading(plan.repo, plan.manifest, commit)
