"""The Hub double, driven by the real clients in processes of their own."""

from __future__ import annotations

import hashlib
import http.client
import io
import random
import subprocess
import sys
import textwrap
import urllib.error
import urllib.request
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hub_double import HubDouble
from hub_store import Repo

CARD = b"""---
configs:
- config_name: wsi_split
  default: true
  data_files:
  - split: train
    path: data/train-*.parquet
---
# Data
"""
PRELUDE = """
import math, os, pathlib, hashlib
from huggingface_hub import CommitOperationAdd as Add, CommitOperationDelete as Delete, HfApi
from huggingface_hub.errors import *
api, repo, kind = HfApi(), "lab/data", dict(repo_type="dataset")
def status(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except HfHubHTTPError as error:
        return error.response.status_code
    return 200
"""


def client(hub: HubDouble, home: Path, code: str, **environment: str) -> None:
    """Run code with the clients; an assertion in it that fails, fails the test."""
    script = home / "client.py"
    home.mkdir(exist_ok=True)
    script.write_text(PRELUDE + textwrap.dedent(code))
    environment = hub.environment(home) | environment
    done = subprocess.run([sys.executable, script], env=environment, cwd=home, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def parquet(*values: int) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"x": list(values)}), buffer)
    return buffer.getvalue()


@pytest.fixture
def repo(hub: HubDouble) -> Repo:
    made = hub.store.create("lab/data")
    made.add({"README.md": CARD, "data/train-0.parquet": parquet(1, 2, 3)}, title="first")
    return made


def test_a_version_is_published_and_read_back(hub: HubDouble, tmp_path: Path) -> None:
    shards = {f"train-{i}.parquet": parquet(*range(i, i + 4)) for i in range(3)}
    (tmp_path / "data").mkdir()
    for name, data in shards.items():
        (tmp_path / "data" / name).write_bytes(data)
    (tmp_path / "README.md").write_bytes(CARD)
    client(
        hub,
        tmp_path / "home",
        """
        api.create_repo(repo, private=True, **kind)
        assert status(api.create_repo, repo, **kind) == 409
        api.create_repo(repo, exist_ok=True, **kind)
        root = pathlib.Path("..")
        paths = ["README.md", *(f"data/train-{i}.parquet" for i in range(3))]
        adds = [Add(path, root / path) for path in paths]
        head = api.dataset_info(repo).sha
        api.preupload_lfs_files(repo, additions=adds, **kind)
        commit = api.create_commit(repo, adds, commit_message="one", parent_commit=head, **kind)
        assert api.dataset_info(repo).sha == commit.oid != head
        api.create_tag(repo, tag="v1.0.0", revision=commit.oid, **kind)
        assert status(api.create_tag, repo, tag="v1.0.0", revision=head, **kind) == 409

        # Again: nothing is sent, nothing is committed.
        again = [Add(path, root / path) for path in paths]
        assert api.create_commit(repo, again, commit_message="same", parent_commit=commit.oid, **kind).oid == commit.oid

        checked = api.verify_repo_checksums(repo, revision=commit.oid, local_dir="..", **kind)
        assert not checked.mismatches and set(checked.missing_paths) == {".gitattributes"}, checked
        assert [c.title for c in api.list_repo_commits(repo, **kind)] == ["one", "initial commit"]
        tree = {e.path: e for e in api.list_repo_tree(repo, recursive=True, expand=True, revision="v1.0.0", **kind)}
        assert set(tree) == {".gitattributes", "data", *paths}
        assert tree[paths[1]].lfs.sha256 == hashlib.sha256((root / paths[1]).read_bytes()).hexdigest()
        assert tree[paths[1]].last_commit.title == "one" and tree["README.md"].lfs is None
        assert [e.path for e in api.list_repo_tree(repo, "data", **kind)] == paths[1:]
        assert [e.path for e in api.list_repo_tree(repo, **kind)] == [".gitattributes", "README.md", "data"]
        assert [e.path for e in api.get_paths_info(repo, ["data", "no", "README.md"], **kind)] == ["data", "README.md"]
        refs = api.list_repo_refs(repo, include_pull_requests=True, **kind)
        assert [(t.name, t.target_commit) for t in refs.tags] == [("v1.0.0", commit.oid)] and refs.pull_requests == []

        second = api.create_commit(repo, [Delete(paths[3])], commit_message="two", parent_commit=commit.oid, **kind)
        assert status(api.create_commit, repo, [Add("x", b"x")], commit_message="x", parent_commit=head, **kind) == 412
        assert status(api.create_commit, repo, [Delete("no")], commit_message="no such file", **kind) == 404

        from datasets import load_dataset
        old = load_dataset(repo, "wsi_split", split="train", revision="v1.0.0")
        assert sorted(old["x"]) == [0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 5]
        stream = load_dataset(repo, split="train", revision="v1.0.0", streaming=True)
        assert [row["x"] for row in stream] == list(old["x"])
        assert len(load_dataset(repo, split="train")) == 8
        """,
    )
    sent = [request for request in hub.requests if request.method == "PUT"]
    assert sorted(request.received for request in sent) == sorted(map(len, shards.values()))
    assert hub.received("PUT") == sum(map(len, shards.values()))


