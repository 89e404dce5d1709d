"""Audits of whole data sets: every planted leak is found, and a sound data set has no finding."""

from __future__ import annotations

import io
import json
import math
import re
import shutil
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from her2_ihc_40x import ReleaseError

pytest.importorskip("cv2", reason="needs the extra [build]")

from her2_ihc_40x_builder.audit import CHECKS, Audit, audit_edition
from her2_ihc_40x_builder.audit.findings import MAX_EXAMPLES, Finding, groups_found
from her2_ihc_40x_builder.cli import main
from her2_ihc_40x_builder.demo.drawing import draw_patch
from her2_ihc_40x_builder.hub.diff import open_edition
from her2_ihc_40x_builder.shards.files import Sides, digest
from her2_ihc_40x_builder.shards.manifest import FILE_NAME, read_manifest
from hub_client import HubClient
from hub_double import HubDouble
from planted import COPIES, TEST, TRAIN, Spot, png, row, write_rows

Rows = list[tuple[Sides, dict[str, Any]]]


def audit(folder: Path) -> Audit:
    return audit_edition(open_edition(str(folder)), workers=2)


def of(found: Audit, check: str, config: str = "wsi_split") -> Finding:
    (finding,) = (each for each in found.findings if (each.config, each.check) == (config, check))
    return finding


def broken(found: Audit, config: str = "wsi_split") -> dict[str, int]:
    return {finding.check: finding.count for finding in found.broken if finding.config == config}


def noise(seed: int, size: int = 24) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def clean(count: int = 20) -> Rows:
    """Patches of slides of their own, none like another."""
    return [
        (
            TEST if at % 4 == 0 else TRAIN,
            row(f"clean-{at}", f"clean-{at}", png(noise(10_000 + at)), case_id=f"case-{at}"),
        )
        for at in range(count)
    ]


# --- Sound data sets ----------------------------------------------------------------------------------------------


def test_a_regenerated_set_breaks_nothing(built: Path) -> None:
    found = audit(built)
    assert {finding.config for finding in found.findings} == {"wsi_split", "patch_split"}
    assert found.broken == ()
    assert [finding.check for finding in found.findings if finding.config == "wsi_split" and finding.count] == []
    assert of(found, "slides").of == 4
    assert of(found, "patients").status == "unknown"


def test_a_release_is_told_what_its_patch_split_leaks(shards: Path) -> None:
    found = audit(shards)
    manifest = read_manifest(shards)
    test = sum(manifest.counts["patch_split"]["test"].values())
    names = of(found, "names", "patch_split")
    assert (names.status, of(found, "names").status) == ("told", "ok")
    leaked = int(re.match(r"(\d+) of (\d+) test patches", names.note)[1])  # type: ignore[index]
    assert 0 < leaked < test
    assert of(found, "slides").unknown == "no patch has slide_id"
    assert of(found, "counts").status == "told"  # packed as a subset
    assert found.broken == ()


# --- Planted leaks ------------------------------------------------------------------------------------------------


def test_100_exact_leaks_of_each_kind_are_found(tmp_path: Path) -> None:
    rows = clean(100)
    for at in range(100):
        one, other = noise(at), noise(1_000 + at)
        rows += [(TRAIN, row(f"b{at}", f"b{at}", png(one))), (TEST, row(f"b{at}'", f"b{at}'", png(one)))]
        rows += [(TRAIN, row(f"p{at}", f"p{at}", png(other))), (TEST, row(f"p{at}'", f"p{at}'", png(other, 9)))]
        slide, x = f"s{at}", 24 * (at % 2)  # every other pair of windows touches, but shares no pixel
        rows += [(TRAIN, row(f"s{at}", slide, png(noise(2_000 + at)), x=0, y=0, case_id=f"p{at}"))]
        rows += [(TEST, row(f"s{at}'", slide, png(noise(3_000 + at)), x=x or 23, y=23, case_id=f"p{at}"))]
    found = audit(write_rows(tmp_path / "planted", rows))
    assert broken(found) == {
        "slides": 100,
        "patients": 100,
        "windows": 50,
        "same_bytes_across": 100,
        "same_pixels_across": 200,
    }


