"""The shards in what people train and look with: nothing lost, nothing doubled, no image read for a label."""

from __future__ import annotations

import functools
import io
import multiprocessing
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from datasets.distributed import split_dataset_by_node
from PIL import Image

from her2_ihc_40x import CLASSES, CONFIGS
from her2_ihc_40x_builder.demo.release_twin import TwinPatch
from twin_images import SIZE, tiny_image

both_configs = pytest.mark.parametrize("config", list(CONFIGS))


def load(shards: Path, config: str, split: str = "train", *, streaming: bool = True) -> Any:
    return datasets.load_dataset(str(shards), config, split=split, streaming=streaming)


def planned(plan: list[TwinPatch], config: str, split: str = "train") -> dict[str, TwinPatch]:
    """patch_id -> patch of a split."""
    return {
        patch.file_name.rsplit(".", 1)[0]: patch
        for patch in plan
        if split == (patch.patch_side if config == "patch_split" else patch.wsi_side)
    }


def label_counts(plan: list[TwinPatch]) -> Counter[int]:
    return Counter(CLASSES.index(patch.label) for patch in plan)


# --- Arrays -------------------------------------------------------------------------------------------------------


@both_configs
@pytest.mark.parametrize("streaming", [True, False], ids=["streaming", "map-style"])
def test_numpy(shards: Path, twin_plan: list[TwinPatch], config: str, streaming: bool) -> None:
    expected = planned(twin_plan, config)
    seen = set()
    for row in load(shards, config, streaming=streaming).with_format("numpy"):
        patch = expected[str(row["patch_id"])]
        assert row["image"].shape == (SIZE, SIZE, 3)
        assert row["image"].dtype == np.uint8
        assert CLASSES[int(row["label"])] == patch.label
        seen.add(str(row["patch_id"]))
    assert seen == set(expected)


def test_numpy_has_the_pixels_of_the_release(shards: Path, twin_plan: list[TwinPatch]) -> None:
    expected = planned(twin_plan, "wsi_split", "test")
    for row in load(shards, "wsi_split", "test").with_format("numpy"):
        data = tiny_image(expected[str(row["patch_id"])])
        np.testing.assert_array_equal(row["image"], np.asarray(Image.open(io.BytesIO(data))))


@both_configs
@pytest.mark.parametrize("streaming", [True, False], ids=["streaming", "map-style"])
def test_jax(shards: Path, twin_plan: list[TwinPatch], config: str, streaming: bool) -> None:
    jax = pytest.importorskip("jax")
    expected = planned(twin_plan, config, "test")
    loaded = load(shards, config, "test", streaming=streaming).select_columns(["image", "label"]).with_format("jax")
    images, labels = [], []
    for batch in loaded.batch(4).with_format("jax") if streaming else loaded.iter(4):
        images.append(jax.numpy.stack(list(batch["image"])))
        labels += [int(label) for label in batch["label"]]
    stacked = jax.numpy.concatenate(images)
    assert isinstance(stacked, jax.Array)
    assert stacked.shape == (len(expected), SIZE, SIZE, 3)
    assert Counter(labels) == label_counts(list(expected.values()))


# --- PyTorch ------------------------------------------------------------------------------------------------------


def torch_row(row: dict[str, Any]) -> dict[str, Any]:
    return {"image": np.array(row["image"]), "label": row["label"], "patch_id": row["patch_id"]}


def torch_ids(stream: Any, workers: int) -> list[str]:
    """The patch ids that a DataLoader gives, once every batch has been looked at."""
    torch = pytest.importorskip("torch")
    loader = torch.utils.data.DataLoader(
        stream,
        batch_size=4,
        num_workers=workers,
        collate_fn=torch_batch,
        multiprocessing_context=clean_processes() if workers else None,
    )
    ids: list[str] = []
    for images, labels, names in loader:
        assert images.shape == (len(names), SIZE, SIZE, 3)
        assert images.dtype == torch.uint8
        assert labels.dtype == torch.int64
        ids += names
    return ids


