"""The command line: exit codes and what is printed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from her2_ihc_40x_builder.cli import main
from her2_ihc_40x_builder.shards.manifest import read_manifest


def test_pack_prints_counts_and_digest(release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "her2-ihc-40x"
    arguments = ["pack", str(release), "--out", str(out), "--subset", "--image-size", "8", "--workers", "1"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert f"digest {read_manifest(out).digest}" in printed
    assert printed.splitlines()[0].split() == ["config", "split", "0", "1+", "2+", "3+", "total"]
    assert main(arguments) == 1
    assert "--overwrite" in capsys.readouterr().err


def test_card_makes_the_card_anew(shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(shutil.copytree(shards, tmp_path / "her2-ihc-40x"))
    (folder / "README.md").unlink()
    assert main(["card", str(folder), "--license", "cc-by-4.0"]) == 0
    printed = capsys.readouterr().out
    assert "README.md" in printed
    assert "licence cc-by-4.0" in printed
    assert f"digest {read_manifest(shards).digest}" in printed
    assert "license: cc-by-4.0" in (folder / "README.md").read_text()
    assert main(["card", str(tmp_path)]) == 1
    assert "manifest.json" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["verify", "audit", "card", "diff", "publish"])
@pytest.mark.parametrize("there", ["no such folder", "a file"])
def test_a_data_set_that_is_not_there_is_a_path_to_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str, there: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if there == "a file":
        Path("nosuch").write_text("")
    more = {"diff": ["nosuch"], "publish": ["--repo", "lab/data", "--version", "1.0.0"]}
    assert main([command, "nosuch", *more.get(command, [])]) == 1
    out, err = capsys.readouterr()
    assert re.fullmatch(f"her2-ihc-40x: nosuch: expected the folder .*, found {there}. Check the path.\n", err)
    assert out == ""


def test_a_name_that_may_be_a_repos_is_said_to_be_no_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "data/nosuch"]) == 1  # offline
    assert "data/nosuch@main (no such folder here, so of the Hub): expected" in capsys.readouterr().err


PATHS = """verify L; audit L; card L; diff L L; publish L --repo lab/data --version 1.0.0; demo L
pack L; pack R --out L; build L --regions R --out new; build R --regions L --out new; build R --regions R --out L
build R --regions R --out new --pseudonymize L; plan L --regions R; audit D --report L"""


@pytest.mark.parametrize("line", [line.strip() for line in re.split("[;\n]", PATHS)])
@pytest.mark.parametrize("path", ["x" * 300, "loop"], ids=["too-long", "loop"])
def test_a_path_that_cannot_be_one_is_an_error_of_one_line(
    line: str,
    path: str,
    tmp_path: Path,
    release: Path,
    shards: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    words = {"L": path, "R": str(release), "D": str(shards)}
    assert main([words.get(word, word) for word in line.split()]) == 1
    (*_, said) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(rf"her2-ihc-40x: .*{path}.*: expected .*, found .*\.", said)
    assert {path.name for path in tmp_path.iterdir()} == {"loop"}


def test_nothing_is_beside_the_root(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "/"]) == 1
    assert capsys.readouterr().err.startswith("her2-ihc-40x: /-audit: expected a place beside the data set, found /.")


def test_a_revision_without_a_name_is_not_taken_for_main(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "lab/data@"]) == 1
    assert "lab/data@: expected a revision after the @, found none." in capsys.readouterr().err


def test_an_error_is_one_line_without_a_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "her2_ihc_40x_builder", "pack", str(tmp_path / "nowhere")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("her2-ihc-40x: ")
    assert "a release folder or zip" in done.stderr
    assert "Check the path" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [[], ["nothing"], ["pack"], ["pack", "x", "--workers", "0"], ["demo", "--slides", "--scale", "0.5"]]
)
def test_wrong_use_exits_with_two(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


@pytest.mark.parametrize(
    "arguments", [["--help"], ["pack", "--help"], ["card", "--help"], ["demo", "--help"], ["--version"]]
)
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 0
    assert capsys.readouterr().out
