"""Publishing: version after version through the real client, and everything that can go wrong on the way."""

from __future__ import annotations

import io
import re
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from editions import Spot, contents, list_companions, plan_slides, write_edition
from her2_ihc_40x_builder.cli import main
from her2_ihc_40x_builder.shards.files import Shard, Sides
from her2_ihc_40x_builder.shards.manifest import Companion, read_manifest
from hub_client import HubClient, Ran
from hub_double import HubDouble
from hub_store import Repo, flip

SLIDES = plan_slides()
TOKEN = "hf_SecretOfTheLab"
#: One slide changed: another patch in place of its last.
CHANGED = {**SLIDES, "slide-1": [*SLIDES["slide-1"][:-1], Spot("slide-1_new", "1+", Sides("train", "test"), 77)]}


class Lab:
    """A publisher: a client, the double, and a repo of its own for each test."""

    def __init__(self, hub: HubDouble, client: HubClient, repo: str) -> None:
        self.hub, self.client, self.repo_id = hub, client, repo

    @property
    def repo(self) -> Repo:
        return self.hub.store.repos[self.repo_id]

    def arguments(self, folder: Path, version: str, *options: str) -> list[str | Path]:
        return ["publish", folder, "--repo", self.repo_id, "--version", version, "--workers", "1", *options]

    def publish(self, folder: Path, version: str, *options: str) -> Ran:
        return self.client.run(*self.arguments(folder, version, "--i-may-share-this", *options))

    def published(self, folder: Path, version: str, *options: str) -> Ran:
        done = self.publish(folder, version, *options)
        assert done.code == 0, done.err
        return done

    def sent_since(self, start: int) -> int:
        return sum(r.received for r in self.hub.requests[start:])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HubDouble, HubClient]]:
    home = tmp_path_factory.mktemp("home") / "client"
    with HubDouble(token=TOKEN) as hub, HubClient(hub, home) as client:
        yield hub, client


@pytest.fixture
def lab(running: tuple[HubDouble, HubClient]) -> Iterator[Lab]:
    hub, client = running
    hub.faults.clear()
    hub.held.clear()
    hub.released.clear()
    yield Lab(hub, client, f"lab/data-{len(hub.store.repos)}")
    hub.released.set()
    hub.faults.clear()


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_edition(tmp_path_factory.mktemp("first") / "her2-ihc-40x", SLIDES)


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_edition(tmp_path_factory.mktemp("second") / "her2-ihc-40x", CHANGED)


def shards_of(folder: Path) -> list[Shard]:
    return sorted(read_manifest(folder).shards)


def assert_holds(repo: Repo, revision: str, folder: Path) -> None:
    """A revision holds the folder's files, byte by byte, and nothing besides."""
    files = set(repo.resolve(revision).files) - {".gitattributes"}
    assert files == set(contents(folder))
    for path in files:
        assert repo.read(revision, path) == (folder / path).read_bytes(), path


def test_a_first_version(lab: Lab, first: Path) -> None:
    before = contents(first)
    dry = lab.client.run(*lab.arguments(first, "1.0.0", "--dry-run"))
    assert dry.code == 0, dry.err
    assert lab.repo_id not in lab.hub.store.repos
    total = sum((first / path).stat().st_size for path in before)
    assert f"bytes to send: {total}" in dry.out
    assert "--i-may-share-this" in dry.out
    assert "added: 4 slides or blocks (slide-0, slide-1, slide-2, slide-3)" in dry.out
    assert "wsi_split test 3+: 0 -> 4 patches" in dry.out

    done = lab.published(first, "1.0.0", "--private", "--deep")
    assert "published v1.0.0: commit" in done.out
    assert [commit.title for commit in lab.repo.history("main")] == ["Version 1.0.0", "initial commit"]
    assert lab.repo.tags["v1.0.0"] == lab.repo.refs["main"]
    assert lab.repo.private
    assert_holds(lab.repo, "v1.0.0", first)

    # Once more: it is there, and stays.
    refs, start = dict(lab.repo.tags), len(lab.hub.requests)
    assert "it was there already" in lab.published(first, "1.0.0").out
    assert lab.repo.tags == refs
    assert len(lab.repo.history("main")) == 2
    assert not [r for r in lab.hub.requests[start:] if r.method == "PUT" or "/commit/" in r.path or "/tag/" in r.path]
    assert contents(first) == before


