"""The difference of two data sets, patch by patch."""

from __future__ import annotations

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from editions import Slides, Spot, contents, plan_slides, write_edition
from her2_ihc_40x import ReleaseError, SourceError
from her2_ihc_40x_builder.cli import main
from her2_ihc_40x_builder.hub.diff import Difference, compare, open_edition, reading
from her2_ihc_40x_builder.hub.remote import HubError
from her2_ihc_40x_builder.shards.files import Sides
from her2_ihc_40x_builder.shards.manifest import read_manifest
from hub_client import HubClient
from hub_double import HubDouble

SLIDES = plan_slides()


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_edition(tmp_path_factory.mktemp("before") / "her2-ihc-40x", SLIDES)


def change(slide: str, position: int, **changes: object) -> Slides:
    spots = list(SLIDES[slide])
    spots[position] = replace(spots[position], **changes)  # type: ignore[arg-type]
    return {**SLIDES, slide: spots}


def difference(before: Path, folder: Path, slides: Slides) -> Difference:
    return compare(open_edition(str(before)), open_edition(str(write_edition(folder, slides))))


def test_nothing(before: Path, tmp_path: Path) -> None:
    found = difference(before, tmp_path / "same", SLIDES)
    assert found == Difference(found.units, (), (), (), (), (), ())
    assert found.units.added + found.units.removed + found.units.changed == ()


def test_relabelled(before: Path, tmp_path: Path) -> None:
    found = difference(before, tmp_path / "after", change("slide-0", 1, label="2+"))
    assert [(old.patch_id, old.label, new.label) for old, new in found.relabelled] == [("slide-0_1", "0", "2+")]
    assert found.units.changed == ("slide-0",)
    assert found.added + found.removed + found.moved + found.redrawn == ()


def test_moved(before: Path, tmp_path: Path) -> None:
    found = difference(before, tmp_path / "after", change("slide-0", 1, sides=Sides("train", "none")))
    assert [(old.patch_id, old.sides.patch, new.sides.patch) for old, new in found.moved] == [
        ("slide-0_1", "train", "none")
    ]
    assert found.added + found.removed + found.relabelled + found.redrawn == ()


def test_another_image(before: Path, tmp_path: Path) -> None:
    found = difference(before, tmp_path / "after", change("slide-0", 1, look=99))
    assert [old.patch_id for old, _ in found.redrawn] == ["slide-0_1"]


