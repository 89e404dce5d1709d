"""Reading the release: every layout gives the same patches, and no damaged or hostile one gets through."""

from __future__ import annotations

import io
import logging
import os
import pickle
import shutil
import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from damage import OUTER, edit, first, make_zip, read_zip, unpack
from her2_ihc_40x import (
    BLOCK_SIZE,
    CLASSES,
    CONFIGS,
    COUNTS,
    REGIONS,
    SLIDES,
    SPLITS,
    CountsError,
    Her2Error,
    Release,
    ReleaseError,
    SourceError,
    blocks,
    check_image,
    open_release,
    parse_patch_name,
)
from her2_ihc_40x_builder.demo.release_twin import NAME_TABLE, TwinPatch, plan_twin, twin_of_listing
from her2_ihc_40x_builder.errors import OutputError
from permissions import held_back, needs_permissions
from twin_images import SIZE, MakeRelease, tiny_image


def found(release: Release) -> dict[str, set[tuple[str, str, str]]]:
    return {
        config: {(patch.split, patch.label, patch.file_name) for patch in patches}
        for config, patches in release.patches.items()
    }


def planned(plan: list[TwinPatch]) -> dict[str, set[tuple[str, str, str]]]:
    return {
        "wsi_split": {(p.wsi_side, p.label, p.file_name) for p in plan if p.wsi_side != "none"},
        "patch_split": {(p.patch_side, p.label, p.file_name) for p in plan},
    }


# --- Facts --------------------------------------------------------------------------------------------------------


def test_the_published_counts_add_up() -> None:
    totals = {
        (config, split): sum(COUNTS[config][split][label] for label in CLASSES)
        for config in CONFIGS
        for split in SPLITS
    }
    assert totals == {
        ("wsi_split", "train"): 8093,
        ("wsi_split", "test"): 1847,
        ("patch_split", "train"): 8797,
        ("patch_split", "test"): 2200,
    }
    assert sum(SLIDES.values()) == 107
    assert sum(REGIONS.values()) == 1199


@pytest.mark.shared
def test_the_table_of_names_is_that_of_the_real_listing(shared: Path) -> None:
    lines = (shared / "release" / "patch_variant_paths.txt").read_text().splitlines()
    listed: dict[tuple[str, str], dict[str, int]] = {}
    leaking = 0
    for patch in twin_of_listing(lines):
        row = listed.setdefault((patch.side, patch.label), {})
        row[patch.score] = row.get(patch.score, 0) + 1
        leaking += patch.patch_side == "test" and patch.side == "train"
    assert listed == NAME_TABLE
    assert leaking == 1748


def test_a_full_twin_has_the_published_counts() -> None:
    plan = plan_twin()
    assert len(plan) == 10997
    assert len({patch.file_name for patch in plan}) == 10997
    for config in CONFIGS:
        sides = [patch.patch_side if config == "patch_split" else patch.wsi_side for patch in plan]
        for split in SPLITS:
            for label in CLASSES:
                count = sum(p.label == label and side == split for p, side in zip(plan, sides, strict=True))
                assert count == COUNTS[config][split][label]


# --- Layouts ------------------------------------------------------------------------------------------------------


def test_zips_as_downloaded(release: Path, twin_plan: list[TwinPatch]) -> None:
    opened = open_release(release)
    assert found(opened) == planned(twin_plan)
    by_name = {patch.file_name: patch for patch in twin_plan}
    for patch in opened.patches["patch_split"]:
        assert patch.blob.read() == tiny_image(by_name[patch.file_name])


def test_every_other_layout_gives_the_same_patches(release: Path, tmp_path: Path, twin_plan: list[TwinPatch]) -> None:
    expected = planned(twin_plan)
    assert found(open_release(unpack(release, tmp_path / "outer", inner=False))) == expected
    assert found(open_release(unpack(release, tmp_path / "all"))) == expected
    only = open_release(release / OUTER["wsi_split"][0])
    assert found(only) == {"wsi_split": expected["wsi_split"]}
    part = open_release(tmp_path / "all" / "Patch-based-dataset")
    assert found(part) == {"patch_split": expected["patch_split"]}


