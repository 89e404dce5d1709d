"""Packing the release: the folder that plain `datasets` loads."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import datasets
import pytest
from PIL import Image

from damage import OUTER, decoding_otherwise, edit, first, read_zip, unpack
from her2_ihc_40x import CLASSES, CONFIGS, COUNTS, SPLITS, CountsError, Her2Ihc40x, ReleaseError
from her2_ihc_40x_builder.demo.release_twin import TwinPatch, plan_twin, twin_of_listing, write_twin
from her2_ihc_40x_builder.errors import ImageError, LabelError, OutputError
from her2_ihc_40x_builder.forking import worker_context
from her2_ihc_40x_builder.pack import PackOptions, pack_release
from her2_ihc_40x_builder.shards.manifest import read_manifest
from twin_images import SHARED, SIZE, MakeRelease, tiny_image

OPTIONS = PackOptions(subset=True, image_size=SIZE, workers=1)


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


PLAIN = """
import json, datasets
datasets.disable_progress_bars()
out = {}
for config in ("wsi_split", "patch_split"):
    mapped = datasets.load_dataset("her2-ihc-40x", config)
    streamed = datasets.load_dataset("her2-ihc-40x", config, streaming=True)
    for split in mapped:
        rows = list(streamed[split])
        assert [r["patch_id"] for r in rows] == list(mapped[split]["patch_id"])
        assert all(r["image"].size == (8, 8) for r in rows)
        names = mapped[split].features["label"].names
        assert mapped[split].features == streamed[split].features
        out[config + " " + split] = sorted((r["patch_id"], names[r["label"]]) for r in rows)
