"""Audits of whole data sets: every planted leak is found, and a sound data set has no finding."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2", reason="needs the extra [build]")

from audit_lab import audit, broken, clean, noise, of
from her2_ihc_40x_builder.audit import findings, leaks
from her2_ihc_40x_builder.audit.findings import MAX_EXAMPLES, Finding, groups_found
from her2_ihc_40x_builder.cli import main
from her2_ihc_40x_builder.demo.drawing import draw_patch
from her2_ihc_40x_builder.shards.files import Sides
from her2_ihc_40x_builder.shards.manifest import read_manifest
from planted import COPIES, TEST, TRAIN, png, row, write_rows


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


def test_a_patient_known_here_by_the_column_and_there_by_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        (TRAIN, row("a", "SA", png(noise(1)), case_id="P-X")),
        (TEST, row("b", "SB", png(noise(2)))),
        (TRAIN, row("c", "SC", png(noise(3)), case_id="P-Y")),
    ]
    folder = write_rows(tmp_path / "half", rows)
    table = tmp_path / "patients.csv"
    table.write_text("slide_id,case_id\nSB,P-X\nSC,P-Z\n")
    assert main(["audit", str(folder), "--patients", str(table)]) == 1
    printed = capsys.readouterr().out
    assert re.search("unknown +patients +- .*\n +not tested: no patch of the test side has case_id", printed)
    assert re.search("BROKEN +patients_listed +1 of 2 patients", printed)
    assert "of 1 slides the table names another patient than case_id does" in printed


@pytest.mark.parametrize("column", ["slide_id", "case_id", "x"])
def test_what_is_known_of_one_side_alone_is_not_called_sound(tmp_path: Path, column: str) -> None:
    rows = [(side, row(side.wsi, side.wsi, png(noise(1)), case_id=side.wsi, x=0, y=0)) for side in (TRAIN, TEST)]
    whole = audit(write_rows(tmp_path / "whole", rows))
    rows[1][1].update({"x": None, "y": None} if column == "x" else {column: None})
    half = audit(write_rows(tmp_path / "half", rows))
    checks = {"slide_id": ("slides", "slide_names"), "case_id": ("patients", "patient_names"), "x": ("windows",)}
    for check in checks[column]:
        assert of(whole, check).status == "ok"
        assert of(half, check).unknown in (
            f"no patch of the test side has {column}",
            "no patch of the test side has slide_id, x, y",
        )


def test_of_a_side_that_is_not_there_nothing_is_said(tmp_path: Path) -> None:
    found = audit(write_rows(tmp_path / "train", [(TRAIN, row("a", "a", png(noise(1))))]))
    for check in ("slides", "same_bytes_across", "same_pixels_across"):
        assert of(found, check).unknown == "no patch is on the test side"
    assert of(found, "near_across").status == "unknown"


def test_tissue_is_not_called_apart_where_patches_of_a_side_are_too_small(tmp_path: Path) -> None:
    sizes = {TRAIN: 256, TEST: 100}
    rows = [(side, row(side.wsi, side.wsi, png(draw_patch("3+", at, sizes[side])))) for at, side in enumerate(sizes)]
    finding = of(audit(write_rows(tmp_path / "small", rows)), "near_across")
    assert finding.status == "unknown"
    assert str(finding.unknown).startswith("all patches of a side are of fewer than 128 pixels a side")


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


def test_windows_that_cross_without_number_are_counted_without_being_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        (side, row(f"{side.wsi}{n:02}", "one", png(noise(n)), x=n, y=0)) for n in range(12) for side in (TRAIN, TEST)
    ]
    folder = write_rows(tmp_path / "planted", rows)
    whole = of(audit(folder), "windows")
    assert (whole.count, len(whole.examples), whole.left_out, whole.note) == (12, 144, 0, "")
    assert whole.examples[:2] == (("test00", "train00"), ("test01", "train01"))
    monkeypatch.setattr(leaks, "MAX_EXAMPLES", 20)
    monkeypatch.setattr(findings, "MAX_EXAMPLES", 20)
    some = of(audit(folder), "windows")
    assert (some.count, some.examples, some.left_out) == (12, whole.examples[:20], 124)
    monkeypatch.setattr(leaks, "MAX_PAIRS", 50)
    some = of(audit(folder), "windows")
    assert (some.count, len(some.examples), some.left_out) == (12, 20, 30)
    assert some.note == "more than 50 pairs of windows share pixels: not all were compared for the examples"