@pytest.mark.parametrize("config", list(CONFIGS))
def test_the_described_folders(release: Path, tmp_path: Path, twin_plan: list[TwinPatch], config: str) -> None:
    """Train/ and Test/ with plain class folders name no variant: the sides in the file names tell it."""
    flat = unpack(release, tmp_path / "flat")
    folder, stem = ("WSI-based-dataset", "wsi") if config == "wsi_split" else ("Patch-based-dataset", "patch")
    root = tmp_path / "described"
    for split in SPLITS:
        shutil.move(flat / folder / f"{split}_data_{stem}", root / split.title())
        for label in CLASSES:
            (root / split.title() / f"class_{label}").rename(root / split.title() / label)
    (root / "WSI" / "3+").mkdir(parents=True)
    (root / "WSI" / "3+" / "a.svs").write_bytes(b"not read")
    (root / "ROI" / "3+").mkdir(parents=True)
    (root / "ROI" / "3+" / "a_1.png").write_bytes(b"not read")
    assert found(open_release(root)) == {config: planned(twin_plan)[config]}


def test_a_compressed_inner_zip_is_spooled_once(
    make_release: MakeRelease, tmp_path: Path, twin_plan: list[TwinPatch]
) -> None:
    root = make_release(inner_method=zipfile.ZIP_DEFLATED)
    opened = open_release(root, spool=tmp_path / "spool")
    assert found(opened) == planned(twin_plan)
    assert opened.patches["wsi_split"][0].blob.read()
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "spool").iterdir()}
    assert len(files) == 4
    open_release(root, spool=tmp_path / "spool")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "spool").iterdir()} == files


@pytest.mark.parametrize("flag", [0x20, 0x40])
def test_a_compressed_inner_zip_of_a_kind_that_python_does_not_read(
    make_release: MakeRelease, tmp_path: Path, flag: int
) -> None:
    root = make_release(inner_method=zipfile.ZIP_DEFLATED)
    path = root / "her2-ihc-40x-wsi.zip"
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\1\2")  # the last of the directory
    data[entry + 8] |= flag
    header = int.from_bytes(data[entry + 42 : entry + 46], "little")
    data[header + 6] |= flag
    path.write_bytes(data)
    with pytest.raises(ReleaseError, match="a whole zip"):
        open_release(root, spool=tmp_path / "spool")
    assert not list((tmp_path / "spool").glob("*.part"))