def test_a_second_version_sends_what_changed(lab: Lab, first: Path, second: Path) -> None:
    lab.published(first, "1.0.0")
    lab.repo.add({"theirs.txt": b"of somebody else"})
    start = len(lab.hub.requests)
    done = lab.published(second, "1.1.0")
    old, new = set(shards_of(first)), set(shards_of(second))
    assert {shard.unit for shard in new - old} == {"slide-1"}
    assert "changed: 1 slides or blocks (slide-1)" in done.out
    puts = {r.path.split("/")[-2]: r.received for r in lab.hub.requests[start:] if r.method == "PUT"}
    assert puts == {shard.sha256: shard.bytes for shard in new - old}
    # Card and manifest travel in the commit, in base64; the rest are questions.
    meta = sum((second / name).stat().st_size for name in ("README.md", "manifest.json"))
    commit = sum(r.received for r in lab.hub.requests[start:] if "/commit/" in r.path)
    assert meta < commit < 1.4 * meta + 2000
    assert set(lab.repo.resolve("v1.1.0").files) - set(lab.repo.resolve("v1.0.0").files) == {"theirs.txt"}
    assert_holds(lab.repo, "v1.0.0", first)
    for shard in new:
        assert lab.repo.read("v1.1.0", shard.path) == (second / shard.path).read_bytes()


def test_what_is_gone_is_deleted_and_what_is_not_ours_stays(lab: Lab, first: Path, tmp_path: Path) -> None:
    lab.published(first, "1.0.0")
    lab.repo.add({"notes/theirs.parquet": b"PAR1", "figures/old.png": b"\0png"})
    fewer = write_edition(tmp_path / "fewer", {k: v for k, v in SLIDES.items() if k != "slide-2"})
    done = lab.published(fewer, "2.0.0")
    gone = {shard.path for shard in shards_of(first) if shard.unit == "slide-2"}
    assert "removed: 1 slides or blocks (slide-2)" in done.out
    assert set(lab.repo.resolve("v1.0.0").files) - set(lab.repo.resolve("v2.0.0").files) == gone
    assert {"notes/theirs.parquet", "figures/old.png", ".gitattributes"} <= set(lab.repo.resolve("v2.0.0").files)


def test_a_figure_that_is_gone_is_deleted(lab: Lab, first: Path, second: Path, tmp_path: Path) -> None:
    drawn = shutil.copytree(first, tmp_path / "drawn")
    (drawn / "figures").mkdir()
    (drawn / "figures" / "slides.png").write_bytes(b"\x89PNG")
    lab.published(list_companions(drawn), "1.0.0")
    done = lab.published(second, "1.1.0")
    assert "removed: 1 files (figures/slides.png)" in done.out
    assert_holds(lab.repo, "v1.0.0", drawn)
    assert_holds(lab.repo, "v1.1.0", second)


def test_only_names_of_companions_are_believed_of_a_manifest(lab: Lab, first: Path, second: Path) -> None:
    lab.published(first, "1.0.0")
    manifest = read_manifest(first)
    listed = [*manifest.companions, *(Companion(path, "0", 1) for path in (".gitattributes", "LICENSE", "../up"))]
    text = replace(manifest, companions=listed).to_json()
    lab.repo.add({"manifest.json": text.encode(), "LICENSE": b"theirs"})
    lab.published(second, "1.1.0")
    assert {".gitattributes", "LICENSE"} <= set(lab.repo.resolve("v1.1.0").files)


@pytest.mark.parametrize("damage", [b'{"files": ', b"[1]", b'"counts": 9,'])
def test_a_damaged_manifest_on_the_hub_is_said_to_be_there(lab: Lab, first: Path, second: Path, damage: bytes) -> None:
    lab.published(first, "1.0.0")
    if damage.startswith(b'"counts"'):
        damage = re.sub(rb'"counts": \{.*?\n  \},', damage, (first / "manifest.json").read_bytes(), flags=re.DOTALL)
    lab.repo.add({"manifest.json": damage})
    done = lab.publish(second, "1.1.0")
    assert done.code == 1
    assert f"manifest.json of {lab.repo_id}@" in done.err
    assert "Put manifest.json of the last version back" in done.err
    assert "Traceback" not in done.err