@functools.cache
def clean_processes() -> Any:
    """Workers are not forked from here: JAX and Polars start threads in this process, whose locks a fork copies."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "datasets"])
    return context


def torch_batch(rows: list[dict[str, Any]]) -> tuple[Any, Any, list[str]]:
    import torch

    images = torch.stack([torch.from_numpy(row["image"]) for row in rows])
    return images, torch.tensor([row["label"] for row in rows]), [row["patch_id"] for row in rows]


@both_configs
@pytest.mark.parametrize("workers", [0, 2])
def test_torch_streaming(shards: Path, twin_plan: list[TwinPatch], config: str, workers: int) -> None:
    stream = load(shards, config).map(torch_row, remove_columns=others(shards, config))
    assert stream.num_shards > 2
    assert sorted(torch_ids(stream, workers)) == sorted(planned(twin_plan, config))


def test_torch_with_fewer_shards_than_workers(shards: Path, tmp_path: Path) -> None:
    file = largest(shards)
    shutil.copy(file, tmp_path / "one.parquet")
    stream = datasets.load_dataset("parquet", data_files=str(tmp_path / "one.parquet"), split="train", streaming=True)
    assert stream.num_shards == 1
    ids = torch_ids(stream.map(torch_row, remove_columns=others(shards, "wsi_split")), workers=2)
    assert sorted(ids) == sorted(pq.read_table(file, columns=["patch_id"])["patch_id"].to_pylist())


def test_torch_shuffled_loses_none(shards: Path, twin_plan: list[TwinPatch]) -> None:
    stream = load(shards, "wsi_split").shuffle(seed=3, buffer_size=10)
    ids = torch_ids(stream.map(torch_row, remove_columns=others(shards, "wsi_split")), workers=2)
    assert sorted(ids) == sorted(planned(twin_plan, "wsi_split"))
    assert sorted(ids) != ids


@both_configs
@pytest.mark.parametrize("workers", [0, 2])
def test_torch_map_style(shards: Path, twin_plan: list[TwinPatch], config: str, workers: int) -> None:
    pytest.importorskip("torch")
    mapped = load(shards, config, streaming=False)
    mapped = mapped.select_columns(["image", "label", "patch_id"]).with_transform(torch_rows)
    assert sorted(torch_ids(mapped, workers)) == sorted(planned(twin_plan, config))


def torch_rows(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {**batch, "image": [np.array(image) for image in batch["image"]]}


def test_torch_format(shards: Path) -> None:
    torch = pytest.importorskip("torch")
    row = next(iter(load(shards, "wsi_split").select_columns(["image", "label"]).with_format("torch")))
    assert row["image"].shape == (3, SIZE, SIZE)
    assert row["label"].dtype == torch.int64


def others(shards: Path, config: str) -> list[str]:
    return [name for name in load(shards, config).features if name not in ("image", "label", "patch_id")]


def largest(shards: Path) -> Path:
    return max(shards.rglob("*.parquet"), key=lambda path: pq.read_metadata(path).num_rows)


# --- Tables: labels without images --------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def blinded(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shards with every byte of their image columns overwritten: who reads an image fails, or gets rubbish."""
    folder = tmp_path_factory.mktemp("blinded") / "data"
    shutil.copytree(shards / "data", folder)
    for path in folder.rglob("*.parquet"):
        groups = pq.read_metadata(path)
        with path.open("r+b") as file:
            for group in range(groups.num_row_groups):
                for at in range(groups.num_columns):
                    column = groups.row_group(group).column(at)
                    if column.path_in_schema.startswith("image."):
                        file.seek(column.data_page_offset)
                        file.write(b"\xff" * column.total_compressed_size)
    return folder


def test_images_of_the_blinded_shards_cannot_be_read(blinded: Path) -> None:
    with pytest.raises(OSError, match="page header"):
        pq.read_table(largest(blinded), columns=["image"])


def test_pandas(blinded: Path, twin_plan: list[TwinPatch]) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(blinded, columns=["label", "slide_id", "patch_id"])
    check_labels(frame["label"].tolist(), frame["patch_id"].tolist(), twin_plan)
    assert frame["slide_id"].isna().all()


def test_polars(blinded: Path, twin_plan: list[TwinPatch]) -> None:
    polars = pytest.importorskip("polars")
    frame = polars.scan_parquet(f"{blinded}/**/*.parquet").select("label", "slide_id", "patch_id").collect()
    check_labels(frame["label"].to_list(), frame["patch_id"].to_list(), twin_plan)
    assert frame["slide_id"].dtype == polars.String
    assert frame["slide_id"].null_count() == len(frame)


