"""Every command and snippet of the README runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from her2_ihc_40x_builder.cli import main
from her2_ihc_40x_builder.release_twin import plan_twin, write_twin
from twin_images import tiny_image

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
    write_twin(tmp_path / "downloads", plan_twin(0.002), lambda patch: tiny_image(patch, 1024))
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


def test_every_command_is_known() -> None:
    for line in COMMANDS:
        assert re.match(r"(make (demo|test|lint|bench)|pip install|her2-ihc-40x (pack|demo)) ?", line), line
