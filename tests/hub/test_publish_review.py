"""Publishing after a second look: ids that look identifying, and pull requests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from editions import write_edition
from her2_ihc_40x_builder.cli import main
from hub_lab import SLIDES, Lab, assert_holds


def test_ids_that_look_identifying_are_published_only_after_a_review(lab: Lab, tmp_path: Path) -> None:
    spots = list(SLIDES.values())
    start = len(lab.hub.requests)
    folder = write_edition(tmp_path / "named", {"S21-12345": spots[0], "slide-1": spots[1]})
    dry = lab.client.run(*lab.arguments(folder, "1.0.0", "--dry-run"))
    assert dry.code == 0
    assert "suspect: S21-12345 looks like an accession number (file name, manifest.json, slide_id)" in dry.out
    needed = re.search("--i-may-share-this; if .* is harmless, with --these-ids-are-safe ([0-9a-f]{12}) too$", dry.out)
    assert needed
    refused = lab.publish(folder, "1.0.0")
    assert refused.code == 1
    assert "--pseudonymize" in refused.err
    code = re.search("--these-ids-are-safe ([0-9a-f]{12})", refused.err)
    assert code
    assert code[1] == needed[1]
    more = write_edition(tmp_path / "more", {"S21-12345": spots[0], "Doe_John": spots[1]})
    assert "another list" in lab.publish(more, "1.0.0", "--these-ids-are-safe", code[1]).err
    assert not [r for r in lab.hub.requests[start:] if r.method in ("POST", "PUT")]
    assert lab.repo_id not in lab.hub.store.repos
    lab.published(folder, "1.0.0", "--these-ids-are-safe", code[1])


def test_suspect_ids_are_listed_before_the_hub_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_edition(tmp_path / "named", {"S21-12345": SLIDES["slide-0"]})
    assert main(["publish", str(folder), "--repo", "lab/data", "--version", "1.0.0", "--dry-run"]) == 1  # offline
    out, err = capsys.readouterr()
    assert out == "suspect: S21-12345 looks like an accession number (file name, manifest.json, slide_id)\n"
    assert "offline" in err


def test_all_that_is_missing_is_told_at_once_and_the_hub_is_not_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_edition(tmp_path / "named", {"S21-12345": SLIDES["slide-0"]})
    assert main(["publish", str(folder), "--repo", "lab/data", "--version", "1.0.0"]) == 1  # offline
    told = capsys.readouterr().err
    assert (
        "expected your word that consent and licence allow it, and ids that identify nobody, found none, and 1" in told
    )
    assert "--i-may-share-this" in told
    assert "--these-ids-are-safe" in told
    assert "offline" not in told


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


def test_a_pull_request_that_was_merged_with_a_change(lab: Lab, first: Path, second: Path) -> None:
    lab.published(first, "1.0.0")
    lab.published(second, "1.1.0", "--pr")
    lab.repo.add({"README.md": b"---\nlicense: mit\n---\n"}, branch="refs/pr/1")
    lab.repo.merge(1)
    done = lab.client.run(*lab.arguments(second, "1.1.0"), "--finish", "1")
    assert done.code == 1
    assert "README.md" in done.err
    assert list(lab.repo.tags) == ["v1.0.0"]
