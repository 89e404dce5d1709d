"""Talk to the Hub: what a repo holds, one commit, what is really stored, and tags. No decisions here."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, HfFileSystem, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile

from her2_ihc_40x import ReleaseError

from .changes import LocalFile, RemoteFile
from .errors import Her2Error
from .manifest import FILE_NAME, Manifest, read_manifest
from .parallel import run_tasks
from .shards import SCHEMA, Shard

MAX_MANIFEST_BYTES = 64 << 20
_KIND = "dataset"
_AGAIN = "Run it again: what has arrived is not sent again."
_LOG_IN = "Log in with `hf auth login`, or give HF_TOKEN, as one who may write there."
_REMEDIES = {401: _LOG_IN, 403: _LOG_IN, 404: "Check the name or number."}
_THREADS = 4
_CHUNK = 8 << 20
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
    if files[FILE_NAME].size > MAX_MANIFEST_BYTES:
        found = f"{files[FILE_NAME].size} bytes"
        raise HubError(f"{repo}@{commit}", f"a manifest of at most {MAX_MANIFEST_BYTES} bytes", found, "Look at it.")
    try:
        return read_manifest(Path(hf_hub_download(repo, FILE_NAME, repo_type=_KIND, revision=commit)).parent)
    except ReleaseError as error:
        remedy = f"Put {FILE_NAME} of the last version back on the Hub, then run it again."
        raise HubError(f"{FILE_NAME} of {repo}@{commit[:8]}", error.expected, error.found, remedy) from None


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


def pull_request_state(repo: str, number: int) -> tuple[str, str | None]:
    """A pull request's status ("draft", "open", "closed", "merged"), and the commit of its merge."""
    with talking(f"pull request {number} of {repo}"):
        details = HfApi().get_discussion_details(repo, number, repo_type=_KIND)
    return str(details.status), details.merge_commit_oid


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


# --- What is stored -----------------------------------------------------------------------------------------------


def open_remote(repo: str, commit: str, path: str, *, block: int | None = None) -> Any:
    """A file of a commit, read by ranges; of at least `block` bytes and ahead, or exactly those asked for."""
    cache: dict[str, Any] = {"cache_type": "none"} if block is None else {"block_size": block}
    return HfFileSystem().open(f"datasets/{repo}@{commit}/{path}", "rb", **cache)


def stream_rows(repo: str, commit: str, shards: Sequence[Shard]) -> None:
    """Read one row of every file from the Hub, and compare its image with its own sha256.

    Raises:
        HubError: a file cannot be read, or a row holds other bytes.
    """
    tasks = [(repo, commit, shard) for shard in shards]
    run_tasks(_stream_row, tasks, workers=_THREADS, label="Streaming", unit="file", threads=True)


def _stream_row(task: tuple[str, str, Shard]) -> None:
    repo, commit, shard = task
    subject = f"{shard.path} of {repo}@{commit[:8]}"
    with talking(subject), open_remote(repo, commit, shard.path, block=1 << 18) as stored:
        try:
            # Read as it is decoded: by default a whole row group of images comes for one row.
            with pq.ParquetFile(stored, pre_buffer=False, buffer_size=1 << 16) as file:
                if not file.schema_arrow.equals(SCHEMA) or file.metadata.num_rows != shard.rows:
                    raise _rotten(subject, f"{shard.rows} rows of the manifest's columns", "something else")
                batches = file.iter_batches(1, row_groups=[0], columns=["image", "sha256"], use_threads=False)
                row = next(batches).to_pylist()[0]
        except (pa.ArrowException, StopIteration) as error:
            raise _rotten(subject, "a row that can be read", type(error).__name__) from None
    if hashlib.sha256((row["image"] or {}).get("bytes") or b"").hexdigest() != row["sha256"]:
        raise _rotten(subject, f"an image of sha256 {row['sha256']}", "another")


def hash_files(repo: str, commit: str, files: Sequence[LocalFile]) -> None:
    """Download every file of a commit, keep none, and compare its sha256.

    Raises:
        HubError: a file cannot be read, or holds other bytes.
    """
    tasks = [(repo, commit, file) for file in files]
    run_tasks(
        _hash_file,
        tasks,
        workers=_THREADS,
        label="Downloading",
        unit="B",
        weight=lambda task: task[2].size,
        threads=True,
    )


def _hash_file(task: tuple[str, str, LocalFile]) -> None:
    repo, commit, file = task
    subject = f"{file.path} of {repo}@{commit[:8]}"
    digest = hashlib.sha256()
    with talking(subject), open_remote(repo, commit, file.path, block=_CHUNK) as stored:
        while data := stored.read(_CHUNK):
            digest.update(data)
    if digest.hexdigest() != file.sha256:
        raise _rotten(subject, f"sha256 {file.sha256}", digest.hexdigest())


def _rotten(subject: str, expected: str, found: str) -> HubError:
    remedy = "The stored file is not what was sent; the version is not tagged. Tell the Hub's support, or publish anew."
    return HubError(subject, expected, found, remedy)
