"""A build from DICOM slides: one series is one slide, its pixels are OpenSlide's, and no patient's name gets out."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import openslide
import pytest
from PIL import Image

from drawn_dicom import write_series
from drawn_slides import Cohort, build, command, contents, rows, write_qupath
from her2_ihc_40x_builder.demo.drawing import draw_field
from her2_ihc_40x_builder.geometry import Box
from her2_ihc_40x_builder.privacy.private_names import open_names
from planted_names import found_in, texts_in
from program import run_program

PATIENT = "Laakso^Eeva"
REGION = Box(200, 300, 500, 400)


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slide of two files in a folder, and one of a single file, with a region each; nobody may change it."""
    root = tmp_path_factory.mktemp("clinic")
    pixels = draw_field("3+", 1, 1000, 800)
    write_series(root / "WSI" / "3+" / "x", pixels, series="first", patient=PATIENT)
    write_series(root / "WSI" / "3+", pixels[::-1], series="second", downsamples=(1,), patient=PATIENT)
    for slide in ("x", "second-0"):
        write_qupath(root / "qupath" / f"{slide}.geojson", (REGION,))
    return root


@pytest.fixture(scope="module")
def done(clinic: Path) -> subprocess.CompletedProcess[str]:
    """What the command line said that built it."""
    return run_program(command(Cohort(clinic), clinic / "made" / "out", "--workers", "2"))


def test_each_series_is_one_slide_with_openslides_pixels(clinic: Path, done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
    assert "quarantined" not in done.stderr
    made = rows(clinic / "made" / "out")
    assert {(row["slide_id"], row["label"], row["mpp"]) for row in made} == {("x", 3, 0.25), ("second-0", 3, 0.25)}
    files = {"x": clinic / "WSI/3+/x/first-1.dcm", "second-0": clinic / "WSI/3+/second-0.dcm"}
    for row in made:
        with openslide.OpenSlide(files[row["slide_id"]]) as slide:
            wanted = slide.read_region((row["x"], row["y"]), 0, (256, 256)).convert("RGB")
        with Image.open(io.BytesIO(row["image"]["bytes"])) as patch:
            assert np.array_equal(np.asarray(patch), np.asarray(wanted))


@pytest.mark.usefixtures("done")
def test_a_series_is_made_anew_if_any_of_its_files_is_another(clinic: Path, tmp_path: Path) -> None:
    own = tmp_path / "clinic"
    shutil.copytree(clinic, own)
    before = contents(own / "made" / "out")
    assert build(Cohort(own), own / "made" / "out", intensity="none").reused == ("second-0", "x")
    assert contents(own / "made" / "out") == before
    other = write_series(own / "other", draw_field("3+", 2, 1000, 800), series="first", patient=PATIENT)
    other[1].replace(own / "WSI" / "3+" / "x" / other[1].name)
    assert "x" not in build(Cohort(own), own / "made" / "out", intensity="none").reused


def test_no_patient_of_a_dicom_header_reaches_output_report_or_log(
    clinic: Path, done: subprocess.CompletedProcess[str]
) -> None:
    with openslide.OpenSlide(clinic / "WSI/3+/x/first-0.dcm") as slide:
        hidden = [slide.properties[f"dicom.{name}"] for name in ("PatientName", "PatientID", "AccessionNumber")]
        hidden += [slide.properties["dicom.SeriesInstanceUID"], "Laakso"]
    assert found_in(set(hidden), [*texts_in(clinic / "made"), ("log", (done.stdout + done.stderr).encode())]) == set()


def test_under_a_key_the_hash_of_the_series_stays_in_too(clinic: Path, tmp_path: Path) -> None:
    key = tmp_path / "lab.key"
    names, _ = open_names(key, tmp_path / "made")
    build(Cohort(clinic), tmp_path / "made" / "out", intensity="none", names=names)
    with openslide.OpenSlide(clinic / "WSI/3+/x/first-0.dcm") as slide:
        hidden = {slide.properties["dicom.SeriesInstanceUID"], slide.properties["openslide.quickhash-1"][:8]}
    assert found_in(hidden | {"second-0", "first-0", "Laakso"}, texts_in(tmp_path / "made")) == set()


def test_two_slides_under_one_series_uid_are_two_slides(tmp_path: Path) -> None:
    for number, (score, slide) in enumerate((("3+", "a"), ("2+", "b"))):
        write_series(tmp_path / "WSI" / score / slide, draw_field(score, number, 1000, 800), series="copied")
        write_qupath(tmp_path / "qupath" / f"{slide}.geojson", (REGION,))
    made = build(Cohort(tmp_path), tmp_path / "out", intensity="none")
    assert made.plan.quarantined == {}
    assert {row["slide_id"] for row in rows(tmp_path / "out")} == {"a", "b"}