def test_what_leaks_can_be_taken_out_by_the_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    field = draw_patch("2+", 1, 256)
    rows = [*clean(8), (TRAIN, row("near", "near", png(field)))]
    rows += [(TEST, row(f"near{at}", f"near{at}", png(np.rot90(field), 1 + at % 2))) for at in range(4)]
    for at in range(12):
        rows += [(TRAIN, row(f"b{at}", f"b{at}", png(noise(at)))), (TEST, row(f"b{at}'", f"b{at}'", png(noise(at))))]
        rows += [(TRAIN, row(f"s{at}", f"s{at}", png(noise(100 + at))))]
        rows += [(TEST, row(f"s{at}'", f"s{at}", png(noise(200 + at))))]
    folder = write_rows(tmp_path / "planted", rows)
    assert main(["audit", str(folder)]) == 1
    shown = re.search(r"same_bytes_across .*\n((?: {10}\S.*\n)+)", capsys.readouterr().out)
    assert shown
    assert len(shown[1].splitlines()) == 4  # three, and "..."
    assert main(["audit", str(folder), "--json"]) == 1
    findings = [f for f in json.loads(capsys.readouterr().out)["findings"] if f["config"] == "wsi_split"]
    examples = {f["check"]: f["examples"] for f in findings}
    assert len(examples["slides"]) == len(examples["same_bytes_across"]) == 12
    assert {pair[0] for pair in examples["near_across"]} >= {f"near{at}" for at in range(4)}  # of equal pixels all
    assert {f["examples_left_out"] for f in findings} == {0}

    slides = {slide for (slide,) in examples["slides"]}
    leaking = {pair[0] for check in ("same_pixels_across", "near_across") for pair in examples[check]}
    kept = [
        (side, columns)
        for side, columns in rows
        if columns["patch_id"] not in leaking and not (side == TEST and columns["slide_id"] in slides)
    ]
    assert [f.check for f in audit(write_rows(tmp_path / "mended", kept)).broken if f.check.endswith("across")] == []
    assert of(audit(tmp_path / "mended"), "slides").status == "ok"


def test_examples_have_a_bound_that_is_told() -> None:
    fields = groups_found([("one",)] * (MAX_EXAMPLES + 5))
    finding = Finding("wsi_split", "slides", "", MAX_EXAMPLES + 5, MAX_EXAMPLES + 5, **fields).to_json()
    assert len(finding["examples"]) == MAX_EXAMPLES == 100_000
    assert (finding["count"], finding["examples_left_out"]) == (100_005, 5)


def test_slides_that_differ_by_case_or_blanks_and_slides_unknown_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [(TRAIN, "S 1"), (TEST, "s1"), (TRAIN, "S2 "), (TEST, "S2"), (TRAIN, "S3"), (TEST, "S4"), (TEST, None)]
    rows = [(side, row(f"p{at}", name, png(noise(at)))) for at, (side, name) in enumerate(names)]
    folder = write_rows(tmp_path / "names", rows)
    found = of(audit(folder), "slide_names")
    assert (found.status, found.count, found.examples) == ("told", 2, (("S2", "S2 "), ("s1", "S 1")))
    assert of(audit(folder), "slides").status == "ok"
    assert main(["audit", str(folder)]) == 0
    assert "slide_id is known of 6 of 7 patches" in capsys.readouterr().out