def test_duckdb(blinded: Path, twin_plan: list[TwinPatch]) -> None:
    duckdb = pytest.importorskip("duckdb")
    query = f"select label, slide_id, patch_id from '{blinded}/**/*.parquet'"
    rows = duckdb.sql(query).fetchall()
    check_labels([row[0] for row in rows], [row[2] for row in rows], twin_plan)
    assert {row[1] for row in rows} == {None}


def test_datasets_with_columns(blinded: Path, shards: Path, twin_plan: list[TwinPatch]) -> None:
    shutil.copy(shards / "README.md", blinded.parent / "README.md")
    for config in CONFIGS:
        stream = datasets.load_dataset(
            str(blinded.parent), config, split="train", streaming=True, columns=["label", "patch_id"]
        )
        assert {row["patch_id"] for row in stream} == set(planned(twin_plan, config))


def check_labels(labels: list[int], ids: list[str], plan: list[TwinPatch]) -> None:
    expected = {patch.file_name.rsplit(".", 1)[0]: CLASSES.index(patch.label) for patch in plan}
    assert len(ids) == len(expected)
    assert dict(zip(ids, labels, strict=True)) == expected


def test_one_config_by_its_folders(shards: Path, twin_plan: list[TwinPatch]) -> None:
    """The sides are in the paths, so that a table of one config needs no card."""
    files = [str(path) for path in shards.glob("data/*/patch_test/*.parquet")]
    table = pa.dataset.dataset(files, format="parquet").to_table(columns=["patch_id"])
    assert set(table["patch_id"].to_pylist()) == set(planned(twin_plan, "patch_split", "test"))


# --- Order, resumption, nodes -------------------------------------------------------------------------------------


@both_configs
@pytest.mark.parametrize("after", [1, 5, 17, 30])
def test_exact_resume_unshuffled(shards: Path, config: str, after: int) -> None:
    everything = [row["patch_id"] for row in load(shards, config)]
    stream = load(shards, config)
    begun = []
    for row in stream:
        begun.append(row["patch_id"])
        if len(begun) == after:
            state = stream.state_dict()
            break
    resumed = load(shards, config)
    resumed.load_state_dict(state)
    assert begun + [row["patch_id"] for row in resumed] == everything


@both_configs
def test_nodes_share_the_shards_where_they_divide(shards: Path, twin_plan: list[TwinPatch], config: str) -> None:
    stream = load(shards, config)
    nodes = next(number for number in range(2, stream.num_shards + 1) if stream.num_shards % number == 0)
    parts = [split_dataset_by_node(load(shards, config), rank, nodes) for rank in range(nodes)]
    assert [part.num_shards for part in parts] == [stream.num_shards // nodes] * nodes
    seen = [row["patch_id"] for part in parts for row in part]
    assert sorted(seen) == sorted(planned(twin_plan, config))


def test_nodes_take_turns_where_they_do_not(shards: Path, twin_plan: list[TwinPatch]) -> None:
    """Every node then reads every shard: nothing is lost, but nothing is saved either."""
    stream = load(shards, "wsi_split")
    nodes = next(number for number in range(2, stream.num_shards + 2) if stream.num_shards % number)
    parts = [split_dataset_by_node(load(shards, "wsi_split"), rank, nodes) for rank in range(nodes)]
    seen = [[row["patch_id"] for row in part] for part in parts]
    assert sorted(name for names in seen for name in names) == sorted(planned(twin_plan, "wsi_split"))
    assert max(map(len, seen)) - min(map(len, seen)) <= 1


def test_a_map_style_split_by_node(shards: Path, twin_plan: list[TwinPatch]) -> None:
    mapped = load(shards, "patch_split", streaming=False).select_columns(["patch_id"])
    parts = [split_dataset_by_node(mapped, rank, 3)["patch_id"] for rank in range(3)]
    assert sorted(name for part in parts for name in part) == sorted(planned(twin_plan, "patch_split"))


def test_the_first_rows_are_not_of_one_class(shards: Path) -> None:
    labels = [row["label"] for row in load(shards, "wsi_split").select_columns(["label"]).take(40)]
    assert len(set(labels)) > 1