import sys
assert not [name for name in sys.modules if name.startswith("her2")]
print(json.dumps(out))
"""


def test_plain_datasets_loads_it_without_an_import_of_ours(shards: Path, twin_plan: list[TwinPatch]) -> None:
    done = subprocess.run([sys.executable, "-c", PLAIN], cwd=shards.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout)
    for config in CONFIGS:
        for split in SPLITS:
            sides = [patch.patch_side if config == "patch_split" else patch.wsi_side for patch in twin_plan]
            expected = [
                [patch.file_name.split(".")[0], patch.label]
                for patch, side in zip(twin_plan, sides, strict=True)
                if side == split
            ]
            assert loaded[f"{config} {split}"] == sorted(expected)


def test_every_patch_is_stored_once(shards: Path, twin_plan: list[TwinPatch]) -> None:
    manifest = read_manifest(shards)
    assert manifest.rows == len(twin_plan)
    assert manifest.report["in_both_variants"] == sum(patch.wsi_side != "none" for patch in twin_plan)
    for shard in manifest.shards:
        data = (shards / shard.path).read_bytes()
        assert (shard.bytes, shard.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_the_same_release_gives_the_same_bytes(release: Path, shards: Path, tmp_path: Path) -> None:
    """For other workers, hash seed, locale, listing order (unpacked folders) and check."""
    expected = contents(shards)
    code = "from her2_ihc_40x_builder.cli import main\nif __name__ == '__main__': raise SystemExit(main())"
    (tmp_path / "run.py").write_text(code)
    arguments = [str(release), "--out", "again", "--subset", "--image-size", "8", "--workers", "2"]
    environment = {**os.environ, "PYTHONHASHSEED": "77", "LC_ALL": "C", "TZ": "Asia/Tokyo"}
    subprocess.run(
        [sys.executable, "run.py", "pack", *arguments], cwd=tmp_path, env=environment, check=True, capture_output=True
    )
    assert contents(tmp_path / "again") == expected
    loose = unpack(release, tmp_path / "loose")
    pack_release(loose, tmp_path / "out", OPTIONS)
    assert contents(tmp_path / "out") == expected


def test_all_names_of_the_release(tmp_path: Path) -> None:
    """A twin with all 10,997 names, tiny images: the exact published counts, by the builder and by pack."""
    listing = SHARED / "release" / "patch_variant_paths.txt"
    plan = twin_of_listing(listing.read_text().splitlines()) if listing.exists() else plan_twin()
    root = tmp_path / "release"
    write_twin(root, plan, cache(lambda patch: tiny_image(patch, 4)))
    manifest = pack_release(root, tmp_path / "her2-ihc-40x", PackOptions(image_size=4, workers=2))
    assert manifest.counts == COUNTS
    assert manifest.rows == 10_997
    if listing.exists():  # the numbers of files that the README tells
        files = {f"{config} {split}": len(manifest.files_of(config, split)) for config in CONFIGS for split in SPLITS}
        assert files["wsi_split train"] == 145
        assert files["patch_split train"] == 120
    kept = str(tmp_path / "cache")
    builder = Her2Ihc40x(data_dir=root, config_name="patch_split", image_size=4, cache_dir=kept)
    builder.download_and_prepare()
    for config in CONFIGS:
        packed = datasets.load_dataset(
            str(tmp_path / "her2-ihc-40x"), config, cache_dir=kept, columns=["label", "patch_id"]
        )
        for split in SPLITS:
            rows = packed[split][:]
            labels = rows["label"]
            assert {label: labels.count(i) for i, label in enumerate(CLASSES)} == COUNTS[config][split]
            ids = sorted(rows["patch_id"])
            assert len(set(ids)) == len(ids)
            if config == "patch_split":  # which holds every name
                assert ids == sorted(builder.as_dataset(split=split).select_columns("patch_id")[:]["patch_id"])


@pytest.mark.parametrize("config", list(CONFIGS))
def test_one_variant_alone(make_release: MakeRelease, tmp_path: Path, config: str) -> None:
    root = make_release()
    (root / OUTER["wsi_split" if config == "patch_split" else "patch_split"][0]).unlink()
    manifest = pack_release(root, tmp_path / "out", OPTIONS)
    assert list(manifest.counts) == [config]
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == {
        split: sum(labels.values()) for split, labels in manifest.counts[config].items()
    }


def test_counts_need_an_opt_out(release: Path, tmp_path: Path) -> None:
    with pytest.raises(CountsError, match="--subset"):
        pack_release(release, tmp_path / "out", replace(OPTIONS, subset=False))
    assert list(tmp_path.iterdir()) == []


def test_a_repacked_folder_is_not_served_from_the_cache(make_release: MakeRelease, tmp_path: Path) -> None:
    root, out = make_release(), tmp_path / "her2-ihc-40x"

    def load() -> set[str]:
        loaded = datasets.load_dataset(str(out), "wsi_split", split="test", cache_dir=str(tmp_path / "cache"))
        return set(loaded["sha256"])

    pack_release(root, out, OPTIONS)
    before = load()
    other = tiny_image(TwinPatch("3+", "test", 999_999, "3+", "test", "test"))
    edit(root, "wsi_split", "test", lambda members: {**members, first(members): other})
    pack_release(root, out, replace(OPTIONS, overwrite=True))
    assert hashlib.sha256(other).hexdigest() not in before
    assert hashlib.sha256(other).hexdigest() in load()


# --- Slide ids ----------------------------------------------------------------------------------------------------


def slides_csv(path: Path, plan: list[TwinPatch], name: Callable[[TwinPatch], str]) -> Path:
    lines = [f"{patch.file_name.rsplit('.', 1)[0]},{name(patch)}" for patch in plan]
    path.write_text("patch_id,slide_id\n" + "\n".join(lines) + "\n")
    return path


def test_slide_ids_from_a_table(release: Path, tmp_path: Path, twin_plan: list[TwinPatch]) -> None:
    known = twin_plan[: len(twin_plan) // 2]
    table = slides_csv(tmp_path / "slides.csv", known, lambda patch: f"S:{patch.score}/{patch.side}")
    manifest = pack_release(release, tmp_path / "out", replace(OPTIONS, slides=table))
    rows = datasets.load_dataset(str(tmp_path / "out"), "patch_split", cache_dir=str(tmp_path / "cache"))
    found = {row["patch_id"]: row["slide_id"] for split in rows.values() for row in split.remove_columns("image")}
    for patch in twin_plan:
        expected = f"S:{patch.score}/{patch.side}" if patch in known else None
        assert found[patch.file_name.rsplit(".", 1)[0]] == expected
    slides = {shard.unit for shard in manifest.shards if not shard.unit.startswith("block-")}
    assert slides == {f"S:{patch.score}/{patch.side}" for patch in known}
    assert all("~2F" in shard.path for shard in manifest.shards if shard.unit in slides)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("patch,slide\na,b\n", "patch_id"),
        ("patch_id,slide_id\nnobody,S1\n", "line 2"),
        ("patch_id,slide_id\nher2-0-score_test_01,\n", "line 2"),
        ("patch_id,slide_id\nher2-0-score_test_01,block-0-test-000\n", "block-"),
        ("patch_id,slide_id\nher2-0-score_test_01,S1\nher2-0-score_test_01,S2\n", "line 3"),
        ("patch_id,slide_id\nher2-0-score_train_01,S1\nher2-0-score_test_01,S1\n", "one side a slide"),
    ],
)
def test_tables_that_do_not_fit(release: Path, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "slides.csv").write_text(text)
    with pytest.raises(LabelError, match=message):
        pack_release(release, tmp_path / "out", replace(OPTIONS, slides=tmp_path / "slides.csv"))
    assert not (tmp_path / "out").exists()


# --- Bad input ----------------------------------------------------------------------------------------------------


def damaged_png(members: dict[str, bytes]) -> bytes:
    """A PNG whose header is whole and whose pixels are not."""
    data = bytearray(members[first(members)])
    data[data.index(b"IDAT") + 8] ^= 0xFF
    return bytes(data)


@pytest.mark.parametrize("check", ["decode", "crc"])
def test_an_image_that_does_not_decode(make_release: MakeRelease, tmp_path: Path, check: Any) -> None:
    root = make_release()
    edit(root, "patch_split", "test", lambda members: {**members, first(members): damaged_png(members)})
    options = replace(OPTIONS, check=check)
    if check == "decode":
        with pytest.raises(ImageError, match=r"class_3\+"):
            pack_release(root, tmp_path / "out", options)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["release"]
    else:
        assert pack_release(root, tmp_path / "out", options).rows  # the zip's checksum is of the damaged bytes
        loose = unpack(root, tmp_path / "loose")
        with pytest.raises(ImageError, match=r"class_3\+"):  # a loose file has only its own
            pack_release(loose, tmp_path / "out2", options)


@pytest.mark.parametrize("check", ["decode", "crc"])
def test_a_loose_image_that_decodes_to_other_pixels(release: Path, tmp_path: Path, check: Any) -> None:
    loose = unpack(release, tmp_path / "loose")
    field = Image.new("RGB", (480, 480))
    field.paste((150, 90, 40), (100, 100, 370, 370))
    file = io.BytesIO()
    field.save(file, "PNG")
    path, options = min(loose.rglob("*.png")), replace(OPTIONS, image_size=None, check=check)
    path.write_bytes(file.getvalue())
    assert pack_release(loose, tmp_path / "out", options).rows
    path.write_bytes(next(decoding_otherwise(file.getvalue())))
    with pytest.raises(ImageError, match="broken PNG"):
        pack_release(loose, tmp_path / "spoiled", options)


def test_an_image_of_another_size(release: Path, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="--image-size"):
        pack_release(release, tmp_path / "out", replace(OPTIONS, image_size=1024))
    assert list(tmp_path.iterdir()) == []
    assert pack_release(release, tmp_path / "out", replace(OPTIONS, image_size=None)).rows


def test_a_jpeg_named_png_is_kept_and_counted(make_release: MakeRelease, tmp_path: Path) -> None:
    root = make_release()
    file = io.BytesIO()
    Image.new("RGB", (SIZE, SIZE), "brown").save(file, "JPEG")
    name = []

    def change(members: dict[str, bytes]) -> dict[str, bytes]:
        name.append(first(members))
        return {**members, first(members): file.getvalue()}

    edit(root, "patch_split", "test", change)
    manifest = pack_release(root, tmp_path / "out", OPTIONS)
    assert manifest.report["suffix_unlike_format"] == 1
    rows = datasets.load_dataset(str(tmp_path / "out"), "patch_split", split="test", streaming=True)
    stems = {row["patch_id"]: row["image"].format for row in rows}
    assert stems[Path(name[0]).stem] == "JPEG"


def test_one_image_under_two_labels_is_stored_twice(make_release: MakeRelease, tmp_path: Path) -> None:
    root = make_release()
    image = read_zip(read_zip(root / OUTER["wsi_split"][0])[OUTER["wsi_split"][1].format("test")])
    moved = next(name for name in image if name.startswith("class_0/"))

    def change(members: dict[str, bytes]) -> dict[str, bytes]:
        data = members.pop(moved)
        return {**members, moved.replace("class_0", "class_2+"): data}

    edit(root, "wsi_split", "test", change)
    manifest = pack_release(root, tmp_path / "out", OPTIONS)
    assert len(manifest.report["same_image_other_label_score_or_side"]) == 1
    rows = datasets.load_dataset(str(tmp_path / "out"), "wsi_split", split="test", streaming=True)
    labels = {row["patch_id"]: row["label"] for row in rows}
    assert labels[Path(moved).stem + ".wsi"] == CLASSES.index("2+")


def test_a_flipped_byte_in_a_zip(make_release: MakeRelease, tmp_path: Path) -> None:
    root = make_release()
    path = root / OUTER["patch_split"][0]
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 6] ^= 1
    path.write_bytes(data)
    with pytest.raises(ReleaseError, match="CRC"):
        pack_release(root, tmp_path / "out", OPTIONS)
    assert not (tmp_path / "out").exists()


def test_outputs_that_are_taken(release: Path, shards: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    with pytest.raises(OutputError, match="did not make"):
        pack_release(release, tmp_path / "mine", replace(OPTIONS, overwrite=True))
    copy = tmp_path / "copy"
    shutil.copytree(shards, copy)
    with pytest.raises(OutputError, match="--overwrite"):
        pack_release(release, copy, OPTIONS)
    assert contents(copy) == contents(shards)


def test_only_a_data_set_that_holds_nothing_else_is_replaced(release: Path, shards: Path, tmp_path: Path) -> None:
    copy, overwrite = tmp_path / "copy", replace(OPTIONS, overwrite=True)
    shutil.copytree(shards, copy)
    (copy / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"found notes\.txt"):
        pack_release(release, copy, overwrite)
    assert (copy / "notes.txt").read_text() == "mine"
    (copy / "notes.txt").unlink()
    shutil.copytree(release, copy / "downloads")
    with pytest.raises(OutputError, match="one that holds"):
        pack_release(copy / "downloads", copy, overwrite)
    assert contents(copy / "downloads") == contents(release)
    shutil.rmtree(copy / "downloads")
    (copy / ".cache" / "huggingface").mkdir(parents=True)
    (copy / ".cache" / "huggingface" / "CACHEDIR.TAG").touch()
    pack_release(release, copy, overwrite)
    assert contents(copy) == contents(shards)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/shm or a quota to fill a disk; Linux limits file size")
def test_a_full_disk_leaves_nothing(release: Path, tmp_path: Path) -> None:
    """A limit on the size of a file stands in for the full disk: the write itself fails, at its own place."""
    resource = pytest.importorskip("resource")
    limited = ProcessPoolExecutor(1, worker_context(), resource.setrlimit, (resource.RLIMIT_FSIZE, (2000, 2000)))
    with limited as process:
        error = process.submit(pack_release, release, tmp_path / "out", OPTIONS).exception()
    assert isinstance(error, OutputError)
    assert "File too large" in str(error)
    assert list(tmp_path.iterdir()) == []


def test_source_json_is_carried(make_release: MakeRelease, tmp_path: Path) -> None:
    root = make_release()
    (root / "source.json").write_text(json.dumps({"record": "15179608", "licence": "cc-by-sa-4.0"}))
    manifest = pack_release(root, tmp_path / "out", OPTIONS)
    assert manifest.source["licence"] == "cc-by-sa-4.0"
    assert "license: cc-by-sa-4.0" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(
    "text", ["[", '{"licence": "\\ud800"}', '{"version": "\\ud800"}', '{"size": NaN}', '{"licence": 4}']
)
def test_a_source_json_that_cannot_be_carried(make_release: MakeRelease, tmp_path: Path, text: str) -> None:
    root = make_release()
    (root / "source.json").write_text(text)
    with pytest.raises(ReleaseError, match=r"source\.json"):
        pack_release(root, tmp_path / "out", OPTIONS)
    assert not (tmp_path / "out").exists()