def test_a_compressed_inner_zip_needs_room(make_release: MakeRelease, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_release(inner_method=zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(ReleaseError, match="bytes free"):
        open_release(root, spool=root / "spool")


def test_zips_win_over_what_was_unpacked_beside_them(
    make_release: MakeRelease, twin_plan: list[TwinPatch], caplog: pytest.LogCaptureFixture
) -> None:
    root = make_release()
    unpack(root, root)
    with caplog.at_level(logging.WARNING):
        opened = open_release(root)
    assert found(opened) == planned(twin_plan)
    assert all(patch.blob.crc is not None for patch in opened.patches["wsi_split"])
    assert "not from the folder beside it" in caplog.text


def test_the_same_split_in_two_zips_is_refused(make_release: MakeRelease) -> None:
    root = make_release()
    shutil.copy(root / "her2-ihc-40x-wsi.zip", root / "her2-ihc-40x-wsi (1).zip")
    with pytest.raises(ReleaseError, match="one folder or zip"):
        open_release(root)


def test_junk_of_file_managers_is_passed_over(make_release: MakeRelease, twin_plan: list[TwinPatch]) -> None:
    root = make_release()
    junk = {"__MACOSX/class_0/._a.png": b"x", "class_0/.DS_Store": b"x", "class_0/Thumbs.db": b"x"}
    edit(root, "wsi_split", "train", lambda members: {**members, **junk})
    assert found(open_release(root)) == planned(twin_plan)


def test_order_does_not_hang_on_the_listing(make_release: MakeRelease) -> None:
    root = make_release()
    before = [patch.file_name for patch in open_release(root).patches["patch_split"]]
    edit(root, "patch_split", "train", lambda members: dict(reversed(members.items())))
    assert [patch.file_name for patch in open_release(root).patches["patch_split"]] == before


# --- Counts and fingerprints --------------------------------------------------------------------------------------


def test_other_counts_are_shown_beside_the_published(release: Path) -> None:
    with pytest.raises(CountsError) as caught:
        open_release(release).check_counts("wsi_split")
    assert "3131" in str(caught.value)
    assert "<-" in str(caught.value)
    assert 'verify="none"' in str(caught.value)


def test_the_fingerprint_follows_any_change(make_release: MakeRelease, tmp_path: Path) -> None:
    root = make_release()
    before = {config: open_release(root).fingerprint(config) for config in CONFIGS}

    def change(members: dict[str, bytes]) -> None:
        members[first(members)] = members[first(members)][:-1] + b"\0"  # same size

    edit(root, "wsi_split", "test", change)
    after = {config: open_release(root).fingerprint(config) for config in CONFIGS}
    assert after["wsi_split"] != before["wsi_split"]
    assert after["patch_split"] == before["patch_split"]
    loose = unpack(root, tmp_path / "loose")
    first_time = open_release(loose).fingerprint("wsi_split")
    path = Path(open_release(loose).patches["wsi_split"][0].blob.path)
    times = path.stat()
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # even with its old time
    assert open_release(loose).fingerprint("wsi_split") != first_time


def test_blocks_hold_one_score_and_side_and_every_patch_once() -> None:
    class Stub:
        def __init__(self, patch: TwinPatch) -> None:
            self.score, self.side, self.number = patch.score, patch.side, patch.number

    patches = [Stub(patch) for patch in plan_twin(0.3)]
    named = blocks(patches)  # type: ignore[arg-type]
    seen = [patch for _, members in named for patch in members]
    assert sorted(map(id, seen)) == sorted(map(id, patches))
    assert len({name for name, _ in named}) == len(named)
    for _, members in named:
        assert len({(patch.score, patch.side) for patch in members}) == 1
        assert len(members) <= BLOCK_SIZE
    assert len({name.split("-")[0] for name, _ in named[:12]}) > 1  # a prefix is no single score


# --- Damaged and hostile ------------------------------------------------------------------------------------------


def test_a_missing_release(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="Check the path"):
        open_release(tmp_path / "nowhere")
    with pytest.raises(ReleaseError, match=r"her2-ihc-40x-patch\.zip"):
        open_release(tmp_path)


@pytest.mark.parametrize("keep", [0.02, 0.5, 0.99])
def test_a_truncated_zip(make_release: MakeRelease, keep: float) -> None:
    root = make_release()
    path = root / "her2-ihc-40x-wsi.zip"
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(ReleaseError, match="compare its md5"):
        open_release(root)


def test_a_flipped_byte_is_found_when_it_is_read(make_release: MakeRelease) -> None:
    root = make_release()
    patch = open_release(root).patches["wsi_split"][5]
    path = root / "her2-ihc-40x-wsi.zip"
    data = bytearray(path.read_bytes())
    at = (patch.blob.offset or 0) + 200
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(ReleaseError, match=patch.file_name.replace("+", r"\+")):
        open_release(root).patches["wsi_split"][5].blob.read()


def test_a_missing_class_folder(make_release: MakeRelease) -> None:
    root = make_release()
    edit(root, "wsi_split", "test", lambda m: {k: v for k, v in m.items() if not k.startswith("class_2+/")})
    with pytest.raises(ReleaseError, match=r"2\+"):
        open_release(root)
    assert open_release(root, whole=False).patches["wsi_split"]


BAD_MEMBERS = {
    "unknown class": ("class_4+/her2-3+-score_test_01.png", "class folders"),
    "no class folder": ("her2-3+-score_test_9999.png", "class folders"),
    "deeper": ("class_3+/more/her2-3+-score_test_9999.png", "class folders"),
    "no pattern": ("class_3+/patch-17.png", "fits no pattern"),
    "label below score": ("class_1+/her2-3+-score_test_9999.png", "a class of at least 3"),
    "absolute": ("/etc/her2-3+-score_test_9999.png", "relative path"),
    "parent": ("../class_3+/her2-3+-score_test_9999.png", "relative path"),
    "hidden parent": ("class_3+/../../her2-3+-score_test_9999.png", "relative path"),
    "backslash": ("class_3+\\her2-3+-score_test_9999.png", "backslash"),
    "drive": ("C:/class_3+/her2-3+-score_test_9999.png", "relative path"),
}


@pytest.mark.parametrize("case", list(BAD_MEMBERS))
def test_bad_members(make_release: MakeRelease, case: str) -> None:
    name, message = BAD_MEMBERS[case]
    root = make_release()
    edit(root, "wsi_split", "test", lambda members: {**members, name: b"x"})
    with pytest.raises(ReleaseError, match=message):
        open_release(root)


def test_the_same_name_in_two_classes(make_release: MakeRelease) -> None:
    root = make_release()
    edit(root, "wsi_split", "test", lambda m: {**m, first(m, "0").replace("class_0", "class_3+"): b"x"})
    with pytest.raises(ReleaseError, match="used once"):
        open_release(root)


def test_the_same_member_twice(make_release: MakeRelease) -> None:
    root = make_release()
    path = root / "her2-ihc-40x-wsi.zip"
    members = read_zip(path)
    inner = OUTER["wsi_split"][1].format("test")
    (root / "inner.zip").write_bytes(members[inner])
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(root / "inner.zip", "a") as archive:
        archive.writestr(first(read_zip(members[inner])), b"again")
    members[inner] = (root / "inner.zip").read_bytes()
    (root / "inner.zip").unlink()
    path.write_bytes(make_zip(members))
    with pytest.raises(ReleaseError, match="used once"):
        open_release(root)


def test_a_link_in_a_zip(make_release: MakeRelease) -> None:
    root = make_release()
    link = zipfile.ZipInfo("class_3+/her2-3+-score_test_9999.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    members = read_zip(root / "her2-ihc-40x-wsi.zip")
    inner = OUTER["wsi_split"][1].format("test")
    (root / "inner.zip").write_bytes(members[inner])
    with zipfile.ZipFile(root / "inner.zip", "a") as archive:
        archive.writestr(link, "/etc/passwd")
    members[inner] = (root / "inner.zip").read_bytes()
    (root / "inner.zip").unlink()
    (root / "her2-ihc-40x-wsi.zip").write_bytes(make_zip(members))
    with pytest.raises(ReleaseError, match="symbolic link"):
        open_release(root)


def test_a_link_out_of_a_folder(release: Path, tmp_path: Path) -> None:
    root = unpack(release, tmp_path / "loose")
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"x")
    (root / "WSI-based-dataset/test_data_wsi/class_3+/her2-3+-score_test_9999.png").symlink_to(secret)
    with pytest.raises(ReleaseError, match="symbolic link"):
        open_release(root)


@needs_permissions
@pytest.mark.parametrize("mode", [0, 0o444])
def test_a_folder_that_cannot_be_looked_into(release: Path, tmp_path: Path, mode: int) -> None:
    root = unpack(release, tmp_path / "loose")
    (root / ".Trash-1000").mkdir(mode=0)
    assert found(held_back(lambda: open_release(root))) == found(open_release(release))
    shut = root / "WSI-based-dataset/train_data_wsi/class_3+"
    shut.chmod(mode)
    with pytest.raises(ReleaseError) as caught:
        held_back(lambda: open_release(root, whole=False))
    shut.chmod(0o755)
    assert str(caught.value).startswith(f"{shut}: expected a folder that can be looked into, found Permission denied.")


@pytest.mark.parametrize("where", ["image", "inner zip"])
def test_a_bomb_is_not_unpacked(make_release: MakeRelease, tmp_path: Path, where: str) -> None:
    root = make_release()
    zeros = bytes(4_000_000)
    members = read_zip(root / "her2-ihc-40x-wsi.zip")
    inner = OUTER["wsi_split"][1].format("test")
    if where == "image":
        bomb = make_zip({"class_3+/her2-3+-score_test_9999.png": zeros}, zipfile.ZIP_DEFLATED)
        (root / "her2-ihc-40x-wsi.zip").write_bytes(make_zip({**members, inner: bomb}))
    else:
        bomb = make_zip({**members, inner: zeros}, zipfile.ZIP_DEFLATED)
        (root / "her2-ihc-40x-wsi.zip").write_bytes(bomb)
    with pytest.raises(ReleaseError, match="times its stored size"):
        open_release(root, spool=tmp_path / "spool")
    assert not (tmp_path / "spool").exists()


def test_a_zip_in_a_zip_in_a_zip(make_release: MakeRelease) -> None:
    root = make_release()
    edit(root, "wsi_split", "test", lambda members: {**members, "class_3+/more.zip": make_zip({"a": b"b"})})
    with pytest.raises(ReleaseError, match="nested once"):
        open_release(root)


def test_a_method_that_python_cannot_unpack(make_release: MakeRelease) -> None:
    root = make_release()
    path = root / "her2-ihc-40x-wsi.zip"
    members = read_zip(path)
    inner = bytearray(members[OUTER["wsi_split"][1].format("test")])
    at = inner.rindex(b"PK\x01\x02")
    inner[at + 10 : at + 12] = (9).to_bytes(2, "little")
    members[OUTER["wsi_split"][1].format("test")] = bytes(inner)
    path.write_bytes(make_zip(members))
    with pytest.raises(ReleaseError, match="Deflate64"):
        open_release(root)


# --- Names, images, errors ----------------------------------------------------------------------------------------


@given(st.sampled_from(CLASSES), st.sampled_from(SPLITS), st.integers(0, 999_999), st.sampled_from(["png", "jpg"]))
def test_names_are_read_back(score: str, side: str, number: int, suffix: str) -> None:
    assert parse_patch_name(f"her2-{score}-score_{side}_{number:02d}.{suffix}") == (score, side, number)


@given(st.text())
def test_any_other_name_is_an_error_of_ours(name: str) -> None:
    if "score_" not in name:
        with pytest.raises(ReleaseError, match="fits no pattern"):
            parse_patch_name(name)


def test_images_are_checked_by_their_header(twin_plan: list[TwinPatch]) -> None:
    data = tiny_image(twin_plan[0])
    assert check_image(data, "a.png", SIZE).size == (SIZE, SIZE)
    assert check_image(data, "a.png", None).size == (SIZE, SIZE)
    with pytest.raises(ReleaseError, match="1024 x 1024"):
        check_image(data, "a.png", 1024)
    with pytest.raises(ReleaseError, match="PNG or JPEG"):
        check_image(b"GIF89a" + data, "a.png", SIZE)


def test_a_jpeg_with_further_pictures_behind_it_is_no_patch() -> None:
    file = io.BytesIO()
    picture = Image.new("RGB", (SIZE, SIZE))
    picture.save(file, "MPO", save_all=True, append_images=[picture])
    with pytest.raises(ReleaseError, match="several pictures"):
        check_image(file.getvalue(), "a.jpg", SIZE)


@pytest.mark.shared
def test_hostile_images_are_refused(shared: Path) -> None:
    for path in sorted((shared / "hostile").iterdir()):
        with pytest.raises(ReleaseError):
            check_image(path.read_bytes(), path.name, 1024).load()


@pytest.mark.parametrize("kind", [ReleaseError, CountsError, SourceError, OutputError])
def test_errors_survive_pickling(kind: type[Her2Error]) -> None:
    error = pickle.loads(pickle.dumps(kind("a.zip", "one", "two", "Do this.")))
    assert type(error) is kind
    assert (error.subject, error.expected, error.found, error.remedy) == ("a.zip", "one", "two", "Do this.")
    assert str(error) == "a.zip: expected one, found two. Do this."


# --- Folders that hold more than the release ----------------------------------------------------------------------


def test_what_else_is_in_a_downloads_folder_stops_nothing(
    make_release: MakeRelease, twin_plan: list[TwinPatch]
) -> None:
    root = make_release()
    (root / "thesis.zip").write_bytes(make_zip({"a.txt": bytes(100_000)}, zipfile.ZIP_DEFLATED))
    (root / "code.zip").write_bytes(make_zip({"repo/test/data/a.png": b"x"}))
    (root / "empty.zip").write_bytes(make_zip({}))
    (root / "repo" / "test").mkdir(parents=True)
    (root / "repo" / "test" / "logo.png").write_bytes(b"x")
    assert found(open_release(root)) == planned(twin_plan)


def test_the_folder_may_itself_be_called_test(make_release: MakeRelease, twin_plan: list[TwinPatch]) -> None:
    root = make_release("test")
    (root / "preview.png").write_bytes(b"x")
    assert found(open_release(root)) == planned(twin_plan)


def test_outer_zips_unpacked_beside_themselves(make_release: MakeRelease, twin_plan: list[TwinPatch]) -> None:
    root = make_release()
    unpack(root, root, inner=False)
    assert found(open_release(root)) == planned(twin_plan)


def test_one_variant_does_not_hang_on_the_other_s_zip(make_release: MakeRelease, twin_plan: list[TwinPatch]) -> None:
    root = make_release()
    (root / "her2-ihc-40x-patch.zip").write_bytes(b"PK cut short")
    assert found(open_release(root, config="wsi_split")) == {"wsi_split": planned(twin_plan)["wsi_split"]}
    with pytest.raises(ReleaseError, match="patch"):
        open_release(root)


def test_zips_that_are_links_are_followed(
    make_release: MakeRelease, tmp_path: Path, twin_plan: list[TwinPatch]
) -> None:
    root = make_release()
    (tmp_path / "linked").mkdir()
    for path in root.iterdir():
        (tmp_path / "linked" / path.name).symlink_to(path)
    assert found(open_release(tmp_path / "linked")) == planned(twin_plan)
    (tmp_path / "linked" / "loop").symlink_to(tmp_path / "linked" / "loop")
    with pytest.raises(ReleaseError, match="symbolic link"):
        open_release(tmp_path / "linked")


def test_no_path_is_not_this_folder() -> None:
    with pytest.raises(SourceError, match="no path"):
        open_release("")
