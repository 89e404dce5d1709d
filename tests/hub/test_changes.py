"""What a version changes, and what it may be called."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from editions import plan_slides, write_edition
from her2_ihc_40x import MAX_MANIFEST_BYTES
from her2_ihc_40x_builder.hub.changes import (
    CountChange,
    LocalFile,
    PublishError,
    RemoteFile,
    UnitChanges,
    Version,
    check_version,
    compare_counts,
    compare_files,
    compare_units,
    local_files,
    versions_among,
)
from her2_ihc_40x_builder.hub.remote import HubError, _read_manifest
from her2_ihc_40x_builder.shards.files import Shard
from her2_ihc_40x_builder.shards.manifest import Companion, Manifest, read_manifest
from hub_store import File

parts = st.integers(0, 10**9 - 1)
versions = st.builds(Version, parts, parts, parts)


@given(versions, versions)
def test_versions_are_read_as_written_and_ordered(one: Version, other: Version) -> None:
    assert Version.parse(str(one)) == one
    assert (one < other) == ((one.major, one.minor, one.patch) < (other.major, other.minor, other.patch))


@pytest.mark.parametrize(
    "text", ["", "1", "1.0", "v1.0.0", "1.0.0-rc1", "01.0.0", "1.0.0.0", "1.0.-1", "1.0.0\n", "\u0661.0.0"]
)
def test_other_texts_are_no_versions(text: str) -> None:
    with pytest.raises(ValueError, match=r"X\.Y\.Z"):
        Version.parse(text)


def test_versions_among_tags() -> None:
    tags = ["v1.10.0", "v1.9.0", "latest", "2.0.0", "v1.2", "vv1.0.0", "v0.1.0"]
    assert [str(version) for version in versions_among(tags)] == ["0.1.0", "1.9.0", "1.10.0"]


@pytest.mark.parametrize(
    ("version", "same_data", "allowed"),
    [
        ("1.2.4", True, True),
        ("1.3.0", True, True),
        ("1.3.0", False, True),
        ("2.0.0", False, True),
        ("1.2.4", False, False),
        ("1.2.3", True, False),
        ("1.2.2", True, False),
        ("0.9.9", False, False),
    ],
)
def test_what_may_follow(version: str, same_data: bool, allowed: bool) -> None:
    last = Version(1, 2, 3)
    if allowed:
        check_version(Version.parse(version), last, same_data=same_data)
    else:
        with pytest.raises(PublishError, match=version):
            check_version(Version.parse(version), last, same_data=same_data)
    check_version(Version.parse(version), None, same_data=False)


def shard(path: str, sha256: str = "0", unit: str = "A") -> Shard:
    return Shard(path, sha256, 1, 1, unit)


def manifest(*shards: Shard) -> Manifest:
    return Manifest(shards, {}, {}, {"kind": "slides"}, {})


paths = st.sets(
    st.sampled_from(
        [f"data/wsi_train/patch_test/{name}.parquet" for name in "abcdef"]
        + ["data/x.csv", "x.txt", "e.py", "x.py", ".huggingface.yaml", "dataset_infos.json"]
    )
)


@given(paths, paths, paths, st.booleans())
def test_a_commit_makes_it_so_and_leaves_what_is_not_ours(
    local: set[str], remote: set[str], listed: set[str], known: bool
) -> None:
    files = [
        LocalFile(path, 1, "new" if path < "data/wsi_train/patch_test/d" else "old", None) for path in sorted(local)
    ]
    there = {path: RemoteFile(1, "old", "") for path in remote}
    previous = manifest(*(shard(path) for path in sorted(listed))) if known else None
    changes = compare_files(files, there, previous, "lab/e")
    after = {path: file.sha256 for path, file in there.items() if path not in changes.delete}
    after |= {file.path: file.sha256 for file in changes.send}
    assert {path: after[path] for path in local} == {file.path: file.sha256 for file in files}
    shards = {path for path in listed if known and path.endswith(".parquet")}
    assert set(changes.delete) <= shards  # whatever else a manifest lists is not deleted
    left = set(after) - local
    assert not left & shards
    assert left - {"x.txt", "x.py"} == set(changes.foreign)
    again = {path: RemoteFile(1, sha256, "") for path, sha256 in after.items()}
    assert not compare_files(files, again, previous, "lab/e")


@pytest.mark.parametrize(
    "path",
    [".gitattributes", "notes.txt", "data/train.csv", "data/wsi_train/x.parquet", "data/wsi_train/patch_test/x.txt"],
)
def test_a_manifest_that_lists_other_files_has_none_of_them_deleted(path: str) -> None:
    hostile = replace(manifest(shard(path)), companions=[Companion(path, "0" * 64, 1)])
    assert compare_files([], {path: RemoteFile(1, "old", "")}, hostile, "lab/data").delete == ()


def test_a_manifest_that_is_too_large_to_be_read_does_not_come() -> None:
    there = {"manifest.json": RemoteFile(MAX_MANIFEST_BYTES + 1, None, "")}
    with pytest.raises(
        HubError, match=f"at most {MAX_MANIFEST_BYTES} bytes.*Put manifest.json of the last version back"
    ):
        _read_manifest("lab/data", "0" * 40, there)


def test_files_are_compared_as_the_hub_declares_them(shards: Path) -> None:
    files = local_files(shards, read_manifest(shards), ["README.md"])
    assert {file.path for file in files} >= {"README.md", "manifest.json"}
    remote = {}
    for number, file in enumerate(files):  # half in LFS, half as git keeps files
        data = (shards / file.path).read_bytes()
        kept = File.pointer(file.sha256, file.size) if number % 2 else File.regular(data)
        remote[file.path] = RemoteFile(kept.size, kept.sha256 if kept.lfs else None, kept.git_oid)
    assert not compare_files(files, remote, None, "lab/data")
    for file in files:
        other = {**remote, file.path: RemoteFile(file.size, None, File.regular(b"other").git_oid)}
        assert compare_files(files, other, None, "lab/data").send == (file,)


def test_units() -> None:
    before = manifest(shard("1"), shard("2"), shard("3", unit="B"), shard("4", unit="C"))
    after = manifest(shard("1"), shard("2", "1"), shard("3", unit="B"), shard("5", unit="D"))
    assert compare_units(before, after) == UnitChanges(added=("D",), removed=("C",), changed=("A",))
    assert compare_units(None, after).added == ("A", "B", "D")


def test_counts(tmp_path: Path) -> None:
    slides = plan_slides(2, 1)
    one = read_manifest(write_edition(tmp_path / "one", slides))
    two = read_manifest(write_edition(tmp_path / "two", {"slide-0": slides["slide-0"]}))
    assert compare_counts(one, one) == []
    assert compare_counts(one, two) == [
        CountChange("wsi_split", "train", "1+", 1, 0),
        CountChange("patch_split", "train", "1+", 1, 0),
    ]
    assert len(compare_counts(None, one)) == 4
