"""What the Hub double holds: repos of commits, refs, pull requests and content-addressed objects. No HTTP here."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# The template that the Hub puts into a new dataset repo tracks these with LFS, and so does it any binary or large file.
LFS_SUFFIXES = (".parquet", ".arrow", ".png", ".jpg", ".jpeg", ".webp", ".zip", ".tar", ".gz", ".npy", ".bin")
LFS_SIZE = 10 * 1024 * 1024
INITIAL_FILES = {
    ".gitattributes": b"".join(b"*%s filter=lfs diff=lfs merge=lfs -text\n" % s.encode() for s in LFS_SUFFIXES)
}


class HubError(Exception):
    """An answer other than success: the HTTP status, the Hub's error code, and a message."""

    def __init__(self, status: int, message: str, code: str = "", extra: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.extra = status, message, code, dict(extra or {})


@dataclass(frozen=True)
class File:
    """A file in a commit: its bytes are the object `sha256`."""

    sha256: str
    size: int
    git_oid: str
    lfs: bool

    @classmethod
    def regular(cls, data: bytes) -> File:
        return cls(hashlib.sha256(data).hexdigest(), len(data), _blob_oid(data), False)

    @classmethod
    def pointer(cls, sha256: str, size: int) -> File:
        text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
        return cls(sha256, size, _blob_oid(text.encode()), True)

    @property
    def etag(self) -> str:
        """What identifies the content: sha256 of an LFS file, git's sha1 of any other."""
        return self.sha256 if self.lfs else self.git_oid


@dataclass(frozen=True)
class Commit:
    """A snapshot of all files, its parent, and what its author said."""

    files: Mapping[str, File]
    parent: str | None
    title: str
    message: str
    number: int

    @property
    def oid(self) -> str:
        listing = sorted((path, file.git_oid) for path, file in self.files.items())
        return hashlib.sha1(json.dumps([listing, self.parent, self.title, self.number]).encode()).hexdigest()

    @property
    def date(self) -> str:
        """A made-up time that grows with the commits."""
        return f"2026-01-{1 + self.number // 1440 % 28:02}T{self.number // 60 % 24:02}:{self.number % 60:02}:00.000Z"


@dataclass
class PullRequest:
    """A proposal: the branch `refs/pr/<num>`, made from the commit `base` of main."""

    num: int
    title: str
    base: str
    status: str = "draft"
    merge_commit: str | None = None


@dataclass
class Repo:
    """A dataset repo. `refs` maps branch names and `refs/pr/N` to commits; tags are apart."""

    id: str
    private: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pulls: dict[int, PullRequest] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.record(dict(self._store(INITIAL_FILES)), None, "initial commit", branch="main")

    def resolve(self, revision: str) -> Commit:
        """The commit that a branch, tag, `refs/pr/N` or full commit id stands for."""
        oid = self.refs.get(revision) or self.tags.get(revision) or revision
        if oid not in self.commits:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[oid]

    def read(self, revision: str, path: str) -> bytes:
        """The stored bytes of a file, right or rotten."""
        return self.objects[self.file(revision, path).sha256]

    def file(self, revision: str, path: str) -> File:
        try:
            return self.resolve(revision).files[path]
        except KeyError:
            raise HubError(404, f"Entry not found: {path}", "EntryNotFound") from None

    def history(self, revision: str) -> list[Commit]:
        """The commits from a revision back to the first."""
        commits = [self.resolve(revision)]
        while commits[-1].parent is not None:
            commits.append(self.commits[commits[-1].parent])
        return commits

    def last_change(self, revision: str, path: str) -> Commit:
        """The commit that gave a file its present content."""
        history = self.history(revision)
        for newer, older in itertools.pairwise(history):
            if older.files.get(path) != newer.files[path]:
                return newer
        return history[-1]

    # --- writing

    def put_object(self, sha256: str, size: int, data: bytes) -> None:
        """Take an LFS object, if its bytes are what they are declared to be."""
        if (len(data), digest := hashlib.sha256(data).hexdigest()) != (size, sha256):
            raise HubError(400, f"BadDigest: declared {size} bytes, sha256 {sha256}; got {len(data)}, {digest}")
        self.objects[sha256] = data

    def rot(self, sha256: str) -> None:
        """Flip a byte in the middle of a stored object: its declared hash stays."""
        self.objects[sha256] = flip(self.objects[sha256])

    def forget(self, sha256: str) -> None:
        """Delete an LFS object and the files that point to it, as the settings' list of LFS files does."""
        self.objects.pop(sha256)
        files = {path: file for path, file in self.resolve("main").files.items() if file.sha256 != sha256}
        self.record(files, self.refs["main"], "without a file", branch="main")

    def commit(self, lines: Iterable[Mapping[str, Any]], revision: str, create_pr: bool) -> tuple[Commit, int | None]:
        """Apply a commit request, all or nothing: the new commit, and the pull request that it opens, if any."""
        header, *operations = lines
        parent = header["value"].get("parentCommit")
        base = self.resolve(parent if create_pr and parent else revision)
        if revision not in self.refs:
            raise HubError(400, f"{revision} is not a branch")
        if parent is not None and parent != base.oid:
            raise HubError(412, f"A commit has happened since. Please refresh and try again. Head is {base.oid}")
        files = dict(base.files)
        for operation in operations:
            self._apply(files, operation["key"], operation["value"])
        summary, description = header["value"]["summary"], header["value"].get("description", "")
        if not create_pr:
            return self.record(files, base.oid, summary, description, branch=revision), None
        num = self.open_pull(summary, base.oid)
        return self.record(files, base.oid, summary, description, branch=f"refs/pr/{num}"), num

    def add(self, files: Mapping[str, bytes], *, branch: str = "main", title: str = "by someone else") -> Commit:
        """Commit files as another user would have."""
        head = self.resolve(branch)
        return self.record({**head.files, **dict(self._store(files))}, head.oid, title, branch=branch)

    def record(
        self, files: Mapping[str, File], parent: str | None, title: str, message: str = "", *, branch: str
    ) -> Commit:
        commit = Commit(files, parent, title, message, len(self.commits))
        self.commits[commit.oid] = commit
        self.refs[branch] = commit.oid
        return commit

    def tag(self, name: str, revision: str) -> None:
        if name in self.tags:
            raise HubError(409, f"Tag reference exists already: {name}")
        self.tags[name] = self.resolve(revision).oid

    def branch(self, name: str, revision: str) -> None:
        if name in self.refs:
            raise HubError(409, f"Reference already exists: {name}")
        self.refs[name] = self.resolve(revision).oid

    def open_pull(self, title: str, base: str) -> int:
        num = len(self.pulls) + 1
        self.pulls[num] = PullRequest(num, title, base)
        self.refs[f"refs/pr/{num}"] = base
        return num

    def conflicts(self, num: int) -> list[str]:
        """Paths that a pull request and main changed since its base, each in its way."""
        base, head, main = (self.resolve(r).files for r in (self._pull(num).base, f"refs/pr/{num}", "main"))
        return sorted(
            path
            for path in {*base, *head, *main}
            if base.get(path) not in (head.get(path), main.get(path)) and head.get(path) != main.get(path)
        )

    def merge(self, num: int) -> Commit:
        """Bring what a pull request changes onto main, as one commit."""
        pull = self._pull(num)
        if pull.status == "merged" or self.conflicts(num):
            raise HubError(409, f"Cannot merge: {self.conflicts(num) or 'merged already'}")
        base, head, main = (self.resolve(r).files for r in (pull.base, f"refs/pr/{num}", "main"))
        files = {path: file for path, file in main.items() if path in head or path not in base}
        files.update({path: file for path, file in head.items() if base.get(path) != file})
        commit = self.record(files, self.refs["main"], f"{pull.title} (#{num})", branch="main")
        pull.status, pull.merge_commit = "merged", commit.oid
        return commit

    def _pull(self, num: int) -> PullRequest:
        if num not in self.pulls:
            raise HubError(404, f"No discussion {num}")
        return self.pulls[num]

    def _store(self, files: Mapping[str, bytes]) -> Iterable[tuple[str, File]]:
        for path, data in files.items():
            sha256 = hashlib.sha256(data).hexdigest()
            self.objects[sha256] = data
            yield path, File.pointer(sha256, len(data)) if is_lfs(path, len(data), data[:512]) else File.regular(data)

    def _apply(self, files: dict[str, File], key: str, value: Mapping[str, Any]) -> None:
        path = value["path"]
        if key == "file":
            data = base64.b64decode(value["content"], validate=True)
            files[path] = File.regular(data)
            self.objects[files[path].sha256] = data
        elif key == "lfsFile":
            stored = self.objects.get(value["oid"])
            if stored is None or len(stored) != value.get("size", len(stored)):
                raise HubError(400, f"{path}: an LFS pointer pointed to a file that does not exist")
            files[path] = File.pointer(value["oid"], len(stored))
        elif key == "deletedFile":
            if files.pop(path, None) is None:
                raise HubError(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
        elif key == "deletedFolder":
            for inside in [name for name in files if name.startswith(path.rstrip("/") + "/")]:
                del files[inside]
        else:
            raise HubError(400, f"unknown operation {key}")


class HubStore:
    """All repos of a Hub, and the one user who may write to them. Take `lock` around what must not be torn."""

    def __init__(self, user: str, token: str) -> None:
        self.user, self.token = user, token
        self.repos: dict[str, Repo] = {}
        #: Where chunks go of a client that has not switched Xet off; a commit of them is refused.
        self.xet_folder: Path | None = None
        #: Entries of a tree in one answer.
        self.tree_page = 1000
        self.lock = threading.RLock()

    def create(self, repo_id: str, *, private: bool = False) -> Repo:
        if not re.fullmatch(r"[\w.-]{1,96}/[\w.-]{1,96}", repo_id):
            raise HubError(400, f"not a repo id: {repo_id}")
        if repo_id in self.repos:
            raise HubError(409, "You already created this dataset repo")
        self.repos[repo_id] = Repo(repo_id, private)
        return self.repos[repo_id]

    def repo(self, repo_id: str, token: str | None, *, write: bool = False) -> Repo:
        """A repo, to one who may see it (and write to it): a private one is "not found" to all others."""
        if token is not None and token != self.token:
            raise HubError(401, "Invalid credentials in Authorization header")
        repo = self.repos.get(repo_id)
        if repo is None or (repo.private and token is None):
            raise HubError(404 if token else 401, f"Repository not found: {repo_id}", "RepoNotFound")
        if write and token is None:
            raise HubError(401, "Invalid username or password.")
        if write and repo_id.split("/")[0] != self.user:
            raise HubError(403, f"Forbidden: you may not write to {repo_id}")
        return repo


def is_lfs(path: str, size: int, sample: bytes) -> bool:
    """Whether the Hub would keep a file in LFS."""
    return size > 0 and (path.lower().endswith(LFS_SUFFIXES) or size > LFS_SIZE or b"\0" in sample)


def flip(data: bytes) -> bytes:
    """The data with one bit changed, half way."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def _blob_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
