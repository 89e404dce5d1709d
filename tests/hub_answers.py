"""What the Hub double answers: from a request to a reply, over the state in `hub_store`. No sockets here."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode

import yaml

from hub_store import Commit, File, HubError, HubStore, Repo, is_lfs


@dataclass
class Reply:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Call:
    """A request, taken apart: a raw path of the Hub at `url`, by `token`'s owner; `faults`: those to enact here."""

    store: HubStore
    url: str
    path: str
    token: str | None
    query: Mapping[str, str]
    body: bytes
    range: str | None
    faults: Collection[str]

    @property
    def json(self) -> Any:
        return json.loads(self.body or b"{}")

    def flag(self, name: str) -> bool:
        return self.query.get(name, "").lower() in ("1", "true")

    def repo(self, repo_id: str, *, write: bool = False) -> Repo:
        return self.store.repo(repo_id, self.token, write=write)


# --- What is answered: each takes the call and the unquoted groups of its route -----------------------------------


def whoami(call: Call) -> Reply:
    if call.token != call.store.token:
        raise HubError(401, "Invalid username or password.")
    return _json({"type": "user", "name": call.store.user, "orgs": [], "auth": {"type": "access_token"}})


def create(call: Call) -> Reply:
    whoami(call)
    asked = call.json
    repo_id = f"{asked.get('organization') or call.store.user}/{asked['name']}"
    url = {"url": f"{call.url}/datasets/{repo_id}"}
    if repo_id.split("/")[0] != call.store.user:
        raise HubError(
            403, f"You don't have the rights to create a dataset under the namespace {repo_id.split('/')[0]}"
        )
    if asked.get("type") != "dataset":
        raise HubError(400, "the double holds dataset repos only")
    try:
        call.store.create(repo_id, private=asked.get("visibility") == "private" or bool(asked.get("private")))
    except HubError as error:
        raise HubError(error.status, error.message, extra=url) from None
    return _json(url)


def validate_yaml(call: Call) -> Reply:
    """Whether the front matter is a mapping with the types that the Hub demands of the commonest keys."""
    match = re.match(r"---\r?\n(.*?)^---\s*$", call.json["content"], re.DOTALL | re.MULTILINE)
    errors = []
    try:
        data = yaml.safe_load(match[1]) if match else {}
        kinds: dict[str, Any] = {
            "license": str,
            "pretty_name": str,
            "tags": list,
            "configs": list,
            "size_categories": (list, str),
        }
        if not isinstance(data, dict):
            errors.append("the metadata must be a mapping")
        else:
            errors += [
                f'"{k}" has a wrong type' for k, kind in kinds.items() if k in data and not isinstance(data[k], kind)
            ]
    except yaml.YAMLError as error:
        errors.append(str(error))
    warnings = [] if match else [{"message": "empty or missing yaml metadata in repo card"}]
    return _json({"errors": [{"message": e} for e in errors], "warnings": warnings}, 400 if errors else 200)


def info(call: Call, repo_id: str, revision: str | None = None) -> Reply:
    repo = call.repo(repo_id)
    commit = repo.resolve(revision or "main")
    siblings: list[dict[str, Any]] = []
    for path, file in sorted(commit.files.items()):
        siblings.append({"rfilename": path})
        if call.flag("blobs"):
            siblings[-1].update(blobId=file.git_oid, size=file.size, **_lfs(file, "sha256"))
    fixed = {"gated": False, "disabled": False, "downloads": 0, "likes": 0, "tags": []}
    ids = {"id": repo_id, "author": repo_id.split("/")[0], "sha": commit.oid, "private": repo.private}
    return _json({**ids, **fixed, "lastModified": commit.date, "siblings": siblings})


