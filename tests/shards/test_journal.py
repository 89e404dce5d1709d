"""What is finished is known by its inputs and the hashes of its files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from her2_ihc_40x_builder.notes import with_checksum
from her2_ihc_40x_builder.shards.files import Shard, file_stem
from her2_ihc_40x_builder.shards.journal import Finished, adopt, noted, published, record
from her2_ihc_40x_builder.shards.manifest import Manifest


def finished(root: Path, unit: str = "S/1", data: bytes = b"rows", path: str | None = None) -> Finished:
    path = path or f"data/wsi_train/patch_test/{file_stem(unit)}.parquet"
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(data)
    shard = Shard(path, hashlib.sha256(data).hexdigest(), len(data), 1, unit)
    return Finished(unit, root, (shard,), {"inputs": "1"})


def test_a_note_is_read_back(tmp_path: Path) -> None:
    done = finished(tmp_path / "tree")
    record(tmp_path / "units", done)
    assert list(noted(tmp_path / "units", tmp_path / "tree")) == [done]
    assert [path.suffix for path in (tmp_path / "units").iterdir()] == [".json"]


def test_the_units_of_a_data_set_take_one_look_at_its_shards(tmp_path: Path) -> None:
    class Counted(list[Shard]):
        looks = 0

        def __iter__(self) -> Iterator[Shard]:
            self.looks += 1
            return super().__iter__()

    shards = Counted(finished(tmp_path, f"S{n % 3}", path=f"{n}").shards[0] for n in range(9))
    manifest = Manifest(shards, {}, {}, {"kind": "slides"}, {f"S{n}": {"n": n} for n in (2, 0, 1, 3)})
    found = list(published(manifest, tmp_path))
    assert [(one.unit, [shard.path for shard in one.shards], one.entry["n"]) for one in found] == [
        ("S2", ["2", "5", "8"], 2),
        ("S0", ["0", "3", "6"], 0),
        ("S1", ["1", "4", "7"], 1),
        ("S3", [], 3),
    ]
    assert shards.looks == 1


@pytest.mark.parametrize(
    "damaged",
    [b"", b"[]", b"{", json.dumps(with_checksum({"unit": "a", "shards": [{}], "entry": {}})).encode(), b"\xff"],
)
def test_a_damaged_note_is_none(tmp_path: Path, damaged: bytes) -> None:
    (tmp_path / "a.json").write_bytes(damaged)
    assert list(noted(tmp_path, tmp_path)) == []


def test_an_edited_note_is_none(tmp_path: Path) -> None:
    done = finished(tmp_path / "tree")
    record(tmp_path / "units", done)
    (note,) = (tmp_path / "units").iterdir()
    content = json.loads(note.read_bytes())
    edited = {**content, "entry": {"inputs": "2"}}
    for text in (edited, {key: value for key, value in content.items() if key != "sha256"}, with_checksum(content)):
        note.write_text(json.dumps(text))
        assert list(noted(tmp_path / "units", tmp_path / "tree")) == ([done] if text == content else [])


def test_it_is_taken_over_by_another_name_of_the_same_file(tmp_path: Path) -> None:
    done = finished(tmp_path / "out")
    path = done.shards[0].path
    assert adopt([done], {done.unit: "1"}, tmp_path / "tree") == {done.unit: done}
    assert (tmp_path / "tree" / path).stat().st_ino == (tmp_path / "out" / path).stat().st_ino


@pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere")
def test_nothing_but_whole_files_of_the_same_inputs_is_taken(tmp_path: Path) -> None:
    done = finished(tmp_path / "out")
    path = tmp_path / "out" / done.shards[0].path
    tree = tmp_path / "tree"
    assert adopt([done], {done.unit: "2"}, tree) == {}
    assert adopt([done], {"another": "1"}, tree) == {}
    path.write_bytes(b"swor")
    assert adopt([done], {done.unit: "1"}, tree) == {}
    path.unlink()
    assert adopt([done], {done.unit: "1"}, tree) == {}
    (tmp_path / "elsewhere").write_bytes(b"rows")
    path.symlink_to(tmp_path / "elsewhere")
    assert adopt([done], {done.unit: "1"}, tree) == {}
    assert not tree.exists()


@pytest.mark.parametrize("path", ["../stolen", "data/wsi_train/patch_test/other.parquet", "README.md"])
def test_a_path_that_no_unit_has_is_not_followed(tmp_path: Path, path: str) -> None:
    done = finished(tmp_path / "a" / "out", path=path)
    assert adopt([done], {done.unit: "1"}, tmp_path / "b" / "tree") == {}
    assert not (tmp_path / "b").exists()


def test_the_first_that_fits_is_taken_whatever_an_unfinished_run_noted(tmp_path: Path) -> None:
    stale = replace(finished(tmp_path / "tree", data=b"of other parameters"), entry={"inputs": "0"})
    done = finished(tmp_path / "out")
    assert adopt([stale, done], {done.unit: "1"}, tmp_path / "tree") == {done.unit: done}
    assert (tmp_path / "tree" / done.shards[0].path).read_bytes() == b"rows"
