"""Publishing when connections, disks, objects and other publishers get in the way."""

from __future__ import annotations

import io
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from editions import Spot, plan_slides, write_edition
from her2_ihc_40x_builder.shards.files import Shard, Sides
from hub_client import HubClient
from hub_lab import SLIDES, Lab, assert_holds, shards_of
from hub_store import Repo


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
