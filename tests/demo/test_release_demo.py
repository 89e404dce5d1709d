"""The demo: every step is checked, and a wrong one ends it."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image

from her2_ihc_40x import open_release
from her2_ihc_40x_builder.cli import main
from her2_ihc_40x_builder.demo import release_demo
from her2_ihc_40x_builder.demo.checks import DemoError
from her2_ihc_40x_builder.demo.release_twin import TwinPatch, write_twin
from her2_ihc_40x_builder.errors import OutputError
from her2_ihc_40x_builder.hub.verify import verify_folder
from her2_ihc_40x_builder.shards.manifest import read_manifest
from twin_images import tiny_image


def test_it_makes_loads_and_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "demo"
    assert main(["demo", str(folder), "--scale", "0.0005"]) == 0
    assert not verify_folder(folder / release_demo.SHARDS).problems
    printed = capsys.readouterr().out
    assert "wsi_split   train" in printed
    assert "her2-ihc-40x pack" in printed
    manifest = read_manifest(folder / release_demo.SHARDS)
    opened = open_release(folder / release_demo.RELEASE)
    assert {config: len(patches) for config, patches in opened.patches.items()} == {
        config: sum(sum(labels.values()) for labels in splits.values()) for config, splits in manifest.counts.items()
    }
    assert len(opened.patches["wsi_split"]) < len(opened.patches["patch_split"])
    with Image.open(folder / release_demo.SHEET) as sheet:
        assert len(Counter(sheet.convert("L").tobytes())) > 100
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_a_data_set_alone_in_a_folder_is_no_demo(shards: Path, tmp_path: Path) -> None:
    shutil.copytree(shards, tmp_path / release_demo.SHARDS)
    with pytest.raises(OutputError, match="did not make"):
        release_demo.run_demo(tmp_path, say=print)


def test_it_overwrites_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(OutputError, match="did not make"):
        release_demo.run_demo(tmp_path, say=print)


def test_a_wrong_step_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lossy(root: Path, patches: Sequence[TwinPatch], image: Callable[[TwinPatch], bytes]) -> None:
        write_twin(root, patches[1:], image)

    monkeypatch.setattr(release_demo, "_draw", lambda patch: tiny_image(patch, 1024))
    monkeypatch.setattr(release_demo, "write_twin", lossy)
    with pytest.raises(DemoError, match="the patches that were drawn"):
        release_demo.run_demo(tmp_path / "demo", scale=0.0005, workers=1, say=print)
    assert list(tmp_path.iterdir()) == []