def test_a_repo_of_many_files_is_listed_page_by_page(
    lab: Lab, first: Path, second: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab.hub.store, "tree_page", 3)
    lab.published(first, "1.0.0")
    lab.repo.add({"data/wsi_train/patch_train/zzz.parquet": b"PAR1"})
    # The last page is looked at too, for files of others as for those that are there already.
    assert "found data/wsi_train/patch_train/zzz.parquet" in lab.publish(second, "1.1.0").err
    lab.repo.refs["main"] = lab.repo.tags["v1.0.0"]
    lab.published(second, "1.1.0")
    assert_holds(lab.repo, "v1.1.0", second)
    assert [r for r in lab.hub.requests if "cursor=6" in r.path]


def test_a_namespace_of_somebody_else(lab: Lab, first: Path) -> None:
    theirs = lab.hub.store.create(f"other/{lab.repo_id.split('/')[1]}")
    for repo in (theirs.id, "other/new"):
        lab.repo_id = repo
        done = lab.publish(first, "1.0.0")
        assert done.code == 1
        assert "HTTP 403" in done.err
        assert "as one who may write there" in done.err
    assert len(theirs.history("main")) == 1
    assert not theirs.tags


def test_who_may_not_write_is_told_to_log_in(lab: Lab, first: Path) -> None:
    lab.hub.fail("status", path="/repos/create", status=403)
    told = lab.publish(first, "1.0.0").err
    assert "hf auth login" in told
    assert "Run it again" not in told


def test_versions_that_are_refused(lab: Lab, first: Path, second: Path) -> None:
    lab.published(first, "1.0.0")
    head = lab.repo.refs["main"]
    for version, option, told in [
        ("1.0.0", None, "A tag is never moved"),
        ("0.9.0", None, "newer than 1.0.0"),
        ("1.0.1", None, "since data changed"),
        ("1.1.0", "--private", "found a public one"),
        ("1.1.0", "--finish=1", "No discussion 1"),
    ]:
        done = lab.publish(second, version, *([option] if option else []))
        assert done.code == 1
        assert told in done.err
        assert (lab.repo.refs["main"], list(lab.repo.tags)) == (head, ["v1.0.0"])


def test_the_same_files_are_no_new_version(lab: Lab, first: Path, tmp_path: Path) -> None:
    lab.published(first, "1.0.0")
    lab.repo.add({"theirs.txt": b"meanwhile"})
    assert "the same files" in lab.publish(first, "1.1.0").err
    # A card alone may be a patch.
    card = shutil.copytree(first, tmp_path / "card")
    (card / "README.md").write_text((card / "README.md").read_text() + "\nA word more.\n")
    list_companions(card)
    start = len(lab.hub.requests)
    lab.published(card, "1.0.1")
    assert not [r for r in lab.hub.requests[start:] if r.method == "PUT"]


def test_what_is_not_in_order_is_not_published(lab: Lab, first: Path, shards: Path, tmp_path: Path) -> None:
    start = len(lab.hub.requests)
    unlicensed = lab.publish(shards, "1.0.0").err
    assert "expected a licence, found unknown" in unlicensed
    assert f"her2-ihc-40x card {shards} --license ID" in unlicensed
    assert "Check the path" in lab.publish(tmp_path / "nowhere", "1.0.0").err
    for repo in ("../x", "lab/x.git", "x", "lab/a/b", "lab/d\u00e4ta"):
        other = lab.client.run("publish", first, "--repo", repo, "--version", "1.0.0")
        assert "expected a repo as NAMESPACE/NAME" in other.err, repo
    broken = shutil.copytree(first, tmp_path / "broken")
    victim = broken / shards_of(first)[0].path
    victim.write_bytes(flip(victim.read_bytes()))
    assert "1 problems, first: data/" in lab.publish(broken, "1.0.0").err
    assert lab.hub.requests[start:] == []
    told = lab.client.run(*lab.arguments(first, "1.0.0"))
    assert "--i-may-share-this" in told.err
    assert lab.repo_id not in lab.hub.store.repos
    for wrong in ("1.0", "v1.0.0", "1.0.0-rc1", "01.0.0"):
        assert lab.publish(first, wrong).code == 2