def test_pull_requests_branches_and_strangers(hub: HubDouble, repo: Repo, tmp_path: Path) -> None:
    hub.store.create("lab/secret", private=True)
    client(
        hub,
        tmp_path / "home",
        """
        head = api.dataset_info(repo).sha
        changes = [Add("new", b"1"), Delete("README.md")]
        pull = api.create_commit(repo, changes, commit_message="pr", create_pr=True, **kind)
        assert (pull.pr_num, pull.pr_revision) == (1, "refs/pr/1") and api.dataset_info(repo).sha == head
        assert api.dataset_info(repo, revision="refs/pr/1").sha == pull.oid
        more = api.create_commit(repo, [Add("data/b.parquet", b"2")], commit_message="m", revision="refs/pr/1", **kind)
        api.create_commit(repo, [Add("other", b"3")], commit_message="meanwhile", **kind)
        details = api.get_discussion_details(repo, 1, **kind)
        assert (details.status, details.conflicting_files, details.target_branch) == ("draft", [], "refs/heads/main")
        api.merge_pull_request(repo, 1, **kind)
        details = api.get_discussion_details(repo, 1, **kind)
        assert details.status == "merged" and details.merge_commit_oid == api.dataset_info(repo).sha
        names = api.list_repo_files(repo, **kind)
        assert names == [".gitattributes", "data/b.parquet", "data/train-0.parquet", "new", "other"]
        refs = api.list_repo_refs(repo, include_pull_requests=True, **kind)
        assert [p.ref for p in refs.pull_requests] == ["refs/pr/1"]

        second = api.create_pull_request(repo, title="a second one", **kind)
        api.create_commit(repo, [Add("other", b"theirs")], commit_message="x", revision=second.git_reference, **kind)
        api.create_commit(repo, [Add("other", b"ours")], commit_message="y", **kind)
        assert api.get_discussion_details(repo, 2, **kind).conflicting_files == ["other"]
        assert status(api.merge_pull_request, repo, 2, **kind) == 409

        api.create_branch(repo, branch="side", revision=head, **kind)
        assert status(api.create_branch, repo, branch="side", **kind) == 409
        assert api.dataset_info(repo, revision="side").sha == head
        api.delete_branch(repo, branch="side", **kind)
        for call, error in [
            (lambda: api.dataset_info(repo, revision="side"), RevisionNotFoundError),
            (lambda: api.hf_hub_download(repo, "gone", **kind), EntryNotFoundError),
            (lambda: api.dataset_info("lab/nothing"), RepositoryNotFoundError),
            (lambda: api.dataset_info("lab/secret", token=False), RepositoryNotFoundError),
        ]:
            try:
                call()
            except error:
                continue
            raise AssertionError(error)
        assert api.dataset_info("lab/secret").private and api.whoami()["name"] == "lab"
        assert status(api.create_commit, repo, [Add("a", b"a")], commit_message="no token", token=False, **kind) == 401
        assert status(api.dataset_info, "lab/secret", token="wrong") == 401

        from huggingface_hub import DatasetCard
        DatasetCard("---\\nlicense: cc-by-sa-4.0\\n---\\n").validate()
        try:
            api.create_commit(repo, [Add("README.md", b"---\\na: [\\n---\\n")], commit_message="bad", **kind)
        except ValueError as error:
            assert "Invalid metadata" in str(error)
        else:
            raise AssertionError
        """,
    )


