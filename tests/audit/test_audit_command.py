"""The command `audit`: tables, JSON, the report, and what ends it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("cv2", reason="needs the extra [build]")

from audit_lab import clean
from her2_ihc_40x_builder.audit import CHECKS
from her2_ihc_40x_builder.cli import main
from her2_ihc_40x_builder.shards.manifest import FILE_NAME, read_manifest
from hub_client import HubClient
from hub_double import HubDouble
from planted import COPIES, write_rows


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
    assert "a patient by --patients, else by case_id is known of 3 of 8 patches" in printed
    assert main(["audit", str(folder), "--patients", str(table), "--json"]) == 1
    counted = json.loads(capsys.readouterr().out)["patients_table"]
    assert counted == {"slides": 8, "known": 3, "unknown": 5}
    table.write_text("slide_id,case_id\nclean-0,P\nCLEAN\u20131,P\n", encoding="utf-8")
    assert main(["audit", str(folder), "--patients", str(table)]) == 0
    differs = r"'CLEAN\u20131' differs from the slide 'clean-1' only in case, blanks or Unicode form"
    assert f"clean-1, clean-2, clean-3, ...; {differs}\n" in capsys.readouterr().out
    table.write_text("slide_id,case_id\nCLEAN\u20131,P\n", encoding="utf-8")
    assert main(["audit", str(folder), "--patients", str(table)]) == 1
    assert f"found none of its 8, such as 'clean-0'; {differs}. Write slides" in capsys.readouterr().err
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


def test_a_place_in_a_file_is_refused_before_anything_is_read(
    near: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    assert main(["audit", str(near), "--report", str(tmp_path / "file" / "report")]) == 1
    out, err = capsys.readouterr()
    assert (out, "a folder in a folder" in err) == ("", True)


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_report_that_cannot_be_written_costs_no_finding(
    near: Path, capsys: pytest.CaptureFixture[str], form: list[str]
) -> None:
    assert main(["audit", str(near), "--report", "/proc/report", *form]) == 1
    out, err = capsys.readouterr()
    assert "near_across" in out
    assert not form or json.loads(out)["broken"] > 0
    assert "give another --report" in err


def test_an_earlier_report_does_not_outlive_its_findings(
    near: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, sound = tmp_path / "report", write_rows(tmp_path / "sound", clean(4))
    assert main(["audit", str(sound), "--report", str(report)]) == 0
    assert not report.exists()
    main(["audit", str(near), "--report", str(report)])
    assert list(report.glob("*.png"))
    assert main(["audit", str(sound), "--report", str(report)]) == 0
    assert list(report.iterdir()) == [report / "index.html"]
    assert "There are none." in (report / "index.html").read_text()


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