def test_ids_that_look_identifying_are_published_only_after_a_review(lab: Lab, tmp_path: Path) -> None:
    spots = list(SLIDES.values())
    start = len(lab.hub.requests)
    folder = write_edition(tmp_path / "named", {"S21-12345": spots[0], "slide-1": spots[1]})
    dry = lab.client.run(*lab.arguments(folder, "1.0.0", "--dry-run"))
    assert dry.code == 0
    assert "suspect: S21-12345 looks like an accession number (file name, manifest.json, slide_id)" in dry.out
    refused = lab.publish(folder, "1.0.0")
    assert refused.code == 1
    assert "--pseudonymize" in refused.err
    code = re.search("--these-ids-are-safe ([0-9a-f]{12})", refused.err)
    assert code
    more = write_edition(tmp_path / "more", {"S21-12345": spots[0], "Doe_John": spots[1]})
    assert "another list" in lab.publish(more, "1.0.0", "--these-ids-are-safe", code[1]).err
    assert not [r for r in lab.hub.requests[start:] if r.method in ("POST", "PUT")]
    assert lab.repo_id not in lab.hub.store.repos
    lab.published(folder, "1.0.0", "--these-ids-are-safe", code[1])


def test_files_of_others_among_the_data(lab: Lab, first: Path) -> None:
    theirs = "data/wsi_train/patch_test/theirs.parquet"
    lab.hub.store.create(lab.repo_id).add({theirs: b"PAR1"})
    refused_for(lab, first, theirs)


@pytest.mark.parametrize("name", ["{}.py", "dataset_infos.json", ".huggingface.yaml"])
def test_files_at_the_root_that_break_loading(lab: Lab, first: Path, name: str) -> None:
    name = name.format(lab.repo_id.split("/")[1])
    lab.hub.store.create(lab.repo_id).add({name: b"{", "convert.py": b"print()"})
    refused_for(lab, first, name)


def refused_for(lab: Lab, folder: Path, name: str) -> None:
    assert f"read by datasets: {name}\n" in lab.client.run(*lab.arguments(folder, "1.0.0", "--dry-run")).out
    done = lab.publish(folder, "1.0.0")
    assert done.code == 1
    assert f"found {name}" in done.err
    assert "delete it on the Hub" in done.err
    assert lab.repo.tags == {}
    assert len(lab.repo.history("main")) == 2


def test_a_card_that_was_edited_on_the_hub_is_told_of(lab: Lab, first: Path, second: Path) -> None:
    lab.published(first, "1.0.0")
    assert "edited" not in lab.client.run(*lab.arguments(second, "1.1.0", "--dry-run")).out
    lab.repo.add({"README.md": b"---\nlicense: mit\n---\nBy hand.\n", "notes.txt": b"theirs"})
    told = lab.client.run(*lab.arguments(second, "1.1.0", "--dry-run")).out
    assert told.count("edited") == 1
    assert "edited on the Hub since v1.0.0, will be replaced: README.md\n" in told


@pytest.mark.parametrize(
    ("setting", "told"),
    [({"HF_HUB_OFFLINE": "1"}, "Unset HF_HUB_OFFLINE"), ({"HF_TOKEN": "hf_\u00e4\u00f6"}, "Log in")],
)
def test_settings_of_the_client_that_do_not_work(lab: Lab, tmp_path: Path, setting: dict[str, str], told: str) -> None:
    command = [sys.executable, "-m", "her2_ihc_40x_builder", "versions", "lab/data"]
    environment = lab.hub.environment(tmp_path) | {"PYTHONIOENCODING": "utf-8"} | setting
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert "\u00e4" not in done.stderr


def test_two_publishers(lab: Lab, first: Path, second: Path, tmp_path: Path) -> None:
    lab.published(first, "1.0.0")
    third = write_edition(tmp_path / "third", {**SLIDES, "slide-9": plan_slides(10)["slide-9"]})
    with HubClient(lab.hub, tmp_path / "home") as other:
        lab.hub.fail("hold", path="/commit/")
        other.start(*lab.arguments(third, "1.1.0", "--i-may-share-this"))
        assert lab.hub.held.wait(60)
        lab.published(second, "1.1.0")
        lab.hub.released.set()
        lost = other.end()
    assert lost.code == 1
    assert "a commit that came meanwhile" in lost.err
    assert [commit.title for commit in lab.repo.history("main")][:2] == ["Version 1.1.0", "Version 1.0.0"]
    assert_holds(lab.repo, "main", second)
    assert_holds(lab.repo, "v1.1.0", second)
    # The loser, told, gives a new version: what it sent is not sent again.
    start = len(lab.hub.requests)
    lab.published(third, "1.2.0")
    assert [r for r in lab.hub.requests[start:] if r.method == "PUT" and "slide-9" in r.path] == []
    assert_holds(lab.repo, "v1.2.0", third)


