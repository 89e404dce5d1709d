"""Every command and snippet of the README runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from her2_ihc_40x_builder.cli import main
from her2_ihc_40x_builder.demo.release_twin import plan_twin, write_twin
from her2_ihc_40x_builder.geometry import Size
from hub_client import HubClient
from hub_double import HubDouble
from twin_images import tiny_image
from zenodo_double import Zenodo

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def fences(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


COMMANDS = [line for block in fences("console") for line in block.splitlines() if line.strip()]


def test_make_targets_exist() -> None:
    targets = [line.split()[1] for line in COMMANDS if line.startswith("make ")]
    assert targets[:2] == ["demo", "test"]
    for target in targets:
        done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_commands_and_snippets_of_a_researcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands as they stand, on a twin: `--subset` is all that a twin's size adds to them."""
    write_twin(tmp_path / "downloads", plan_twin(0.001), lambda patch: tiny_image(patch, 1024))
    monkeypatch.chdir(tmp_path)
    packs = [shlex.split(line)[1:] for line in COMMANDS if line.startswith("her2-ihc-40x pack")]
    assert packs
    for arguments in packs:
        assert main([*arguments, "--subset"]) == 0
    snippets = fences("python")
    assert len(snippets) >= 2
    for snippet in snippets:
        (tmp_path / "snippet.py").write_text(snippet)
        done = subprocess.run([sys.executable, "snippet.py"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_commands_of_a_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands as they stand, in a folder as a lab would have it."""
    lab_twin = pytest.importorskip("her2_ihc_40x_builder.demo.lab_twin", reason="needs the extra [build]")
    lab_twin.write_lab(tmp_path, 1, Size(1800, 1300), workers=1)
    monkeypatch.chdir(tmp_path)
    for name in ("doctor", "plan", "build"):
        commands = [shlex.split(line)[1:] for line in COMMANDS if line.startswith(f"her2-ihc-40x {name}")]
        assert commands
        for arguments in commands:
            assert main(arguments) == 0
    assert (tmp_path / "her2-ihc-40x-lab-report" / "index.html").is_file()


def test_commands_of_a_maintainer(release: Path, tmp_path: Path, hub: HubDouble) -> None:
    """The commands as they stand, against a Hub on loopback; the data has a licence, as it must."""
    home = tmp_path / "home"
    with HubClient(hub, home) as client:
        packed = client.run(
            "pack", release, "--out", home / "her2-ihc-40x", "--subset", "--image-size", "8", "--license", "cc-by-4.0"
        )
        assert packed.code == 0, packed.err
        for name in ("verify", "audit", "publish", "versions", "diff"):
            commands = [shlex.split(line)[1:] for line in COMMANDS if line.startswith(f"her2-ihc-40x {name}")]
            assert commands
            for arguments in commands:
                ran = client.run(*arguments)
                assert ran.code == 0, (arguments, ran.err)
                assert ran.out


def test_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zenodo: Zenodo) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HER2_IHC_40X_ZENODO", zenodo.url)
    (arguments,) = [shlex.split(line)[1:] for line in COMMANDS if line.startswith("her2-ihc-40x fetch")]
    assert main(arguments) == 0
    assert {path.name for path in (tmp_path / "downloads").glob("*.zip")} == set(zenodo.files)


def test_no_command_is_left_out() -> None:
    tested = (
        "make (demo|test)|pip install|her2-ihc-40x (fetch|pack|doctor|plan|build|verify|audit|publish|versions|diff)"
    )
    assert [line for line in COMMANDS if not re.match(tested, line)] == []
