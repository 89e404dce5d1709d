"""Talk to the Hub: what a repo holds, one commit, and tags. No decisions here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, hf_hub_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # documented, but not in __all__

from her2_ihc_40x import MAX_MANIFEST_BYTES, ReleaseError

from ..errors import Her2Error
from ..shards.manifest import FILE_NAME, Manifest, read_manifest
from .changes import LocalFile, RemoteFile

_KIND = "dataset"
_AGAIN = "Run it again: what has arrived is not sent again."
_LOG_IN = "Log in with `hf auth login`, or give HF_TOKEN, as one who may write there."
_REMEDIES = {401: _LOG_IN, 403: _LOG_IN, 404: "Check the name or number."}
# The HTTP client's own base error, whichever client this version of huggingface_hub uses.
_FAILURES: tuple[type[BaseException], ...] = (HfHubHTTPError.__mro__[1], OSError, RuntimeError, ValueError)


class HubError(Her2Error, OSError):
    """The Hub cannot be reached, refuses, or holds other bytes than were sent."""


class ConflictError(HubError):
    """Somebody else changed the repo meanwhile."""


@contextmanager
def talking(subject: str) -> Iterator[None]:
    """Turn what the client raises into errors of ours; tokens and signed addresses stay out of them."""
    try:
        yield
    except Her2Error:
        raise
    except HFValidationError:
        raise HubError(subject, "a repo as NAMESPACE/NAME", "another form", "Give one as lab/her2-ihc-40x.") from None
    except OfflineModeIsEnabled:
        remedy = "Unset HF_HUB_OFFLINE, then run it again."
        raise HubError(subject, "to ask the Hub", "the client set to be offline", remedy) from None
    except UnicodeEncodeError:
        remedy = "Log in anew with `hf auth login`, or give another HF_TOKEN."
        raise HubError(subject, "a token of plain characters", "one with others", remedy) from None
    except RepositoryNotFoundError:
        remedy = "Check the id, and that you are logged in (`hf auth login`, or HF_TOKEN) as one who may see it."
        raise HubError(subject, "a data set on the Hub", "none that is visible", remedy) from None
    except RevisionNotFoundError:
        raise HubError(subject, "a branch, tag or commit", "none", "See `her2-ihc-40x versions`.") from None
    except _FAILURES as error:
        # The chain is cut: a cause may hold a signed address.
        status = _status(error) if isinstance(error, HfHubHTTPError) else None
        raise HubError(subject, "an answer of the Hub", _plain(error), _REMEDIES.get(status or 0, _AGAIN)) from None


def _plain(error: BaseException) -> str:
    status = f"HTTP {_status(error)}" if isinstance(error, HfHubHTTPError) else None
    parts = (status, getattr(error, "server_message", None), error, error.__cause__)
    told = dict.fromkeys(_first_line(part).rstrip(":.") for part in parts)
    text = "; ".join(line for line in told if line) or type(error).__name__
    return re.sub(r"hf_\w+", "hf_...", re.sub(r"\?\S+", "", text))[:500]


def _first_line(message: object) -> str:
    return next(iter(str(message or "").strip().splitlines()), "")


# --- What is there ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Snapshot:
    """A commit of a repo: its files as the Hub declares them, and its manifest, if that was asked for and is there."""

    repo: str
    commit: str
    private: bool
    files: Mapping[str, RemoteFile]
    manifest: Manifest | None


def read_snapshot(repo: str, revision: str | None = None, *, files_only: bool = False) -> Snapshot:
    """What a revision (by default main) holds.

    Args:
        repo: namespace/name.
        revision: a branch, tag or commit.
        files_only: leave the manifest: nothing is read that a stranger may have written.

    Raises:
        HubError: there is no such repo or revision, its manifest is damaged, or no answer.
    """
    with talking(f"{repo}@{revision or 'main'}"):
        api = HfApi()
        info = api.dataset_info(repo, revision=revision)
        entries = api.list_repo_tree(repo, recursive=True, revision=info.sha, repo_type=_KIND)
        files = {
            entry.path: RemoteFile(entry.size, entry.lfs.sha256 if entry.lfs else None, entry.blob_id)
            for entry in entries
            if isinstance(entry, RepoFile)
        }
        manifest = None if files_only else _read_manifest(repo, str(info.sha), files)
    return Snapshot(repo, str(info.sha), bool(info.private), files, manifest)


def _read_manifest(repo: str, commit: str, files: Mapping[str, RemoteFile]) -> Manifest | None:
    if FILE_NAME not in files:
        return None
    subject = f"{FILE_NAME} of {repo}@{commit[:8]}"
    remedy = f"Put {FILE_NAME} of the last version back on the Hub, then run it again."
    if (size := files[FILE_NAME].size) > MAX_MANIFEST_BYTES:  # what would not be read does not come
        raise HubError(subject, f"a manifest of at most {MAX_MANIFEST_BYTES} bytes", f"{size} bytes", remedy)
    try:
        return read_manifest(Path(hf_hub_download(repo, FILE_NAME, repo_type=_KIND, revision=commit)).parent)
    except ReleaseError as error:
        raise HubError(subject, error.expected, error.found, remedy) from None


def check_id(repo: str) -> None:
    """Whether a repo may be called so, without asking the Hub.

    Raises:
        HubError: it is no namespace/name.
    """
    with talking(repr(repo)):
        validate_repo_id(repo)
        if "/" not in repo or not repo.isascii():  # earlier clients let other letters through
            raise HFValidationError


def exists(repo: str) -> bool:
    """Whether a repo is there, and visible."""
    with talking(repo):
        return HfApi().repo_exists(repo, repo_type=_KIND)


def read_tags(repo: str) -> dict[str, str]:
    """Tag -> commit."""
    with talking(repo):
        return {tag.name: tag.target_commit for tag in HfApi().list_repo_refs(repo, repo_type=_KIND).tags}


def pull_requests(repo: str) -> list[int]:
    """The numbers of all pull requests, open or not, newest first."""
    with talking(repo):
        refs = HfApi().list_repo_refs(repo, repo_type=_KIND, include_pull_requests=True).pull_requests or []
    return sorted((int(ref.ref.rsplit("/", 1)[1]) for ref in refs), reverse=True)


@dataclass(frozen=True)
class PullRequest:
    """A pull request: its title, its status ("draft", "open", "closed", "merged"), and the commit of its merge."""

    title: str
    status: str
    merge: str | None


def read_pull_request(repo: str, number: int) -> PullRequest:
    """What the Hub says of a pull request."""
    with talking(f"pull request {number} of {repo}"):
        details = HfApi().get_discussion_details(repo, number, repo_type=_KIND)
    return PullRequest(str(details.title), str(details.status), details.merge_commit_oid)


def commit_dates(repo: str, revision: str) -> dict[str, datetime]:
    """Commit -> its time, back to the first."""
    with talking(repo):
        commits = HfApi().list_repo_commits(repo, repo_type=_KIND, revision=revision)
    return {commit.commit_id: commit.created_at for commit in commits}


# --- What is changed ----------------------------------------------------------------------------------------------


def create_repo(repo: str, *, private: bool) -> None:
    """Make a repo; one that is there stays as it is."""
    with talking(repo):
        HfApi().create_repo(repo, repo_type=_KIND, private=private, exist_ok=True)


@dataclass(frozen=True)
class Sent:
    """A commit that was made, and the number of the pull request that holds it, if it is one."""

    commit: str
    pull_request: int | None


def send_commit(
    folder: Path, head: Snapshot, send: Sequence[LocalFile], delete: Sequence[str], title: str, *, pull_request: bool
) -> Sent:
    """Send files and change them all in one commit on top of `head`, or not at all.

    What the Hub has already is not sent again, also if it is in no commit yet.

    Raises:
        ConflictError: main is no longer at `head`; nothing was changed.
        HubError: no answer. The commit may have been made or not.
    """
    subject = f"{head.repo}@main"
    additions = [CommitOperationAdd(file.path, folder / file.path) for file in send]
    deletions = [CommitOperationDelete(path, is_folder=False) for path in delete]
    with talking(subject):
        try:
            # It checks the card, then uploads (preupload_lfs_files), and only then commits.
            made = HfApi().create_commit(
                head.repo,
                [*additions, *deletions],
                commit_message=title,
                repo_type=_KIND,
                parent_commit=head.commit,
                create_pr=pull_request,
            )
        except HfHubHTTPError as error:
            if _status(error) == 412:
                remedy = "Nothing was changed. Look at what came, then run it again."
                raise ConflictError(subject, f"{head.commit[:8]}", "a commit that came meanwhile", remedy) from None
            raise
    return Sent(str(made.oid), made.pr_num)


def create_tag(repo: str, tag: str, commit: str, message: str) -> None:
    """Tag a commit.

    Raises:
        ConflictError: the tag is there already; it stays as it is.
    """
    subject = f"tag {tag} of {repo}"
    with talking(subject):
        try:
            HfApi().create_tag(repo, tag=tag, tag_message=message, revision=commit, repo_type=_KIND)
        except HfHubHTTPError as error:
            if _status(error) == 409:
                raise ConflictError(
                    subject, "no such tag", "one that came meanwhile", "Give a newer version."
                ) from None
            raise


def _status(error: HfHubHTTPError) -> int | None:
    return getattr(error.response, "status_code", None)
