"""The manifest: written as it is read, and nothing else is taken for one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from her2_ihc_40x import ReleaseError
from her2_ihc_40x_builder.shards.files import Shard, Sides
from her2_ihc_40x_builder.shards.made import made_data_set
from her2_ihc_40x_builder.shards.manifest import (
    EditedManifestError,
    Manifest,
    count_labels,
    read_manifest,
    read_whole_manifest,
)

SHARDS = [
    Shard("data/wsi_train/patch_test/a.parquet", "0" * 64, 10, 1, "A"),
    Shard("data/wsi_none/patch_train/b.parquet", "1" * 64, 20, 2, "B"),
]
MANIFEST = Manifest(SHARDS, {"wsi_split": {"train": {"0": 1}}}, {}, {"kind": "release"}, {"A": {}}, {})


def test_it_is_read_as_written(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(MANIFEST.to_json())
    again = read_manifest(tmp_path)
    assert again.to_json() == MANIFEST.to_json()
    assert again.rows == 3
    assert made_data_set(tmp_path)


@pytest.mark.parametrize("sha256", ["0" * 64, None, [], ...])
def test_an_edited_one_is_looked_at_and_nothing_is_made_from_it(tmp_path: Path, sha256: object) -> None:
    good = json.loads(MANIFEST.to_json())
    (tmp_path / "manifest.json").write_text(json.dumps(good))
    assert read_whole_manifest(tmp_path) == read_manifest(tmp_path)
    edited = {**good, "parameters": {"seed": 1}} if sha256 is ... else {**good, "sha256": sha256}
    (tmp_path / "manifest.json").write_text(json.dumps(edited))
    assert read_manifest(tmp_path).rows == 3
    with pytest.raises(EditedManifestError, match="its own sha256"):
        read_whole_manifest(tmp_path)
    del edited["sha256"]
    (tmp_path / "manifest.json").write_text(json.dumps(edited))
    with pytest.raises(EditedManifestError):
        read_whole_manifest(tmp_path)


def test_files_of_a_split() -> None:
    assert [shard.unit for shard in MANIFEST.files_of("wsi_split", "train")] == ["A"]
    assert [shard.unit for shard in MANIFEST.files_of("patch_split", "train")] == ["B"]
    assert [shard.unit for shard in MANIFEST.files_of("patch_split", "test")] == ["A"]
    assert MANIFEST.files_of("wsi_split", "test") == []


def test_counts_leave_out_what_is_not_there() -> None:
    rows = [(Sides("train", "none"), "0"), (Sides("train", "none"), "3+")]
    assert count_labels(rows) == {"wsi_split": {"train": {"0": 1, "1+": 0, "2+": 0, "3+": 1}}}


@pytest.mark.parametrize(
    "change",
    [
        {"format": "another"},
        {"format_version": 99},
        {"digest": "0"},
        {"files": [{"path": "x"}]},
        {"files": None},
    ],
)
def test_anything_else_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({**json.loads(MANIFEST.to_json()), **change}))
    with pytest.raises(ReleaseError, match=r"manifest\.json"):
        read_manifest(tmp_path)
    assert not made_data_set(tmp_path)


@pytest.mark.parametrize("kind", ["nonsense", "/tmp/kind", "../release", "", 7, ["release"], None])
def test_a_kind_that_there_is_not_is_refused(tmp_path: Path, kind: object) -> None:
    (tmp_path / "manifest.json").write_text(replace(MANIFEST, source={"kind": kind}).to_json())
    with pytest.raises(ReleaseError, match="of the kind"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_none_is_refused(tmp_path: Path, number: str) -> None:
    text = MANIFEST.to_json().replace('"report": {}', f'"report": {{"tissue": {number}}}')
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ReleaseError, match=f"{number} in place of a number"):
        read_manifest(tmp_path)


def test_a_key_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    text = MANIFEST.to_json()
    for twice in ('"source": {', '"parameters": {'):
        (tmp_path / "manifest.json").write_text(text.replace(twice, f'{twice[:-1]}{{"kind": 1}},\n  {twice}'))
        with pytest.raises(ReleaseError, match="a key that is there twice"):
            read_manifest(tmp_path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.one_of(json_values.map(json.dumps), st.text()))
def test_any_text_is_a_manifest_or_an_error_of_ours(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "manifest.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    assert not made_data_set(folder)