def test_another_column(before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    after = write_edition(tmp_path / "after", change("slide-0", 1, label_source="region"))
    assert main(["diff", str(before), str(after)]) == 0
    printed = capsys.readouterr().out
    assert "slides or blocks changed: 1\n  slide-0\n" in printed
    assert "patches with another image: 0\n" in printed
    assert "patches with other columns (label_source: 1): 1\n  slide-0_1: label_source\n" in printed


def test_slides_come_and_go(before: Path, tmp_path: Path) -> None:
    new = {**SLIDES, "slide-8": [Spot("slide-8_0", "3+", Sides("test", "none"), 8)]}
    del new["slide-2"]
    found = difference(before, tmp_path / "after", new)
    assert (found.units.added, found.units.removed, found.units.changed) == (("slide-8",), ("slide-2",), ())
    assert [patch.patch_id for patch in found.added] == ["slide-8_0"]
    assert [patch.patch_id for patch in found.removed] == [spot.patch_id for spot in SLIDES["slide-2"]]


def test_the_command(before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    after = write_edition(tmp_path / "after", change("slide-3", 0, label="2+", sides=Sides("train", "test")))
    assert main(["diff", str(before), str(after), "--show", "1"]) == 0
    printed = capsys.readouterr().out
    assert "patches relabelled: 1\n  slide-3_0: 3+ -> 2+\n" in printed
    assert "patches moved: 1\n  slide-3_0: wsi_split test -> train, patch_split train -> test\n" in printed
    emptied = write_edition(tmp_path / "fewer", {"slide-0": SLIDES["slide-0"]})
    assert main(["diff", str(before), str(emptied), "--show", "1"]) == 0
    assert "patches removed (1+: 4, 2+: 4, 3+: 4): 12\n  slide-1_0 (1+)\n  and 11 more\n" in capsys.readouterr().out


def test_what_is_no_data_set(before: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such folder"):
        open_edition(str(tmp_path / "nowhere"))
    with pytest.raises(ReleaseError):
        open_edition(str(tmp_path))
    damaged = shutil.copytree(before, tmp_path / "damaged")
    shard = sorted(read_manifest(damaged).shards)[0]
    (damaged / shard.path).write_bytes(b"PAR1")
    (damaged / "manifest.json").write_text(
        json.dumps({**json.loads((damaged / "manifest.json").read_text())}).replace(shard.sha256, "0" * 64)
    )
    with pytest.raises(ReleaseError):
        open_edition(str(damaged))
    other = write_edition(tmp_path / "other", change("slide-3", 0, label="0"))
    changed = next(s for s in sorted(read_manifest(other).shards) if s not in read_manifest(before).shards)
    (other / changed.path).write_bytes(b"PAR1")
    with pytest.raises(ReleaseError, match="a shard"):
        compare(open_edition(str(before)), open_edition(str(other)))


def test_an_id_of_two_patches(before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    after = write_edition(tmp_path / "after", change("slide-0", 1, patch_id="slide-0_0", label="3+"))
    found = compare(open_edition(str(before)), open_edition(str(after)))
    assert found.doubled == (("slide-0_0", 1, 2),)
    assert [patch.patch_id for patch in found.removed] == ["slide-0_1"]
    assert found.added + found.relabelled + found.redrawn == ()
    assert main(["diff", str(before), str(after)]) == 0
    printed = capsys.readouterr().out
    assert (
        "ids of more than one patch, not compared (see `her2-ihc-40x audit`): 1\n  slide-0_0: 1 in A, 2 in B\n"
        in printed
    )
    assert compare(open_edition(str(after)), open_edition(str(before))).doubled == (("slide-0_0", 2, 1),)


def test_a_damaged_page_of_a_folder_is_no_trouble_of_the_hub(before: Path, tmp_path: Path) -> None:
    after = write_edition(tmp_path / "after", change("slide-0", 1, label="2+"))
    changed = next(s for s in read_manifest(after).shards if s not in read_manifest(before).shards)
    group = pq.read_metadata(after / changed.path).row_group(0)
    columns = (group.column(number) for number in range(group.num_columns))
    page = next(column.data_page_offset for column in columns if column.path_in_schema == "sha256")
    with (after / changed.path).open("r+b") as file:
        file.seek(page)
        file.write(b"\xff" * 12)
    with pytest.raises(ReleaseError, match=r"expected a shard of ours, found .* See `her2-ihc-40x verify`"):
        compare(open_edition(str(before)), open_edition(str(after)))


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError("Couldn't deserialize thrift"), ReleaseError),
        (OSError(errno.EIO, "Input/output error"), HubError),
        (ConnectionResetError(errno.ECONNRESET, "reset"), HubError),
        (FileNotFoundError(errno.ENOENT, "gone"), ReleaseError),
        (HubError("a", "b", "c", "d"), HubError),
    ],
)
def test_whose_trouble_it_is(before: Path, error: OSError, raised: type[Exception]) -> None:
    edition = open_edition(str(before))
    shard = edition.manifest.shards[0]
    with pytest.raises(raised), reading(replace(edition, on_hub=True), shard):
        raise error
    with pytest.raises(HubError if isinstance(error, HubError) else ReleaseError), reading(edition, shard):
        raise error


def test_no_images_come_over_the_network(hub: HubDouble, tmp_path: Path) -> None:
    # 24 patches of 256 x 256 random pixels, 200 kB each, in row groups of 16.
    sides = Sides("train", "train")
    slides = {name: [Spot(f"{name}_{p}", "0", sides, p) for p in range(24)] for name in ("slide-0", "slide-1")}
    folders = [
        write_edition(tmp_path / "before", slides, size=256),
        write_edition(
            tmp_path / "after",
            {**slides, "slide-0": [replace(slides["slide-0"][0], label="1+"), *slides["slide-0"][1:]]},
            size=256,
        ),
    ]
    repo = hub.store.create("lab/data")
    for tag, folder in zip(("v1.0.0", "v1.1.0"), folders, strict=True):
        repo.add({path: (folder / path).read_bytes() for path in contents(folder)})
        repo.tag(tag, "main")
    with HubClient(hub, tmp_path / "home") as client:
        done = client.run("diff", "lab/data@v1.0.0", "lab/data@v1.1.0")
    assert done.code == 0, done.err
    assert "patches relabelled: 1\n  slide-0_0: 0 -> 1+\n" in done.out
    read = {r.path.rsplit("-slide-", 1)[1]: 0 for r in hub.requests if "parquet" in r.path and "/resolve/" in r.path}
    assert set(read) == {"0.parquet"}  # the slide that is the same is not opened
    came = sum(r.sent for r in hub.requests if "/resolve/" in r.path and "parquet" in r.path)
    whole = sum((folder / path).stat().st_size for folder in folders for path in contents(folder) if "slide-0" in path)
    # The footers are fetched 64 kB at a time; no image is.
    assert came < 2 * 100_000 < 0.03 * whole
