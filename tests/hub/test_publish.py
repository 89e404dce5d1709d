"""Publishing: version after version through the real client."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from editions import contents, list_companions, write_edition
from her2_ihc_40x_builder.cli import main
from her2_ihc_40x_builder.shards.manifest import Companion, read_manifest
from hub_lab import SLIDES, TOKEN, Lab, assert_holds, shards_of
from hub_store import flip


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
    start = len(lab.hub.requests)
    lab.published(first, "1.0.0")
    lab.repo.add({"data/wsi_train/patch_train/zzz.parquet": b"PAR1"})
    # The last page is looked at too, for files of others as for those that are there already.
    assert "found data/wsi_train/patch_train/zzz.parquet" in lab.publish(second, "1.1.0").err
    lab.repo.refs["main"] = lab.repo.tags["v1.0.0"]
    lab.published(second, "1.1.0")
    assert_holds(lab.repo, "v1.1.0", second)
    assert [r for r in lab.hub.requests[start:] if "cursor=6" in r.path]


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
    told = lab.client.run(*lab.arguments(first, "1.0.0"))
    assert "--i-may-share-this" in told.err
    assert "--these-ids-are-safe" not in told.err
    assert lab.hub.requests[start:] == []
    assert lab.repo_id not in lab.hub.store.repos
    for wrong in ("1.0", "v1.0.0", "1.0.0-rc1", "01.0.0"):
        assert lab.publish(first, wrong).code == 2


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
