"""The `datasets` builder over the release as downloaded."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import dill
import pytest

from damage import edit, first
from her2_ihc_40x import CLASSES, CONFIGS, FEATURES, CountsError, Her2Ihc40x, ReleaseError, SourceError
from her2_ihc_40x_builder.demo.release_twin import TwinPatch
from twin_images import SIZE, MakeRelease, tiny_image


def build(release: Path, config: str, **arguments: Any) -> Her2Ihc40x:
    return Her2Ihc40x(data_dir=release, config_name=config, verify="none", image_size=SIZE, **arguments)


def planned(plan: list[TwinPatch], config: str, split: str) -> dict[str, TwinPatch]:
    sides = "patch_side" if config == "patch_split" else "wsi_side"
    return {patch.file_name.split(".")[0]: patch for patch in plan if getattr(patch, sides) == split}


@pytest.mark.parametrize("config", list(CONFIGS))
@pytest.mark.parametrize("workers", [None, 2])
def test_map_style(release: Path, twin_plan: list[TwinPatch], config: str, workers: int | None, tmp_path: Path) -> None:
    builder = build(release, config, cache_dir=str(tmp_path))
    builder.download_and_prepare(num_proc=workers)
    loaded = builder.as_dataset()
    assert loaded["train"].features == FEATURES
    for split in ("train", "test"):
        expected = planned(twin_plan, config, split)
        rows = loaded[split].cast_column("image", datasets.Image(decode=False))
        assert Counter(rows["patch_id"]) == Counter(expected.keys())
        for row in rows:
            patch = expected[row["patch_id"]]
            assert row["image"]["bytes"] == tiny_image(patch)
            assert CLASSES[row["label"]] == patch.label
            assert CLASSES[row["slide_score"]] == patch.score
            assert row["slide_side"] == patch.side
            assert row["slide_id"] is row["x"] is row["mpp"] is None
    assert loaded["test"][0]["image"].size == (SIZE, SIZE)


@pytest.mark.parametrize("config", list(CONFIGS))
def test_streaming(release: Path, twin_plan: list[TwinPatch], config: str) -> None:
    streams = build(release, config).as_streaming_dataset()
    for split in ("train", "test"):
        assert Counter(row["patch_id"] for row in streams[split]) == Counter(planned(twin_plan, config, split).keys())


def test_a_stream_goes_on_where_it_stopped(release: Path) -> None:
    stream = build(release, "wsi_split").as_streaming_dataset(split="train")
    whole = [row["patch_id"] for row in stream]
    seen = []
    for row in stream:
        seen.append(row["patch_id"])
        if len(seen) == 7:
            state = stream.state_dict()
            break
    again = build(release, "wsi_split").as_streaming_dataset(split="train")
    again.load_state_dict(state)
    assert seen + [row["patch_id"] for row in again] == whole


@pytest.mark.parametrize("pickler", [pickle, dill])
def test_it_goes_to_a_worker(release: Path, pickler: Any) -> None:
    builder = pickler.loads(pickler.dumps(build(release, "wsi_split")))
    stream = pickler.loads(pickler.dumps(builder.as_streaming_dataset(split="test")))
    assert next(iter(stream))["image"].size == (SIZE, SIZE)


def test_counts_are_checked_before_anything_is_written(release: Path, tmp_path: Path) -> None:
    with pytest.raises(CountsError):
        Her2Ihc40x(data_dir=release, image_size=SIZE, cache_dir=str(tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()


def test_a_changed_release_is_not_served_from_the_cache(make_release: MakeRelease, tmp_path: Path) -> None:
    root = make_release()

    def load() -> list[bytes]:
        builder = build(root, "wsi_split", cache_dir=str(tmp_path / "cache"))
        builder.download_and_prepare()
        rows = builder.as_dataset(split="test").cast_column("image", datasets.Image(decode=False))
        return [image["bytes"] for image in rows["image"]]

    before = load()
    other = tiny_image(TwinPatch("3+", "test", 999_999, "3+", "test", "test"))
    edit(root, "wsi_split", "test", lambda members: {**members, first(members): other})
    assert sorted(load()) != sorted(before)
    assert other in load()


def test_a_variant_that_is_not_there(make_release: MakeRelease) -> None:
    root = make_release()
    (root / "her2-ihc-40x-patch.zip").unlink()
    with pytest.raises(SourceError, match="wsi_split"):
        build(root, "patch_split")


WRONG_SIZE = tiny_image(TwinPatch("0", "test", 1, "0", "test", "test"), 9)


@pytest.mark.parametrize(("damage", "message"), [(b"no image", "PNG or JPEG"), (WRONG_SIZE, "8 x 8")])
def test_bad_images_end_a_load_with_their_name(
    make_release: MakeRelease, tmp_path: Path, damage: bytes, message: str
) -> None:
    root = make_release()
    edit(root, "wsi_split", "test", lambda members: {**members, first(members): damage})
    builder = build(root, "wsi_split", cache_dir=str(tmp_path / "cache"))
    for workers in (1, 2):
        with pytest.raises(ReleaseError, match=message) as caught:
            builder.download_and_prepare(num_proc=workers)
        assert "class_3+" in str(caught.value)


def test_arguments_that_do_not_fit(release: Path) -> None:
    with pytest.raises(ValueError, match="config='split'"):
        build(release, "split")
    with pytest.raises(ValueError, match="verify='all'"):
        Her2Ihc40x(data_dir=release, verify="all")  # type: ignore[arg-type]
