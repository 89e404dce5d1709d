"""The rows of a data set, read without their images; the images of a few."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from built_twin import COLOURS, LEAK, SLIDES, write_lab
from her2_ihc_40x import CLASSES, ReleaseError
from her2_ihc_40x_builder.card.contents import count_strays, measure_leak, patches_per_slide, read_images, read_rows
from her2_ihc_40x_builder.shards.files import Shard
from her2_ihc_40x_builder.shards.manifest import Manifest, read_manifest


def test_every_row_is_read_once(shards: Path) -> None:
    rows = read_rows(shards, read_manifest(shards))
    table = ds.dataset(shards / "data").to_table(columns=["label", "sha256", "slide_side"]).to_pylist()
    assert sorted((CLASSES[row["label"]], row["sha256"], row["slide_side"]) for row in table) == sorted(
        (row.label, row.sha256, str(row.slide_side)) for row in rows
    )
    assert {row.slide_id for row in rows} == {None}
    for row in rows:
        with pq.ParquetFile(shards / row.shard) as file:
            assert file.read_row_group(row.group, columns=["sha256"])["sha256"][row.place].as_py() == row.sha256


def test_what_a_release_lets_be_known_of_its_leak(shards: Path) -> None:
    rows = read_rows(shards, read_manifest(shards))
    leak = measure_leak(rows)
    assert leak is not None
    assert leak.known_by == "slide_side"
    assert leak.test == sum(row.patch_side == "test" for row in rows)
    assert leak.shared == sum(row.patch_side == "test" and row.slide_side == "train" for row in rows) > 0
    assert not patches_per_slide(rows)
    assert measure_leak([row for row in rows if row.patch_side == "train"]) is None


def test_patches_of_the_split_by_slide_that_their_names_put_elsewhere_are_counted(shards: Path) -> None:
    rows = read_rows(shards, read_manifest(shards))
    assert count_strays(rows) == 0
    at = next(at for at, row in enumerate(rows) if row.wsi_side == "test")
    rows[at] = dataclasses.replace(rows[at], slide_side="train")
    assert count_strays(rows) == 1


def test_known_slides_tell_it_exactly(tmp_path: Path) -> None:
    rows = read_rows(tmp_path, write_lab(tmp_path))
    leak = measure_leak(rows)
    assert leak is not None
    assert (leak.test, leak.shared, leak.known_by) == (*LEAK, "slide_id")
    assert patches_per_slide(rows) == {(label, slide): sum(n.values()) for slide, (label, _, n) in SLIDES.items()}
    assert not patches_per_slide([*rows, dataclasses.replace(rows[0], slide_id=None)])


def test_images_of_a_row_group(tmp_path: Path) -> None:
    manifest = write_lab(tmp_path)
    group = [row for row in read_rows(tmp_path, manifest) if row.slide_id == "D"][1:3]
    seen = dict(read_images(tmp_path, group))
    assert list(seen) == group
    for pixels in seen.values():
        assert pixels.shape == (64, 64, 3)
        assert np.abs(pixels.astype(int) - COLOURS["3+"]).max() < 5


def damaged(manifest: Manifest, **change: object) -> Manifest:
    first, *rest = sorted(manifest.shards)
    return dataclasses.replace(manifest, shards=[dataclasses.replace(first, **change), *rest])  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"bytes": 7}, {"path": "data/wsi_train/patch_train/none.parquet"}])
def test_a_shard_unlike_the_manifest(tmp_path: Path, change: dict[str, object]) -> None:
    with pytest.raises(ReleaseError, match="shard that the manifest lists"):
        read_rows(tmp_path, damaged(write_lab(tmp_path), **change))


@pytest.mark.parametrize("path", ["../a.parquet", "data/../../a.parquet", "/etc/passwd", "data/a/b/c/d.parquet"])
def test_a_path_that_leaves_the_folder(tmp_path: Path, path: str) -> None:
    with pytest.raises(ReleaseError, match="another path"):
        read_rows(tmp_path, damaged(write_lab(tmp_path), path=path))


def test_something_else_than_parquet(tmp_path: Path) -> None:
    manifest = write_lab(tmp_path)
    first: Shard = min(manifest.shards)
    (tmp_path / first.path).write_bytes(b"x" * first.bytes)
    with pytest.raises(ReleaseError, match=first.path.rsplit("/", maxsplit=1)[-1]):
        read_rows(tmp_path, manifest)
