"""`her2_ihc_40x.load_dataset`: a release, a folder of shards, or the Hub, by one call."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from her2_ihc_40x import CONFIGS, CountsError, ReleaseError, SourceError, load_dataset
from her2_ihc_40x_builder.demo.release_twin import TwinPatch
from twin_images import SIZE


def count(plan: list[TwinPatch], config: str, split: str) -> int:
    return sum((patch.patch_side if config == "patch_split" else patch.wsi_side) == split for patch in plan)


@pytest.mark.parametrize("config", list(CONFIGS))
def test_shards(shards: Path, twin_plan: list[TwinPatch], config: str) -> None:
    loaded = load_dataset(config, source=shards)
    streams = load_dataset(config, source=shards, streaming=True)
    for split in ("train", "test"):
        assert len(loaded[split]) == count(twin_plan, config, split)
        assert sum(1 for _ in streams[split]) == count(twin_plan, config, split)
    assert loaded["train"][0]["image"].size == (SIZE, SIZE)


@pytest.mark.parametrize("config", list(CONFIGS))
def test_a_release(release: Path, twin_plan: list[TwinPatch], config: str) -> None:
    arguments = {"source": release, "verify": "none", "image_size": SIZE}
    loaded = load_dataset(config, split="test", **arguments)  # type: ignore[arg-type]
    stream = load_dataset(config, split="test", streaming=True, **arguments)  # type: ignore[arg-type]
    assert len(loaded) == sum(1 for _ in stream) == count(twin_plan, config, "test")


def test_a_release_is_checked(release: Path) -> None:
    with pytest.raises(CountsError):
        load_dataset(source=release)


def test_a_bad_image_is_named(release: Path) -> None:
    with pytest.raises(ReleaseError, match="1024 x 1024"):
        load_dataset(source=release, verify="none")


def test_the_default_source(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match="HER2_IHC_40X"):
        load_dataset()
    # A clone of the code may have the folder's name: it is not data.
    (tmp_path / "her2-ihc-40x").mkdir()
    (tmp_path / "her2-ihc-40x" / "her2_ihc_40x.py").write_text("")
    with pytest.raises(SourceError):
        load_dataset()
    monkeypatch.setenv("HER2_IHC_40X", str(shards))
    assert load_dataset(split="test").num_rows
    shutil.rmtree(tmp_path / "her2-ihc-40x")
    shutil.copytree(shards, tmp_path / "her2-ihc-40x")
    monkeypatch.setenv("HER2_IHC_40X", "/nowhere")
    assert load_dataset(split="test").num_rows


def test_a_missing_shard_is_not_a_short_split(shards: Path, tmp_path: Path) -> None:
    folder = tmp_path / "her2-ihc-40x"
    shutil.copytree(shards, folder)
    victim = min(folder.glob("data/wsi_test/*/*.parquet"))
    whole = sum(1 for _ in load_dataset(source=folder, split="test", streaming=True))
    victim.unlink()
    assert sum(1 for _ in load_dataset(source=folder, split="test", streaming=True, verify="none")) < whole
    with pytest.raises(CountsError, match=r"expected \d+ bytes, found no file"):
        load_dataset(source=folder, split="test", streaming=True)
    victim.write_bytes(b"PAR1")
    with pytest.raises(CountsError, match="found 4 bytes"):
        load_dataset(source=folder, split="test", streaming=True)


def test_manifests_that_are_not(shards: Path, tmp_path: Path) -> None:
    folder = tmp_path / "her2-ihc-40x"
    shutil.copytree(shards, folder)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(ReleaseError, match=r"manifest\.json"):
        load_dataset(source=folder)
    (folder / "manifest.json").write_text(
        json.dumps({"format": "her2-ihc-40x shards", "format_version": 1, "files": [1]})
    )
    with pytest.raises(ReleaseError, match="a list of files"):
        load_dataset(source=folder)
    (folder / "manifest.json").write_text("[]")
    with pytest.raises(ReleaseError, match="class folders"):
        load_dataset(source=folder)


def test_arguments_that_do_not_fit(shards: Path) -> None:
    with pytest.raises(ValueError, match="revision='v1'"):
        load_dataset(source=shards, revision="v1")
    with pytest.raises(ValueError, match="config='patch'"):
        load_dataset("patch", source=shards)
    with pytest.raises(SourceError, match="nothing there"):
        load_dataset(source="./nowhere/at/all")


def test_a_file_that_no_manifest_lists_is_not_read(shards: Path, tmp_path: Path) -> None:
    folder = tmp_path / "her2-ihc-40x"
    shutil.copytree(shards, folder)
    one = min(folder.glob("data/wsi_test/*/*.parquet"))
    shutil.copy(one, one.with_name(f"old-{one.name}"))
    with pytest.raises(CountsError, match="1 more, the first of them data/wsi_test/"):
        load_dataset(source=folder, split="test", streaming=True)


def test_a_manifest_of_a_later_version(shards: Path, tmp_path: Path) -> None:
    folder = tmp_path / "her2-ihc-40x"
    shutil.copytree(shards, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format_version": 99}))
    with pytest.raises(ReleaseError, match="Upgrade"):
        load_dataset(source=folder)