def test_an_interruption_at_each_request(lab: Lab, tmp_path: Path) -> None:
    slides = plan_slides(2, 1)
    folder = write_edition(tmp_path / "her2-ihc-40x", slides)
    start, runs = len(lab.hub.requests), 0
    while True:
        lab.hub.faults.clear()
        lab.hub.interrupt(runs + 1)
        done = lab.publish(folder, "1.0.0")
        if done.code == 0:
            break
        assert done.err.startswith("her2-ihc-40x: "), done.err
        assert "Traceback" not in done.err
        runs += 1
        assert runs < 80
    assert runs > 10
    titles = [commit.title for commit in lab.repo.history("main")]
    assert titles == ["Version 1.0.0", "initial commit"]
    assert_holds(lab.repo, "v1.0.0", folder)
    puts = [r.path for r in lab.hub.requests[start:] if r.method == "PUT" and r.status == 200]
    assert len(puts) == len(set(puts)) == 2
    tags = [r for r in lab.hub.requests[start:] if "/tag/" in r.path and r.status == 200]
    assert len(tags) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="there a process is not sent Ctrl-C alone")
def test_control_c_ends_an_upload_at_once(lab: Lab, first: Path, tmp_path: Path) -> None:
    lab.hub.fail("hold", method="PUT")
    command = [sys.executable, "-m", "her2_ihc_40x_builder", *lab.arguments(first, "1.0.0", "--i-may-share-this")]
    with subprocess.Popen(
        command,
        env=lab.hub.environment(tmp_path),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert lab.hub.held.wait(60)
        process.send_signal(signal.SIGINT)
        # The upload is still held: who waited for it would wait for ever.
        _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted; run it again" in told
    lab.hub.released.set()
    lab.published(first, "1.0.0", "--deep")
    assert_holds(lab.repo, "v1.0.0", first)


@pytest.mark.parametrize("path", ["/commit/", "/tag/"])
def test_an_answer_that_is_lost(lab: Lab, first: Path, path: str) -> None:
    lab.hub.fail("lost", path=path)
    done = lab.publish(first, "1.0.0")
    assert done.code == 1
    assert "Run it again" in done.err
    start = len(lab.hub.requests)
    lab.published(first, "1.0.0")
    assert [commit.title for commit in lab.repo.history("main")] == ["Version 1.0.0", "initial commit"]
    assert lab.hub.received("PUT") > 0
    assert [r for r in lab.hub.requests[start:] if r.method == "PUT"] == []


def test_a_connection_that_drops_and_a_commit_that_fails(lab: Lab, first: Path) -> None:
    start = len(lab.hub.requests)
    lab.hub.fail("drop", method="PUT")
    lab.hub.fail("status", path="/commit/", status=500)
    failed = lab.publish(first, "1.0.0")
    assert "HTTP 500" in failed.err
    assert "Run it again" in failed.err
    assert len(lab.repo.history("main")) == 1
    puts = [r for r in lab.hub.requests[start:] if r.method == "PUT"]
    assert sum(r.status == 0 for r in puts) == 1
    assert sum(r.received for r in puts if r.status == 200) == sum(shard.bytes for shard in shards_of(first))
    start = len(lab.hub.requests)
    lab.published(first, "1.0.0", "--deep")
    assert not [r for r in lab.hub.requests[start:] if r.method == "PUT"]
    assert_holds(lab.repo, "v1.0.0", first)


def test_bytes_that_turn_on_the_way_are_refused(lab: Lab, first: Path) -> None:
    lab.hub.fail("garble", method="PUT")
    done = lab.publish(first, "1.0.0")
    assert done.code == 1
    assert len(lab.repo.history("main")) == 1
    lab.published(first, "1.0.0", "--deep")


def rot_at(repo: Repo, shard: Shard, position: int) -> None:
    data = repo.objects[shard.sha256]
    repo.objects[shard.sha256] = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


@pytest.mark.parametrize(("part", "seen_by_rows"), [("first image", True), ("footer", True), ("last image", False)])
def test_a_corrupt_object_is_found_before_the_tag(lab: Lab, tmp_path: Path, part: str, seen_by_rows: bool) -> None:
    folder = write_edition(tmp_path / "her2-ihc-40x", plan_slides(1, 3))
    shard = shards_of(folder)[0]
    data = (folder / shard.path).read_bytes()
    images = pq.read_table(io.BytesIO(data))["image"].to_pylist()
    positions = {
        "first image": data.index(images[0]["bytes"]) + 60,
        "last image": data.index(images[-1]["bytes"]) + 60,
        "footer": len(data) - 6,
    }
    lab.hub.fail("hold", path="/commit/")
    lab.client.start(*lab.arguments(folder, "1.0.0", "--i-may-share-this", *([] if seen_by_rows else ["--deep"])))
    assert lab.hub.held.wait(60)
    rot_at(lab.repo, shard, positions[part])
    lab.hub.released.set()
    done = lab.client.end()
    assert done.code == 1
    assert "not tagged" in done.err
    assert shard.path in done.err
    assert lab.repo.tags == {}
    if not seen_by_rows:
        # Only --deep looks there.
        lab.published(folder, "1.0.0")


def test_a_rotten_object_is_deleted_on_the_hub_and_sent_anew(lab: Lab, tmp_path: Path) -> None:
    folder = write_edition(tmp_path / "her2-ihc-40x", plan_slides(1, 3))
    shard = shards_of(folder)[0]
    lab.hub.fail("rot", method="PUT", path=shard.sha256)
    for _ in range(2):
        told = lab.publish(folder, "1.0.0", "--deep").err
        assert f"{shard.path} of" in told
        assert "LFS files" in told
        assert lab.repo.tags == {}
    lab.repo.forget(shard.sha256)
    lab.published(folder, "1.0.0", "--deep")
    assert_holds(lab.repo, "v1.0.0", folder)


def test_a_corrupt_manifest_is_found_before_the_tag(lab: Lab, first: Path) -> None:
    lab.hub.fail("hold", path="/revision/")  # asked for once the commit is made
    lab.client.start(*lab.arguments(first, "1.0.0", "--i-may-share-this"))
    assert lab.hub.held.wait(60)
    sha256 = lab.repo.file("main", "manifest.json").sha256
    lab.repo.rot(sha256)
    lab.hub.released.set()
    done = lab.client.end()
    assert done.code == 1
    assert f"expected sha256 {sha256}" in done.err
    assert lab.repo.tags == {}


def test_checking_reads_a_row_of_each_file(lab: Lab, tmp_path: Path) -> None:
    # 48 images of 200 kB in 2 files of one split: a row of each, and a row group for `datasets`.
    sides = Sides("train", "none")
    slides = {f"slide-{s}": [Spot(f"{s}_{p}", "0", sides, 100 * s + p) for p in range(24)] for s in range(2)}
    folder = write_edition(tmp_path / "her2-ihc-40x", slides, size=256)
    start = len(lab.hub.requests)
    lab.published(folder, "1.0.0")
    read: dict[str, int] = {}
    for request in lab.hub.requests[start:]:
        if "/resolve/" in request.path and request.path.endswith(".parquet"):
            read[request.path] = read.get(request.path, 0) + request.sent
    assert len(read) == 2
    assert 200_000 < min(read.values()) < 700_000
    assert sum(read.values()) < 0.75 * sum(shard.bytes for shard in shards_of(folder))


def test_a_folder_that_changes_meanwhile_is_not_tagged(lab: Lab, first: Path, second: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(first, tmp_path / "her2-ihc-40x")
    lab.hub.fail("hold", path="/api/repos/create")
    lab.client.start(*lab.arguments(folder, "1.0.0", "--i-may-share-this"))
    assert lab.hub.held.wait(60)
    shutil.copytree(second, folder, dirs_exist_ok=True)
    lab.hub.released.set()
    done = lab.client.end()
    assert done.code == 1
    assert "It was not tagged" in done.err
    assert lab.repo.tags == {}


def test_a_pull_request(lab: Lab, first: Path, second: Path) -> None:
    lab.published(first, "1.0.0")
    head = lab.repo.refs["main"]
    done = lab.published(second, "1.1.0", "--pr")
    assert "--finish 1" in done.out
    assert (lab.repo.refs["main"], list(lab.repo.tags)) == (head, ["v1.0.0"])
    lab.repo.branch("refs/pr/2", "main")
    lab.repo.add({"manifest.json": b"of a stranger"}, branch="refs/pr/2")
    again = lab.published(second, "1.1.0", "--pr")
    assert "pull request 1 (it was there already)" in again.out
    assert len(lab.repo.pulls) == 1

    finish = [*lab.arguments(second, "1.1.0"), "--finish", "1"]
    early = lab.client.run(*finish)
    assert "status draft" in early.err
    merged = lab.repo.merge(1)
    lab.repo.add({"later.txt": b"after the merge"})
    wrong = lab.client.run(*lab.arguments(first, "1.1.0"), "--finish", "1")
    assert wrong.code == 1
    assert list(lab.repo.tags) == ["v1.0.0"]
    done = lab.client.run(*finish)
    assert done.code == 0, done.err
    assert lab.repo.tags["v1.1.0"] == merged.oid
    assert "it was there already" in lab.client.run(*finish).out
    assert_holds(lab.repo, "v1.1.0", second)


def test_a_pull_request_of_another_version_is_not_finished(lab: Lab, first: Path, second: Path) -> None:
    lab.published(first, "1.0.0")
    lab.published(second, "1.1.0", "--pr")
    # The same files under another number are another pull request.
    assert "--finish 2" in lab.published(second, "1.2.0", "--pr").out
    merged = lab.repo.merge(1)
    told = lab.client.run(*lab.arguments(second, "1.2.0"), "--finish", "1").err
    assert "expected the title 'Version 1.2.0', found 'Version 1.1.0'" in told
    assert list(lab.repo.tags) == ["v1.0.0"]
    lab.repo.pulls[1].title = "A title of the reviewer's"
    done = lab.client.run(*lab.arguments(second, "1.1.0"), "--finish", "1")
    assert done.code == 0, done.err
    assert lab.repo.tags["v1.1.0"] == merged.oid


def test_suspect_ids_are_listed_before_the_hub_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_edition(tmp_path / "named", {"S21-12345": SLIDES["slide-0"]})
    assert main(["publish", str(folder), "--repo", "lab/data", "--version", "1.0.0", "--dry-run"]) == 1  # offline
    out, err = capsys.readouterr()
    assert out == "suspect: S21-12345 looks like an accession number (file name, manifest.json, slide_id)\n"
    assert "offline" in err


def test_ids_are_asked_for_again_when_a_pull_request_is_finished(lab: Lab, tmp_path: Path) -> None:
    folder = write_edition(tmp_path / "named", {"S21-12345": SLIDES["slide-0"]})
    code = re.search("--these-ids-are-safe ([0-9a-f]{12})", lab.publish(folder, "1.0.0").err)
    assert code
    word = ["--these-ids-are-safe", code[1]]
    assert " ".join(["--finish 1", *word]) in lab.published(folder, "1.0.0", "--pr", *word).out
    lab.repo.merge(1)
    finish = [*lab.arguments(folder, "1.0.0"), "--finish", "1"]
    assert "ids that identify nobody" in lab.client.run(*finish).err
    assert lab.repo.tags == {}
    assert lab.client.run(*finish, *word).code == 0


def test_a_pull_request_that_was_merged_with_a_change(lab: Lab, first: Path, second: Path) -> None:
    lab.published(first, "1.0.0")
    lab.published(second, "1.1.0", "--pr")
    lab.repo.add({"README.md": b"---\nlicense: mit\n---\n"}, branch="refs/pr/1")
    lab.repo.merge(1)
    done = lab.client.run(*lab.arguments(second, "1.1.0"), "--finish", "1")
    assert done.code == 1
    assert "README.md" in done.err
    assert list(lab.repo.tags) == ["v1.0.0"]


LOAD = """
import datasets
datasets.disable_progress_bars()
repo = {repo!r}
for tag, ids in {{"v1.0.0": "slide-1_3", "v1.1.0": "slide-1_new"}}.items():
    for config in ("wsi_split", "patch_split"):
        loaded = datasets.load_dataset(repo, config, revision=tag)
        streams = datasets.load_dataset(repo, config, revision=tag, streaming=True)
        rows = []
        for split in loaded:
            streamed = [row["patch_id"] for row in streams[split]]
            assert streamed == list(loaded[split]["patch_id"])
            rows += streamed
        assert len(rows) == 16 and ids in rows, (tag, config, rows)
        assert loaded["train"][0]["image"].size == (8, 8)
import sys
assert not [name for name in sys.modules if name.startswith("her2")]

import her2_ihc_40x
rows = her2_ihc_40x.load_dataset("patch_split", source=repo, revision="v1.1.0", split="test")
assert "slide-1_new" in rows["patch_id"]
rows = her2_ihc_40x.load_dataset(source=repo, revision="v1.0.0", split="train", streaming=True)
assert "slide-1_3" in [row["patch_id"] for row in rows]
"""


def test_versions_are_loaded_listed_and_compared(lab: Lab, first: Path, second: Path, tmp_path: Path) -> None:
    assert lab.client.run("versions", lab.repo_id).code == 1
    lab.published(first, "1.0.0")
    lab.published(second, "1.1.0")
    lab.repo.tags["not-a-version"] = lab.repo.refs["main"]

    script = tmp_path / "load.py"
    script.write_text(textwrap.dedent(LOAD).format(repo=lab.repo_id))
    environment = lab.hub.environment(tmp_path / "home")
    done = subprocess.run([sys.executable, script], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]

    listed = [line.split() for line in lab.client.run("versions", lab.repo_id).out.splitlines()]
    assert [(line[0], line[2], line[3]) for line in listed] == [
        ("v1.1.0", "16", read_manifest(second).digest),
        ("v1.0.0", "16", read_manifest(first).digest),
    ]
    assert all(re.fullmatch(r"2026-01-\d\d", line[1]) for line in listed)

    told = lab.client.run("diff", f"{lab.repo_id}@v1.0.0", second)
    assert told.code == 0, told.err
    assert "patches added (1+: 1): 1\n  slide-1_new (1+)\n" in told.out
    assert "patches removed (1+: 1): 1\n  slide-1_3 (1+)\n" in told.out
    assert "slides or blocks changed: 1\n  slide-1\n" in told.out
    assert "no answer" not in told.out
    assert "a branch, tag or commit" in lab.client.run("diff", f"{lab.repo_id}@v9", second).err


def test_the_token_is_never_shown(lab: Lab, first: Path) -> None:
    told = ""
    for fault in ({"path": "/preupload/"}, {"path": "/lfs/", "method": "PUT"}, {"path": "/tag/"}):
        lab.hub.fail("status", status=403, **fault)  # type: ignore[arg-type]
        done = lab.publish(first, "1.0.0")
        assert done.code == 1
        told += done.out + done.err
    done = lab.published(first, "1.0.0")
    told += done.out + done.err
    assert TOKEN not in told
    for path in lab.repo.resolve("v1.0.0").files:
        assert TOKEN.encode() not in lab.repo.read("v1.0.0", path)


@pytest.mark.parametrize("command", ["publish", "verify", "versions", "diff"])
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert command in capsys.readouterr().out


def test_a_relabelled_patch_changes_one_file(lab: Lab, first: Path, tmp_path: Path) -> None:
    lab.published(first, "1.0.0")
    slides = {**SLIDES, "slide-0": [replace(SLIDES["slide-0"][0], label="1+"), *SLIDES["slide-0"][1:]]}
    done = lab.published(write_edition(tmp_path / "relabelled", slides), "1.1.0")
    assert "changed: 1 slides or blocks (slide-0)" in done.out
    command = re.search("what changed in them: her2-ihc-40x (diff .+)", done.out)
    assert command
    assert "patches relabelled: 1\n" in lab.client.run(*shlex.split(command[1])).out
    assert "wsi_split train 0: 4 -> 3 patches" in done.out
    assert "wsi_split train 1+: 4 -> 5 patches" in done.out