def test_push_to_hub_and_upload_folder_work_as_well(hub: HubDouble, tmp_path: Path) -> None:
    client(
        hub,
        tmp_path / "home",
        """
        from datasets import Dataset, load_dataset
        Dataset.from_dict({"x": [1, 2, 3]}).push_to_hub("lab/pushed", "wsi_split")
        assert load_dataset("lab/pushed", "wsi_split", split="train")["x"][:] == [1, 2, 3]
        pathlib.Path("up/sub").mkdir(parents=True)
        pathlib.Path("up/sub/a.bin").write_bytes(b"\\0" * 1000)
        pathlib.Path("up/b.txt").write_text("b")
        api.create_repo("lab/up", **kind)
        api.upload_folder(repo_id="lab/up", folder_path="up", **kind)
        assert pathlib.Path(api.snapshot_download("lab/up", **kind), "sub/a.bin").read_bytes() == b"\\0" * 1000
        """,
    )


def test_an_upload_that_breaks_is_tried_again(hub: HubDouble, repo: Repo, tmp_path: Path) -> None:
    hub.fail("drop", method="PUT")
    client(
        hub, tmp_path / "home", 'api.create_commit(repo, [Add("a.bin", bytes(2_000_000))], commit_message="a", **kind)'
    )
    first, second = [request for request in hub.requests if request.method == "PUT"]
    assert 0 < first.received < second.received == 2_000_000
    assert (first.status, second.status) == (0, 200)
    assert repo.read("main", "a.bin") == bytes(2_000_000)


def test_faults_of_a_commit(hub: HubDouble, repo: Repo, tmp_path: Path) -> None:
    before = repo.refs["main"]
    hub.fail("status", path="/commit/", status=500)
    hub.fail("race", path="/commit/", nth=2)
    hub.fail("lost", path="/commit/", nth=3)
    client(
        hub,
        tmp_path / "home",
        """
        head = api.dataset_info(repo).sha
        def commit(parent):
            return api.create_commit(repo, [Add("a.bin", bytes(9))], commit_message="a", parent_commit=parent, **kind)
        assert status(commit, head) == 500 and api.dataset_info(repo).sha == head
        assert status(commit, head) == 412
        now = api.dataset_info(repo)
        assert now.sha != head and "someone.txt" in [s.rfilename for s in now.siblings]
        try:
            commit(now.sha)
        except Exception as error:
            assert not isinstance(error, HfHubHTTPError), error  # no answer at all,
        assert api.list_repo_commits(repo, **kind)[0].title == "a"  # though it was done
        """,
    )
    assert [c.title for c in repo.history("main")][:2] == ["a", "by someone else"]
    assert before in [c.oid for c in repo.history("main")]
    # The object was sent once: it is there at the second and third attempt.
    assert [r.received for r in hub.requests if r.method == "PUT"] == [9]


def test_wrong_bytes_are_refused_and_rotten_ones_are_only_seen_when_read(
    hub: HubDouble,
    repo: Repo,
    tmp_path: Path,
) -> None:
    hub.fail("garble", method="PUT")
    hub.fail("rot", method="PUT", nth=2)
    client(
        hub,
        tmp_path / "home",
        """
        data = bytes(range(256)) * 100
        adds = lambda: [Add("a.bin", data)]
        try:
            api.create_commit(repo, adds(), commit_message="garbled", **kind)
        except RuntimeError as error:
            assert "BadDigest" in str(error.__cause__)
        else:
            raise AssertionError
        made = api.create_commit(repo, adds(), commit_message="rots", **kind)
        [entry] = api.get_paths_info(repo, ["a.bin"], revision=made.oid, **kind)
        assert entry.lfs.sha256 == hashlib.sha256(data).hexdigest()  # what is declared is right
        stored = pathlib.Path(api.hf_hub_download(repo, "a.bin", **kind)).read_bytes()
        assert stored != data and len(stored) == len(data)
        """,
    )
    assert [r.status for r in hub.requests if r.method == "PUT"] == [400, 200]


