"""Parquet files: their settings, names, parts and hashes."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from her2_ihc_40x import FEATURES
from her2_ihc_40x_builder.shards import files
from her2_ihc_40x_builder.shards.files import ROW_GROUP_BYTES, SCHEMA, Sides, UnitWriter, digest, file_stem, open_shard

TRAIN = Sides("train", "train")


def row(number: int, size: int = 2_000) -> dict[str, Any]:
    data = hashlib.sha256(str(number).encode()).digest() * (size // 32)
    columns: dict[str, Any] = dict.fromkeys(FEATURES)
    columns.update(image={"bytes": data, "path": f"{number}.png"}, label=3, patch_id=str(number))
    return columns


def write(root: Path, rows: list[dict[str, Any]], sides: Sides = TRAIN, unit: str = "S1") -> list[files.Shard]:
    with UnitWriter(root, unit) as writer:
        for one in rows:
            writer.write(sides, one)
    return writer.shards


def test_a_file_is_what_its_entry_says(tmp_path: Path) -> None:
    (shard,) = write(tmp_path, [row(n) for n in range(40)])
    data = (tmp_path / shard.path).read_bytes()
    assert shard.path == f"data/wsi_train/patch_train/{file_stem('S1')}.parquet"
    assert (shard.bytes, shard.sha256, shard.rows) == (len(data), hashlib.sha256(data).hexdigest(), 40)


def test_a_row_group_of_large_images_takes_no_further_row(tmp_path: Path) -> None:
    data = bytes(ROW_GROUP_BYTES // 3)
    (shard,) = write(tmp_path, [{**row(n), "image": {"bytes": data, "path": None}} for n in range(5)])
    metadata = pq.ParquetFile(tmp_path / shard.path).metadata
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [4, 1]


def test_settings_that_readers_and_uploads_hang_on(tmp_path: Path) -> None:
    (shard,) = write(tmp_path, [row(n) for n in range(40)])
    file = pq.ParquetFile(tmp_path / shard.path)
    assert file.schema_arrow.equals(SCHEMA, check_metadata=True)
    assert datasets.Features.from_arrow_schema(file.schema_arrow) == FEATURES
    metadata = file.metadata
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [8, 8, 8, 8, 8]
    for index in range(metadata.num_columns):
        column = metadata.row_group(0).column(index)
        assert column.compression == "UNCOMPRESSED"
        assert column.has_offset_index
        assert not column.has_dictionary_page
    # One row a page: as many data pages as rows.
    image = next(
        metadata.row_group(0).column(i)
        for i in range(metadata.num_columns)
        if metadata.row_group(0).column(i).path_in_schema == "image.bytes"
    )
    assert not image.is_stats_set
    start = image.data_page_offset
    chunk = (tmp_path / shard.path).read_bytes()[start : start + image.total_compressed_size]
    one = row(0)["image"]["bytes"]
    assert chunk.count(hashlib.sha256(b"3").digest()) == len(one) // 32
    assert image.total_compressed_size > 8 * len(one)


def test_the_same_rows_are_the_same_bytes_and_a_prefix_stays(tmp_path: Path) -> None:
    (first,) = write(tmp_path / "a", [row(n) for n in range(20)])
    (second,) = write(tmp_path / "b", [row(n) for n in range(20)])
    assert first == second
    changed = [*[row(n) for n in range(19)], row(99)]
    (third,) = write(tmp_path / "c", changed)
    before, after = ((tmp_path / name / first.path).read_bytes() for name in "ac")
    same = next(i for i, (x, y) in enumerate(zip(before, after, strict=False)) if x != y)
    assert same > 18 * 2_000
    assert third.sha256 != first.sha256


def test_nulls_have_the_columns_own_types(tmp_path: Path) -> None:
    (shard,) = write(tmp_path, [row(1)])
    table = pq.read_table(tmp_path / shard.path)
    assert {str(field.type) for field in table.schema} == {str(field.type) for field in SCHEMA}
    assert table["x"].null_count == 1


def test_one_file_for_each_pair_of_sides(tmp_path: Path) -> None:
    with UnitWriter(tmp_path, "S1") as writer:
        for number, sides in enumerate([TRAIN, Sides("none", "test"), TRAIN]):
            writer.write(sides, row(number))
    assert [(shard.path.split("/")[1:3], shard.rows) for shard in writer.shards] == [
        (["wsi_none", "patch_test"], 1),
        (["wsi_train", "patch_train"], 2),
    ]


def test_a_large_pair_is_cut_in_numbered_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 50_000)
    written = write(tmp_path, [row(n) for n in range(100)])
    assert len(written) > 2
    assert [Path(shard.path).name for shard in written][:3] == [
        f"{file_stem('S1')}.parquet",
        f"{file_stem('S1')}.part-002.parquet",
        f"{file_stem('S1')}.part-003.parquet",
    ] or written[0].path.endswith(".parquet")
    ids = [one for shard in written for one in pq.read_table(tmp_path / shard.path)["patch_id"].to_pylist()]
    assert sorted(ids, key=int) == [str(n) for n in range(100)]


def test_a_failed_unit_leaves_no_entry(tmp_path: Path) -> None:
    def fail() -> None:
        with UnitWriter(tmp_path, "S1") as writer:
            writer.write(TRAIN, row(1))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()


@pytest.mark.parametrize(
    ("times", "large", "found"),
    [
        (400, 2_000, "a row group of 8 rows"),  # more than the file together
        (2, 50_000, "in another's place"),  # no more than the file, whose other rows are large
    ],
)
def test_a_row_group_that_is_listed_again_is_refused(tmp_path: Path, times: int, large: int, found: str) -> None:
    first = [row(n) for n in range(8)]
    (alone,) = write(tmp_path / "alone", first)
    (shard,) = write(tmp_path / "all", [*first, *(row(n, large) for n in range(8, 16))])
    path = tmp_path / "all" / shard.path
    with open_shard(path, shard.bytes) as file:
        assert file.metadata.num_rows == 16
    one, listed = (pq.read_metadata(tmp_path / "alone" / alone.path) for _ in range(2))
    for _ in range(times - 1):
        listed.append_row_groups(one)
    listed.write_metadata_file(str(tmp_path / "footer"))
    data, footer = path.read_bytes(), (tmp_path / "footer").read_bytes()[4:]
    path.write_bytes(data[: -8 - int.from_bytes(data[-8:-4], "little")] + footer)
    assert pq.read_metadata(path).num_rows == 8 * times
    for told in (path.stat().st_size, 1 << 60):
        with pytest.raises(ValueError, match=found):
            open_shard(path, told)


def test_the_digest_follows_content_and_names_not_order(tmp_path: Path) -> None:
    written = write(tmp_path / "a", [row(1)]) + write(tmp_path / "b", [row(1)], Sides("test", "test"))
    assert digest(written) == digest(reversed(written))
    assert digest(written) != digest(written[:1])
    assert digest(written) != digest(write(tmp_path / "c", [row(2)]) + written[1:])


@given(st.text(min_size=1))
def test_any_unit_gives_a_safe_name(unit: str) -> None:
    stem = file_stem(unit)
    assert re.fullmatch(r"[0-9a-f]{8}-[A-Za-z0-9+_.~-]{0,120}", stem)
    assert "/" not in stem


@given(st.text(min_size=1), st.text(min_size=1))
def test_two_units_never_share_a_name_on_any_file_system(one: str, other: str) -> None:
    assert one == other or file_stem(one).lower() != file_stem(other).lower()