def preupload(call: Call, repo_id: str, revision: str) -> Reply:
    files = call.repo(repo_id, write=True).resolve(revision).files
    answers = []
    for asked in call.json["files"]:
        present = files.get(asked["path"])
        lfs = is_lfs(asked["path"], asked["size"], base64.b64decode(asked["sample"]))
        mode = {"uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False}
        answers.append({"path": asked["path"], **mode, **({"oid": present.etag} if present else {})})
    return _json({"files": answers})


def lfs_batch(call: Call, repo_id: str) -> Reply:
    repo = call.repo(repo_id, write=True)
    base, objects = f"{call.url}/lfs/{repo_id}", []
    for asked in call.json["objects"]:
        oid, size = asked["oid"], asked["size"]
        # As the real one: the upload's URL is signed, so its PUT carries no token.
        actions = {"upload": {"href": f"{base}/{oid}/{size}"}, "verify": {"href": f"{base}/verify"}}
        objects.append({"oid": oid, "size": size, **({} if oid in repo.objects else {"actions": actions})})
    return _json({"transfer": "basic", "objects": objects})


def lfs_put(call: Call, repo_id: str, oid: str, size: str) -> Reply:
    repo = call.store.repos[repo_id]
    repo.put_object(oid, int(size), call.body)
    if "rot" in call.faults:
        repo.rot(oid)
    return Reply()


def lfs_verify(call: Call, repo_id: str) -> Reply:
    stored = call.repo(repo_id, write=True).objects.get(call.json["oid"])
    if stored is None or len(stored) != call.json["size"]:
        raise HubError(404, "no such object of that size")
    return Reply()


def commit(call: Call, repo_id: str, revision: str) -> Reply:
    repo = call.repo(repo_id, write=True)
    if "race" in call.faults:
        repo.add({"someone.txt": str(len(repo.commits)).encode()})
    lines = [json.loads(line) for line in call.body.splitlines() if line.strip()]
    made, num = repo.commit(lines, revision, call.flag("create_pr"))
    page = f"{call.url}/datasets/{repo_id}"
    pull = {} if num is None else {"pullRequestUrl": f"{page}/discussions/{num}"}
    return _json({"success": True, "commitUrl": f"{page}/commit/{made.oid}", "commitOid": made.oid, **pull})


def xet_token(call: Call, repo_id: str, revision: str) -> Reply:
    """Lead the client's chunk store to a folder (undocumented, seen with hf_xet 1.8): its growth is what Xet sends."""
    call.repo(repo_id, write=True)
    if call.store.xet_folder is None:
        raise HubError(404, "the double has no Xet storage")
    grant = {"accessToken": "xet", "exp": 4_000_000_000, "casUrl": f"local://{call.store.xet_folder}"}
    return _json(grant)


def create_tag(call: Call, repo_id: str, revision: str) -> Reply:
    call.repo(repo_id, write=True).tag(call.json["tag"], revision)
    return _json({})


def delete_tag(call: Call, repo_id: str, name: str) -> Reply:
    if call.repo(repo_id, write=True).tags.pop(name, None) is None:
        raise HubError(404, f"no tag {name}", "RevisionNotFound")
    return _json({})


def create_branch(call: Call, repo_id: str, name: str) -> Reply:
    call.repo(repo_id, write=True).branch(name, call.json.get("startingPoint", "main"))
    return _json({})


def delete_branch(call: Call, repo_id: str, name: str) -> Reply:
    if name == "main" or call.repo(repo_id, write=True).refs.pop(name, None) is None:
        raise HubError(404, f"no branch {name} to delete", "RevisionNotFound")
    return _json({})


def refs(call: Call, repo_id: str) -> Reply:
    repo = call.repo(repo_id)

    def listed(prefix: str, named: Mapping[str, str]) -> list[dict[str, str]]:
        return [{"name": n, "ref": f"{prefix}{n}", "targetCommit": oid} for n, oid in sorted(named.items())]

    pulls = {name: oid for name, oid in repo.refs.items() if name.startswith("refs/pr/")}
    branches = {name: oid for name, oid in repo.refs.items() if name not in pulls}
    shown = {"branches": listed("refs/heads/", branches), "converts": [], "tags": listed("refs/tags/", repo.tags)}
    return _json(shown | ({"pullRequests": listed("", pulls)} if call.flag("include_prs") else {}))


def commits(call: Call, repo_id: str, revision: str) -> Reply:
    author = {"user": call.store.user}
    history = call.repo(repo_id).history(revision)
    return _json([{**_told(c), "message": c.message, "authors": [author]} for c in history])


def tree(call: Call, repo_id: str, revision: str, folder: str | None = None) -> Reply:
    repo = call.repo(repo_id)
    prefix = f"{folder.strip('/')}/" if folder else ""
    entries: dict[str, File | None] = {}
    for path, file in sorted(repo.resolve(revision).files.items()):
        if path.startswith(prefix):
            parts = path[len(prefix) :].split("/")
            entries.update({prefix + "/".join(parts[:depth]): None for depth in range(1, len(parts))})
            entries[path] = file
    if prefix and not entries:
        raise HubError(404, f"{folder} does not exist on {revision}", "EntryNotFound")
    deep = call.flag("recursive")
    shown = {path: file for path, file in entries.items() if deep or "/" not in path[len(prefix) :]}
    start = int(call.query.get("cursor", 0))
    stop = start + call.store.tree_page
    page = sorted(shown.items())[start:stop]
    listed = [_entry(repo, revision, path, file, call.flag("expand")) for path, file in page]
    rest = {**call.query, "cursor": str(stop)}
    link = {"Link": f'<{call.url}{call.path}?{urlencode(rest)}>; rel="next"'} if stop < len(shown) else {}
    return _json(listed, headers=link)


def paths_info(call: Call, repo_id: str, revision: str) -> Reply:
    repo = call.repo(repo_id)
    files = repo.resolve(revision).files
    form = parse_qs(call.body.decode())
    expand = form.get("expand", ["false"])[0].lower() == "true"
    answers = []
    for path in form.get("paths", []):
        if path in files or any(name.startswith(f"{path}/") for name in files):
            answers.append(_entry(repo, revision, path, files.get(path), expand))
    return _json(answers)


def resolve(call: Call, repo_id: str, revision: str, path: str) -> Reply:
    repo = call.repo(repo_id)
    file, data = repo.file(revision, path), repo.read(revision, path)
    headers = {"ETag": f'"{file.etag}"', "X-Repo-Commit": repo.resolve(revision).oid, "Accept-Ranges": "bytes"}
    if file.lfs:
        headers |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
    if not (match := re.fullmatch(r"bytes=(\d*)-(\d*)", call.range or "")) or match[0] == "bytes=-":
        return Reply(200, data, headers)
    first, last = match.groups()
    start = int(first) if first else max(0, len(data) - int(last))
    stop = min(int(last) + 1, len(data)) if first and last else len(data)
    if start >= stop:
        return Reply(416, b"", {"Content-Range": f"bytes */{len(data)}"})
    return Reply(206, data[start:stop], headers | {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"})


def open_discussion(call: Call, repo_id: str) -> Reply:
    repo = call.repo(repo_id, write=True)
    if not call.json.get("pullRequest"):
        raise HubError(400, "the double knows pull requests only")
    return _json({"num": repo.open_pull(call.json["title"], repo.refs["main"])})


def discussion(call: Call, repo_id: str, num: str) -> Reply:
    repo = call.repo(repo_id)
    conflicts = repo.conflicts(int(num))
    pull = repo.pulls[int(num)]
    return _json(
        {
            "num": pull.num,
            "title": pull.title,
            "status": pull.status,
            "author": {"name": call.store.user},
            "createdAt": repo.resolve(f"refs/pr/{num}").date,
            "repo": {"name": repo_id, "type": "dataset"},
            "isPullRequest": True,
            "changes": {"base": "refs/heads/main", "mergeCommitId": pull.merge_commit},
            "filesWithConflicts": conflicts,
            "events": [],
            "diff": "",
        }
    )


def merge(call: Call, repo_id: str, num: str) -> Reply:
    call.repo(repo_id, write=True).merge(int(num))
    return _json({})


def answer(method: str, call: Call) -> Reply:
    """What the Hub answers to a method."""
    try:
        for methods, pattern, handler in ROUTES:
            # Matched before it is unquoted: a revision may hold a quoted slash.
            if method in methods.split() and (match := re.fullmatch(pattern, call.path)):
                return handler(call, *(unquote(group) if group is not None else None for group in match.groups()))
        raise HubError(404, f"the double does not answer {method} {call.path}")
    except HubError as error:
        return error_reply(error)


_ID = r"/api/datasets/([^/]+/[^/]+)"
#: Methods, the raw path, what answers it.
ROUTES: list[tuple[str, str, Callable[..., Reply]]] = [
    ("GET", "/api/whoami-v2", whoami),
    ("POST", "/api/repos/create", create),
    ("POST", "/api/validate-yaml", validate_yaml),
    ("GET", _ID, info),
    ("GET", _ID + "/revision/([^/]+)", info),
    ("POST", _ID + "/preupload/([^/]+)", preupload),
    ("POST", r"/datasets/([^/]+/[^/]+)\.git/info/lfs/objects/batch", lfs_batch),
    ("PUT", "/lfs/([^/]+/[^/]+)/([0-9a-f]{64})/([0-9]+)", lfs_put),
    ("POST", "/lfs/([^/]+/[^/]+)/verify", lfs_verify),
    ("GET", _ID + "/xet-write-token/([^/]+)", xet_token),
    ("POST", _ID + "/commit/([^/]+)", commit),
    ("POST", _ID + "/tag/([^/]+)", create_tag),
    ("DELETE", _ID + "/tag/([^/]+)", delete_tag),
    ("POST", _ID + "/branch/([^/]+)", create_branch),
    ("DELETE", _ID + "/branch/([^/]+)", delete_branch),
    ("GET", _ID + "/refs", refs),
    ("GET", _ID + "/commits/([^/]+)", commits),
    ("GET", _ID + "/tree/([^/]+)(?:/(.+))?", tree),
    ("POST", _ID + "/paths-info/([^/]+)", paths_info),
    ("GET HEAD", "/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", resolve),
    ("POST", _ID + "/discussions", open_discussion),
    ("GET", _ID + "/discussions/([0-9]+)", discussion),
    ("POST", _ID + "/discussions/([0-9]+)/merge", merge),
]


def error_reply(error: HubError) -> Reply:
    # A header takes no line break.
    headers = {"X-Error-Message": error.message.splitlines()[0]}
    if error.code:
        headers["X-Error-Code"] = error.code
    return _json({"error": error.message, **error.extra}, error.status, headers)


def _json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})})


def _lfs(file: File, hash_name: str) -> dict[str, Any]:
    return {"lfs": {hash_name: file.sha256, "size": file.size, "pointerSize": 134}} if file.lfs else {}


def _told(commit: Commit) -> dict[str, str]:
    return {"id": commit.oid, "title": commit.title, "date": commit.date}


def _entry(repo: Repo, revision: str, path: str, file: File | None, expand: bool) -> dict[str, Any]:
    """A file or folder as the tree shows it."""
    if file is None:
        return {"type": "directory", "path": path, "oid": "0" * 40, "size": 0}
    entry = {"type": "file", "path": path, "oid": file.git_oid, "size": file.size, **_lfs(file, "oid")}
    return entry | ({"lastCommit": _told(repo.last_change(revision, path))} if expand else {})