def test_an_interruption_can_be_put_at_each_request(hub: HubDouble, repo: Repo, tmp_path: Path) -> None:
    code = """
        def publish():
            head = api.dataset_info(repo).sha
            adds = [Add(f"{i}.bin", bytes([i]) * 5000) for i in (1, 2)]
            commit = api.create_commit(repo, adds, commit_message="v", parent_commit=head, **kind)
            api.create_tag(repo, tag="v1", revision=commit.oid, **kind)

        for _ in range(20):
            input()
            try:
                publish()
            except (HfHubHTTPError, RuntimeError):
                print("interrupted", flush=True)
            else:
                print("published", flush=True)
    """
    pipe, environment = subprocess.PIPE, hub.environment(tmp_path)
    command = [sys.executable, "-c", PRELUDE + textwrap.dedent(code)]
    with subprocess.Popen(command, env=environment, text=True, stdin=pipe, stdout=pipe) as process:
        assert process.stdin
        assert process.stdout
        answers: list[str] = []
        while "published\n" not in answers:
            assert "v1" not in repo.tags
            hub.faults.clear()
            hub.interrupt(len(answers) + 1)
            print(file=process.stdin, flush=True)
            answers.append(process.stdout.readline())
            assert answers[-1]
        process.kill()
    # Info, modes, batch; the PUT and verify of two objects; commit; tag. (An object that is there is not sent again.)
    assert 6 <= len(answers) - 1 <= 9
    assert repo.resolve("v1").title == "v"
    assert sum(r.received for r in hub.requests if r.method == "PUT" and r.status == 200) == 10_000


def get(hub: HubDouble, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    request = urllib.request.Request(f"{hub.url}/datasets/lab/data/resolve/main/{path}", headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read(), dict(error.headers)


@pytest.mark.parametrize(
    ("span", "status", "expected"),
    [
        ("bytes=0-3", 206, slice(0, 4)),
        ("bytes=4-", 206, slice(4, None)),
        ("bytes=-4", 206, slice(-4, None)),
        ("bytes=8-999999", 206, slice(8, None)),
        ("bytes=999999-", 416, slice(0, 0)),
        ("lines=1-2", 200, slice(None)),
    ],
)
def test_ranges(hub: HubDouble, repo: Repo, span: str, status: int, expected: slice) -> None:
    whole = repo.read("main", "data/train-0.parquet")
    got, body, headers = get(hub, "data/train-0.parquet", Range=span)
    assert (got, body) == (status, whole[expected])
    if status == 206:
        assert headers["ETag"] == headers["X-Linked-Etag"] == f'"{hashlib.sha256(whole).hexdigest()}"'
        assert headers["Content-Range"].endswith(f"/{len(whole)}")


def test_a_download_that_is_cut_and_an_object_that_rots(hub: HubDouble, repo: Repo) -> None:
    whole = repo.read("main", "data/train-0.parquet")
    hub.fail("drop", method="GET")
    with pytest.raises(http.client.IncompleteRead) as caught:
        get(hub, "data/train-0.parquet")
    assert caught.value.partial == whole[: len(whole) // 2]
    repo.rot(repo.file("main", "data/train-0.parquet").sha256)
    body = get(hub, "data/train-0.parquet")[1]
    assert len(body) == len(whole)
    assert sum(a != b for a, b in zip(body, whole, strict=True)) == 1


def test_a_fault_has_to_be_one_that_is_known(hub: HubDouble) -> None:
    with pytest.raises(ValueError, match="explode"):
        hub.fail("explode")  # type: ignore[arg-type]


def test_the_chunks_that_xet_would_send_can_be_counted(hub: HubDouble, repo: Repo, tmp_path: Path) -> None:
    pytest.importorskip("hf_xet")
    hub.store.xet_folder = tmp_path / "chunks"
    hub.store.xet_folder.mkdir()
    data = random.Random(1).randbytes(4_000_000)
    sent = [0]
    for content in (data, data[:2_000_000] + b"inserted" + data[2_000_000:]):
        (tmp_path / "a.bin").write_bytes(content)
        code = 'api.preupload_lfs_files(repo, [Add("a.bin", "../a.bin")], **kind)'
        client(hub, tmp_path / "home", code, HF_HUB_DISABLE_XET="0")
        sent.append(hub.xet_bytes())
    assert 4_000_000 <= sent[1] < 4_100_000
    assert 0 < sent[2] - sent[1] < 400_000
    assert hub.received("PUT") == 0
