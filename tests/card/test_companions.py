"""The files beside the shards: written whole, listed in the manifest, made again from the shards alone."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
from pathlib import Path

import pytest

from built_twin import write_lab
from her2_ihc_40x import ReleaseError
from her2_ihc_40x_builder.card.companions import refresh_companions, write_companions
from her2_ihc_40x_builder.errors import OutputError
from her2_ihc_40x_builder.hashing import checksum
from her2_ihc_40x_builder.shards.manifest import EditedManifestError, Manifest, read_manifest


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write_manifest(folder: Path, content: dict[str, object]) -> None:
    """With a sha256 that fits."""
    (folder / "manifest.json").write_text(json.dumps({**content, "sha256": checksum(content)}))


@pytest.fixture
def folder(shards: Path, tmp_path: Path) -> Path:
    """A copy of the small release, packed."""
    return Path(shutil.copytree(shards, tmp_path / "her2-ihc-40x"))


def test_the_manifest_lists_every_other_file(shards: Path) -> None:
    manifest = read_manifest(shards)
    files = contents(shards)
    del files["manifest.json"]
    for shard in manifest.shards:
        del files[shard.path]
    assert {path: (hashlib.sha256(data).hexdigest(), len(data)) for path, data in files.items()} == {
        companion.path: (companion.sha256, companion.bytes) for companion in manifest.companions
    }
    assert {"README.md", "croissant.json", "figures/classes.png"} <= set(files)


def test_making_them_again_changes_nothing(folder: Path) -> None:
    before = contents(folder)
    refresh_companions(folder)
    assert contents(folder) == before


def test_a_licence_changes_the_texts_and_no_shard(folder: Path) -> None:
    before, digest = contents(folder), read_manifest(folder).digest
    inodes = {path: path.stat().st_ino for path in folder.glob("data/*/*/*")}
    manifest = refresh_companions(folder, "cc-by-sa-4.0")
    after = contents(folder)
    changed = {path for path in before | after if before.get(path) != after.get(path)}
    assert changed == {"README.md", "croissant.json", "manifest.json"}
    assert manifest == read_manifest(folder)
    assert manifest.digest == digest
    assert {path: path.stat().st_ino for path in folder.glob("data/*/*/*")} == inodes
    assert "license: cc-by-sa-4.0" in after["README.md"].decode()
    refresh_companions(folder)  # it stays
    assert contents(folder) == after


def test_what_was_lost_or_changed_comes_back(folder: Path) -> None:
    before = contents(folder)
    shutil.rmtree(folder / "figures")
    (folder / "README.md").write_text("mine")
    (folder / "croissant.json").unlink()
    refresh_companions(folder)
    assert contents(folder) == before


def test_figures_that_are_listed_and_not_drawn_any_more_go(tmp_path: Path) -> None:
    manifest = write_companions(tmp_path, write_lab(tmp_path))
    (tmp_path / "figures" / "mine.png").write_bytes(b"not listed")
    content = json.loads((tmp_path / "manifest.json").read_text())
    for name in ("figures/old.png", "../old.png", "data/old.png"):
        content["companions"].append({"path": name, "sha256": "0" * 64, "bytes": 1})
    write_manifest(tmp_path, content)
    kept = tmp_path / "data" / "old.png"
    kept.write_bytes(b"x")
    (tmp_path / "figures" / "old.png").write_bytes(b"x")
    assert refresh_companions(tmp_path).to_json() == manifest.to_json()
    assert not (tmp_path / "figures" / "old.png").exists()
    assert (tmp_path / "figures" / "mine.png").exists()
    assert kept.exists()


def test_a_folder_that_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(ReleaseError, match=r"manifest\.json"):
        refresh_companions(tmp_path)
    assert contents(tmp_path) == {"README.md": b"mine"}


@pytest.mark.parametrize(
    "change", [{"source": {}}, {"source": {"kind": "../x"}}, {"counts": {}}, {"parameters": []}, {"units": {"A": []}}]
)
def test_a_manifest_that_no_card_can_be_made_from(tmp_path: Path, change: dict[str, object]) -> None:
    write_companions(tmp_path, write_lab(tmp_path))
    write_manifest(tmp_path, {**json.loads((tmp_path / "manifest.json").read_text()), **change})
    before = contents(tmp_path)
    with pytest.raises(ReleaseError, match=r"manifest\.json"):
        refresh_companions(tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("part", ["parameters", "units", "report"])
def test_an_edited_manifest_is_not_written_anew_with_a_sha256_that_fits(tmp_path: Path, part: str) -> None:
    write_companions(tmp_path, write_lab(tmp_path))
    path = tmp_path / "manifest.json"
    good = path.read_bytes()
    refresh_companions(tmp_path)
    content = json.loads(good)
    content[part] = {**content[part], next(iter(content[part])): {}}
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    before = contents(tmp_path)
    with pytest.raises(EditedManifestError, match=r"manifest\.json: .*it was edited or damaged\. Put the file back"):
        refresh_companions(tmp_path, "cc-by-4.0")
    assert contents(tmp_path) == before
    path.write_bytes(good)
    assert refresh_companions(tmp_path, "cc-by-4.0").source["licence"] == "cc-by-4.0"


def test_a_damaged_shard_leaves_all_as_it_was(folder: Path) -> None:
    shard = folder / read_manifest(folder).shards[0].path
    shard.write_bytes(shard.read_bytes()[:-10])
    before = contents(folder)
    with pytest.raises(ReleaseError, match=shard.name.replace("+", r"\+")):
        refresh_companions(folder, "cc-by-4.0")
    assert contents(folder) == before


def test_a_link_out_of_the_folder_is_not_followed(folder: Path, tmp_path: Path) -> None:
    shutil.rmtree(folder / "figures")
    (tmp_path / "elsewhere").mkdir()
    (folder / "figures").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="link"):
        refresh_companions(folder)
    assert not any((tmp_path / "elsewhere").iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that takes no byte, /dev/full")
def test_a_full_disk_leaves_all_as_it_was(folder: Path) -> None:
    before = contents(folder)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(OutputError, match="File too large"):
            refresh_companions(folder, "cc-by-4.0")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert contents(folder) == before
    assert not list(folder.rglob(".*.partial"))


def test_nothing_is_written_through_a_link(folder: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    (folder / ".README.md.partial").symlink_to(mine)
    (folder / "croissant.json").unlink()
    (folder / "croissant.json").symlink_to(mine)
    refresh_companions(folder, "cc-by-4.0")
    assert mine.read_text() == "mine"
    assert not (folder / "croissant.json").is_symlink()


def test_the_same_shards_give_the_same_files(tmp_path: Path) -> None:
    made: list[tuple[Manifest, dict[str, bytes]]] = []
    for name in ("one", "two"):
        manifest = write_lab(tmp_path / name)
        if name == "two":
            manifest.shards.reverse()  # type: ignore[attr-defined]
            os.utime(tmp_path / name / manifest.shards[0].path, (1, 1))
        made.append((write_companions(tmp_path / name, manifest), contents(tmp_path / name)))
    assert made[0][1] == made[1][1]
