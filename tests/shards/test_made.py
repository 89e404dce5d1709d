"""What is ours in a folder: all that a manifest lists and a download leaves, and nothing that somebody put there."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from her2_ihc_40x_builder.shards.made import PAGE, entries, made_data_set, made_page, strangers
from her2_ihc_40x_builder.shards.manifest import read_manifest


@pytest.fixture
def data_set(shards: Path, tmp_path: Path) -> Path:
    shutil.copytree(shards, tmp_path / "data-set")
    return tmp_path / "data-set"


def put(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("x")


def others(folder: Path) -> list[str]:
    made = made_data_set(folder)
    assert made
    return strangers(folder, made)


def test_a_data_set_as_it_was_written_is_all_ours(data_set: Path) -> None:
    assert others(data_set) == []
    assert "manifest.json" in set(entries(data_set))


def test_what_a_download_and_a_card_cut_short_leave_can_be_made_again(data_set: Path) -> None:
    put(data_set, ".gitattributes", ".cache/huggingface/download/README.md.metadata", ".cache/huggingface/.gitignore")
    put(data_set, ".README.md.partial", "figures/.dab.png.old", "figures/patches-3plus.png")
    assert others(data_set) == []


def test_figures_that_no_manifest_lists_yet_are_ours(data_set: Path) -> None:
    """As a `card` leaves them that is killed before it writes the manifest."""
    listed = read_manifest(data_set)
    (data_set / "manifest.json").write_text(replace(listed, companions=()).to_json(), encoding="utf-8")
    assert others(data_set) == ["README.md", "croissant.json"]


def test_every_other_file_is_somebodys(data_set: Path) -> None:
    put(
        data_set,
        ".git/HEAD",
        ".git/objects/ab/cd",
        ".cache/pip/x",
        "notes.txt",
        "figures/mine.png",
        "WSI/0/patient.svs",
    )
    put(data_set, "data/wsi_train/patch_train/other.parquet")
    assert others(data_set) == [
        ".cache/",
        ".git/",
        "WSI/",
        "data/wsi_train/patch_train/other.parquet",
        "figures/mine.png",
        "notes.txt",
    ]


def test_a_folder_without_a_manifest_is_not_ours(tmp_path: Path) -> None:
    put(tmp_path, "README.md")
    assert made_data_set(tmp_path) is None


def test_of_a_page_its_pictures_are_ours(tmp_path: Path) -> None:
    (tmp_path / PAGE).write_text('<title>ours</title><img src="0000.png" alt="">')
    put(tmp_path, "0000.png", "table.csv", "0001.png", "letter.txt")
    made = made_page(tmp_path, "<title>ours</title>", "table.csv")
    assert made
    assert strangers(tmp_path, made) == ["0001.png", "letter.txt"]
    assert made_page(tmp_path, "<title>another</title>") is None