def test_patients_spelled_alike_are_told_by_column_and_by_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names: list[tuple[Sides, str | None]] = [
        (TRAIN, "Müller"),
        (TEST, unicodedata.normalize("NFD", "MÜLLER")),
        (TRAIN, "P 1"),
        (TRAIN, "p1"),
    ]
    names += [(TEST, "P1"), (TRAIN, "P2"), (TEST, "P2"), (TRAIN, "p2"), (TEST, "P3"), (TEST, None)]
    rows = [(side, row(f"p{at}", f"s{at}", png(noise(at)), case_id=name)) for at, (side, name) in enumerate(names)]
    found = audit(write_rows(tmp_path / "column", rows))
    alike = of(found, "patient_names")
    assert (alike.status, alike.count, alike.of) == ("told", 3, 4)
    assert alike.examples == ((names[1][1], "Müller"), ("P1", "P 1", "p1"), ("P2", "p2"))
    assert broken(found) == {"patients": 1}  # P2 as it is

    bare = write_rows(tmp_path / "table", [(side, {**columns, "case_id": None}) for side, columns in rows])
    table = tmp_path / "patients.csv"
    table.write_text("slide_id,case_id\n" + "".join(f"s{at},{name or ''}\n" for at, (_, name) in enumerate(names)))
    assert main(["audit", str(bare), "--patients", str(table)]) == 1
    printed = capsys.readouterr().out
    assert re.search(r"unknown +patient_names +- .*\n +not tested: no patch has case_id", printed)
    assert re.search("found +patient_names_listed +3 of 4 patients", printed)
    assert "P1 | P 1 | p1" in printed


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Windows on the training side, a copy of each kind on the test side, and windows that are no copy."""
    field = draw_patch("2+", 1, 1536)
    spots = [Spot(field, x, y, 256) for y in range(0, 1536, 512) for x in range(0, 1536, 512)]
    rng = np.random.default_rng(0)
    rows = [(TRAIN, row(f"{at}", f"train-{at}", png(spot.pixels))) for at, spot in enumerate(spots)]
    rows += [
        (TEST, row(f"{kind}", f"test-{kind}", png(alter(spots[at], rng))))
        for at, (kind, alter) in enumerate(COPIES.items())
    ]
    others = [draw_patch("2+", seed, 256) for seed in range(2, 7)]
    rows += [(TEST, row(f"other-{at}", f"other-{at}", png(pixels))) for at, pixels in enumerate(others)]
    return write_rows(tmp_path_factory.mktemp("near") / "near", rows)


def test_near_copies_are_found_across_the_sides(near: Path) -> None:
    finding = of(audit(near), "near_across")
    assert (finding.status, finding.count, finding.of) == ("broken", len(COPIES), len(COPIES) + 5)
    assert {pair[0] for pair in finding.examples} == set(COPIES)
    assert all(dict(enumerate(COPIES))[int(pair[1])] == pair[0] for pair in finding.examples)


def test_the_split_by_patch_of_a_build_promises_pixels_but_not_slides(tmp_path: Path) -> None:
    def write(mode: str) -> Path:
        sides = (Sides("train", "train"), Sides("train", "test"))
        rows = [(side, row(f"{x}", "one", png(noise(x)), x=x, y=0)) for x, side in zip((0, 12), sides, strict=True)]
        return write_rows(tmp_path / mode, rows, parameters={"patch_split": mode})

    assert broken(audit(write("overlap")), "patch_split") == {"windows": 1}
    authors = audit(write("authors"))
    assert authors.broken == ()
    assert of(authors, "windows", "patch_split").status == of(authors, "slides", "patch_split").status == "told"
    assert of(authors, "slides", "patch_split").note == "1 of 1 test patches come from slides with training patches"


# --- Single patches -----------------------------------------------------------------------------------------------


def jpeg_with_exif() -> bytes:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x010F] = "a scanner"
    Image.fromarray(noise(1)).save(file, "JPEG", exif=exif)
    return file.getvalue()


def grey() -> bytes:
    file = io.BytesIO()
    Image.fromarray(noise(1)[:, :, 0]).save(file, "PNG")
    return file.getvalue()


GLASS = np.full((24, 24, 3), 240, np.uint8)
BAD: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "of one colour": ({"data": png(GLASS)}, {"constant": 1}),
    "glass": ({"data": png(GLASS - noise(1) // 128)}, {"blank": 1}),
    "little tissue": ({"tissue_fraction": 0.05}, {"tissue": 1}),
    "no image": ({"data": b""}, {"readable": 1}),
    "cut short": ({"data": png(noise(1))[:-200]}, {"readable": 1}),
    "small": ({"data": png(noise(1, 16))}, {"size": 1}),
    "grey": ({"data": grey()}, {"format": 1}),
    "EXIF": ({"data": jpeg_with_exif()}, {"format": 1, "metadata": 1}),
    "another label": ({"label": 2}, {"scores": 1}),
    "another hash": ({"sha256": "0" * 64}, {"sha256": 1}),
    "a path": ({"image.path": "/home/doe/bad.png"}, {"image_path": 1}),
    "another name": ({"image.path": "Doe_John.png"}, {"image_path": 1}),
    "a name behind its own": ({"image.path": "bad.Doe_John"}, {"image_path": 1}),
    "an empty path": ({"image.path": ""}, {"image_path": 1}),
    "no path": ({"image.path": None}, {}),
    "its own name": ({"image.path": "bad.JPG"}, {}),
    "tissue beyond 1": ({"tissue_fraction": 1.5}, {"values": 1}),
    "tissue of no number": ({"tissue_fraction": math.nan}, {"tissue": 1, "values": 1}),
    "no scale": ({"mpp": 0.0}, {"values": 1}),
    "endless scale": ({"mpp": math.inf}, {"values": 1}),
    "scale of no number": ({"mpp": math.nan}, {"values": 1}),
    "scale of 10x": ({"mpp": 1.0}, {"values": 1}),
    "likeness beyond 1": ({"hue_similarity": 1.01}, {"values": 1}),
    "likeness below -1": ({"hue_similarity": -1.01}, {"values": 1}),
    "likeness of no number": ({"hue_similarity": math.nan}, {"values": 1}),
    "outside the slide": ({"x": -1, "y": 0}, {"values": 1}),
    "half a place": ({"x": 1}, {"values": 1}),
    "numbers that can be": ({"x": 0, "y": 0, "mpp": 0.25, "tissue_fraction": 1.0, "hue_similarity": 1.0}, {}),
    "a hue that is the opposite": ({"hue_similarity": -1.0}, {}),
    "a region's label": ({"label": 2, "label_source": "region"}, {}),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_patch_is_found_in_both_configs(tmp_path: Path, name: str) -> None:
    columns, expected = dict(BAD[name][0]), BAD[name][1]
    data = columns.pop("data", png(noise(1)))
    parameters = {"patch_size": 24, "image_format": "png", "min_tissue": 0.1}
    image = {"bytes": data, "path": columns.pop("image.path", "bad.png")}
    rows = [*clean(), (TEST, row("bad", "bad", data, image=image, **columns))]
    found = audit(write_rows(tmp_path / "bad", rows, parameters=parameters))
    for config in ("wsi_split", "patch_split"):
        assert broken(found, config) == expected
        assert all(of(found, check, config).examples == (("bad",),) for check in expected)


def test_one_id_for_two_patches(tmp_path: Path) -> None:
    rows = [*clean(), (TEST, row("clean-1", "other", png(noise(1))))]
    found = audit(write_rows(tmp_path / "ids", rows))
    assert broken(found) == broken(found, "patch_split") == {"patch_ids": 2}
    assert of(found, "patch_ids").examples == (("clean-1",), ("clean-1",))


def test_one_image_under_two_labels(tmp_path: Path) -> None:
    rows = [
        *clean(),
        (TRAIN, row("a", "a", png(noise(1)))),
        (TRAIN, row("b", "a", png(noise(1), 9), label=3, slide_score=3)),
    ]
    found = audit(write_rows(tmp_path / "labels", rows))
    assert broken(found) == {"same_pixels_within": 1, "labels": 1}
    assert of(found, "labels").pairs[0].caption == "0 and 3+"


def test_a_release_with_a_label_below_its_slide_or_on_the_wrong_side(tmp_path: Path) -> None:
    named = {"label_source": "release", "slide_side": "train"}
    rows = [(TRAIN, row(f"{at}", None, png(noise(at)), label=1, **named)) for at in range(4)]
    rows += [(TRAIN, row("below", None, png(noise(8)), slide_score=1, **named))]
    rows += [(TEST, row("moved", None, png(noise(9)), **named))]
    found = audit(write_rows(tmp_path / "release", rows, kind="release"))
    assert broken(found).keys() == {"counts", "names", "scores"}
    assert of(found, "scores").examples == (("below",),)
    assert of(found, "names").examples == (("moved",),)
    assert of(found, "counts").count == 8
    assert of(found, "names", "patch_split").status == "told"


def test_glass_of_a_release_is_told(tmp_path: Path) -> None:
    rows = []
    for name, tissue in (("glass", 8), ("tissue", 160)):
        pixels = np.full((256, 256, 3), 235, np.uint8)
        pixels[:, :tissue] = draw_patch("3+", 0, 256)[:, :tissue]
        rows.append((TRAIN, row(name, None, png(pixels), label_source="release", slide_side="train")))
    finding = of(audit(write_rows(tmp_path / "release", rows, kind="release")), "glass")
    assert (finding.status, finding.examples) == ("told", (("glass",),))


# --- Hostile and damaged data sets --------------------------------------------------------------------------------


def rewrite(folder: Path, **options: Any) -> Path:
    """Write a shard of a data set again, otherwise than we do, with a manifest that fits it."""
    (shard, *rest) = read_manifest(folder).shards
    table = pq.read_table(folder / shard.path, partitioning=None)
    pq.write_table(table, folder / shard.path, **options)
    shards = [replace(shard, bytes=(folder / shard.path).stat().st_size), *rest]
    content = json.loads((folder / FILE_NAME).read_text())
    content["files"][0]["bytes"] = shards[0].bytes
    content["digest"] = digest(shards)
    (folder / FILE_NAME).write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("options", [{"compression": "zstd"}, {"compression": "none", "use_dictionary": True}])
def test_what_could_unpack_to_more_is_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    folder = rewrite(write_rows(tmp_path / "data", clean(1)), **options)
    with pytest.raises(
        ReleaseError, match="a compressed column" if options["compression"] == "zstd" else "a column in a dictionary"
    ):
        audit(folder)


def test_a_shard_that_is_none(tmp_path: Path) -> None:
    folder = write_rows(tmp_path / "data", clean(2))
    victim = folder / read_manifest(folder).shards[0].path
    victim.write_bytes(victim.read_bytes()[:-100])
    with pytest.raises(ReleaseError, match="a shard of ours"):
        audit(folder)
    victim.unlink()
    with pytest.raises(ReleaseError, match="a shard of ours"):
        audit(folder)


def test_texts_without_end_are_refused(tmp_path: Path) -> None:
    folder = write_rows(tmp_path / "data", [(TRAIN, row("x" * 2000, "s", png(noise(1))))])
    with pytest.raises(ReleaseError, match="a text of 2000 characters"):
        audit(folder)


def test_names_cannot_steer_a_terminal_or_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "\x1b[31m<script>\n"
    rows = [(TRAIN, row(name, "a", png(noise(1)))), (TEST, row(name + "'", "b", png(noise(1))))]
    folder = write_rows(tmp_path / "data", rows)
    assert main(["audit", str(folder)]) == 1
    printed = capsys.readouterr().out
    assert "?[31m<script>?" in printed
    assert "\x1b" not in printed
    assert "<script>" not in (tmp_path / "data-audit" / "index.html").read_text()


# --- The command --------------------------------------------------------------------------------------------------


def test_the_command(near: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in near.rglob("*") if path.is_file()}
    assert main(["audit", str(near)]) == 1
    printed = capsys.readouterr().out
    assert re.search(rf"BROKEN +near_across +{len(COPIES)} of {len(COPIES) + 5} test patches", printed)
    assert "promises broken: wsi_split near_across" in printed
    report = near.with_name("near-audit")
    pictures = sorted(report.glob("*.png"))
    assert pictures
    assert all(Image.open(picture).size == (776, 384) for picture in pictures)
    assert len(re.findall("<img", (report / "index.html").read_text())) == len(pictures)
    assert {path: path.read_bytes() for path in near.rglob("*") if path.is_file()} == before
    assert main(["audit", str(near)]) == 1  # an earlier report is replaced


def test_json_is_the_same_for_any_number_of_workers(near: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for workers in ("1", "3"):
        assert main(["audit", str(near), "--json", "--workers", workers]) == 1
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    content = json.loads(printed[0])
    top = ("format", "format_version", "name", "digest", "source", "patients_table", "patches", "broken", "findings")
    assert tuple(content) == top
    keys = ("config", "check", "promise", "status", "count", "of", "unit", "binding", "unknown", "note")
    lists = ("examples", "examples_left_out")
    assert all(tuple(finding) == keys + lists for finding in content["findings"])
    assert len(content["findings"]) >= 2 * len(CHECKS)
    assert content["patches"]["wsi_split"] == {"train": 9, "test": len(COPIES) + 5}


@pytest.mark.parametrize("trouble", ["a broken shard", "no manifest", "no folder", "a broken table"])
def test_an_error_is_json_too_and_said_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], trouble: str
) -> None:
    folder = write_rows(tmp_path / "data", clean(1))
    (tmp_path / "patients.csv").write_text("who\n")
    if trouble == "a broken shard":
        (folder / read_manifest(folder).shards[0].path).write_bytes(b"PAR1")
    elif trouble != "a broken table":
        shutil.rmtree(folder) if trouble == "no folder" else (folder / FILE_NAME).unlink()
    table = ["--patients", str(tmp_path / "patients.csv")] if trouble == "a broken table" else []
    for arguments in (["audit", str(folder), *table], ["audit", str(folder), *table, "--json"]):
        assert main(arguments) == 1
    out, err = capsys.readouterr()
    error = json.loads(out)["error"]  # of the second alone
    assert list(error) == ["type", "subject", "expected", "found", "remedy"]
    said = f"her2-ihc-40x: {error['subject']}: expected {error['expected']}, found {error['found']}. {error['remedy']}"
    assert err.splitlines() == [said, said]


def test_patients_from_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_rows(tmp_path / "data", [(s, {**columns, "case_id": None}) for s, columns in clean(8)])
    assert main(["audit", str(folder)]) == 0
    assert "no patch has case_id" in capsys.readouterr().out
    table = tmp_path / "patients.csv"
    table.write_text("slide_id,case_id\nclean-0,P\nclean-1,P\nclean-2,Q\n")
    assert main(["audit", str(folder), "--patients", str(table)]) == 1
    printed = capsys.readouterr().out
    assert re.search("BROKEN +patients_listed +1 of 2 patients", printed)
    assert "--patients knows 3 of 8 slides; 5 are not tested by it: clean-3, clean-4, clean-5, ..." in printed
    assert "a slide that --patients lists is known of 3 of 8 patches" in printed
    assert main(["audit", str(folder), "--patients", str(table), "--json"]) == 1
    counted = json.loads(capsys.readouterr().out)["patients_table"]
    assert counted == {"slides": 8, "known": 3, "unknown": 5}
    assert not (tmp_path / "data-audit").exists()  # no pair to show


def test_a_table_by_which_nothing_is_tested_is_an_error(
    tmp_path: Path, shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "patients.csv"
    table.write_text("slide_id,case_id\nnobody,P1\nclean-0,\n")
    assert main(["audit", str(write_rows(tmp_path / "data", clean(2))), "--patients", str(table)]) == 1
    assert "found none of its 2, such as 'clean-0'. Write slides as" in capsys.readouterr().err
    assert main(["audit", str(shards), "--patients", str(table)]) == 1  # a release without slides
    assert "found no slide named there. Leave --patients out" in capsys.readouterr().err
    for text, told in (
        ("slide_id,case_id,label\nclean-0,,0\n", "expected a value of case_id, found only empty cells"),
        ("slide_id,label\nclean-0,0\n", "expected a column case_id, found label columns"),
    ):
        table.write_text(text)
        assert main(["audit", str(tmp_path / "data"), "--patients", str(table)]) == 1
        assert told in capsys.readouterr().err


def test_the_report_spares_what_is_not_its_own(near: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shutil.copytree(near, tmp_path / "data")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    for place in (folder, folder / "report", tmp_path, tmp_path / "notes"):
        assert main(["audit", str(folder), "--report", str(place)]) == 1
        assert "Give another --report" in capsys.readouterr().err
    assert (tmp_path / "notes" / "mine.txt").read_text() == "mine"


def test_a_revision_on_the_hub(hub: HubDouble, near: Path, tmp_path: Path) -> None:
    repo = hub.store.create("lab/data")
    files = {path.relative_to(near).as_posix(): path.read_bytes() for path in near.rglob("*") if path.is_file()}
    repo.add(files)
    repo.tag("v1.0.0", "main")
    with HubClient(hub, tmp_path / "home") as client:
        done = client.run("audit", "lab/data@v1.0.0")
    assert done.code == 1, done.err
    assert "near_across" in done.out
    assert (tmp_path / "home" / "data-v1.0.0-audit" / "index.html").is_file()
