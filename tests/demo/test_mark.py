"""A demo's folder is known by a mark and by every file in it, so that nothing of a user's is taken for a demo."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from her2_ihc_40x_builder.demo.mark import FILE_NAME, made_demo, write_mark
from her2_ihc_40x_builder.errors import OutputError
from her2_ihc_40x_builder.shards.staging import staged_folder


def draw(folder: Path) -> None:
    """What a demo leaves, in small."""
    with staged_folder(folder, overwrite=True, made_in=made_demo) as tree:
        (tree / "WSI" / "0").mkdir(parents=True)
        (tree / "WSI" / "0" / "S01.svs").write_text("drawn")
        write_mark(tree)


def test_an_earlier_demo_is_replaced(tmp_path: Path) -> None:
    draw(tmp_path / "demo")
    draw(tmp_path / "demo")
    assert (tmp_path / "demo" / FILE_NAME).is_file()


@pytest.mark.parametrize("path", ["WSI/0/patient.svs", "WSI/0/S01.svs", "notes.txt", "her2-ihc-40x/manifest.json"])
def test_a_file_of_somebody_elses_in_a_demo_is_kept(tmp_path: Path, path: str) -> None:
    demo = tmp_path / "demo"
    draw(demo)
    (demo / path).parent.mkdir(exist_ok=True)
    (demo / path).write_text("a slide of a patient")
    with pytest.raises(OutputError, match="Move what is yours"):
        draw(demo)
    assert (demo / path).read_text() == "a slide of a patient"


def test_what_looks_like_a_demo_is_none_without_the_mark(shards: Path, tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    shutil.copytree(shards, lab / "her2-ihc-40x")
    (lab / "WSI").mkdir()
    (lab / "WSI" / "patient.svs").write_text("x")
    with pytest.raises(OutputError, match="did not make"):
        draw(lab)
    assert (lab / "WSI" / "patient.svs").is_file()


@pytest.mark.parametrize("text", ["", "[]", "null", '{"what": "mine", "files": {}}', '{"what": 1}'])
def test_another_file_of_that_name_is_no_mark(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    assert made_demo(tmp_path) is None
