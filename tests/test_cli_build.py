"""The commands build, plan and doctor: what they print, their exit codes, and what they need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from drawn_slides import CLI, PATCH, Cohort, command, contents
from her2_ihc_40x import CLASSES
from her2_ihc_40x_builder.cli import main
from her2_ihc_40x_builder.shards.manifest import read_manifest


def test_two_workers_and_another_hash_seed_give_the_same_bytes_and_a_report_beside(
    cohort: Cohort, built: Path, tmp_path: Path
) -> None:
    out = tmp_path / "her2-ihc-40x"
    environment = {**os.environ, "PYTHONHASHSEED": "7", "LC_ALL": "C"}
    run = [*CLI, *command(cohort, out, "--workers", "2")]
    done = subprocess.run(run, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert contents(out) == contents(built)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["her2-ihc-40x", "her2-ihc-40x-report"]
    lines = done.stdout.splitlines()
    assert sorted(line.split(" (")[0] for line in lines[:4]) == [
        f"{slide}: 2 regions, 7 windows, 7 kept" for slide in "ABCD"
    ]
    assert [line.split(" (")[1].split(",")[0] for line in lines[:4]] == ["1/4", "2/4", "3/4", "4/4"]
    assert " ".join(lines[4].split()) == "class slides regions windows kept -tissue -hue -stain DAB p99"
    assert [line.split()[:5] for line in lines[5:9]] == [
        ["0", "1", "2", "7", "7"],
        ["1+", "1", "2", "7", "7"],
        ["2+", "0", "0", "0", "0"],
        ["3+", "2", "4", "14", "14"],
    ]
    assert lines[-1] == f"digest {read_manifest(out).digest}"
    assert sum(line.startswith("hue filter, ") for line in lines) == 3


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--intensity", "reinhard"], "--accept-stain-loss"),
        (["--intensity", "macenko", "--accept-stain-loss"], "--stain-reference"),
        (["--patch-size", "1"], "from 16 to 8192"),
        (["--quality", "101", "--image-format", "jpeg"], "from 1 to 100"),
        (["--label-map", "weak"], "spelling=class"),
        (["--label-map", "weak=4+"], "spelling=class"),
    ],
)
@pytest.mark.parametrize("command_name", ["plan", "build"])
def test_options_that_cannot_be_meant_are_exit_code_two(
    cohort: Cohort,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    wrong: list[str],
    said: str,
    command_name: str,
) -> None:
    run = [str(cohort.slides), "--regions", str(cohort.regions), "--out", str(tmp_path / "out"), *wrong]
    assert main([command_name, *run]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_quarantine_is_exit_code_three_in_plan_and_build(
    own_cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = own_cohort.slide("A")
    path.write_bytes(path.read_bytes()[:2000])
    plan = command(own_cohort, tmp_path / "none", "--min-tissue", "0.9", "--workers", "1", "--report-dropped")
    assert main(["plan", *plan[1:]]) == 3
    said = capsys.readouterr().out
    assert "quarantine 0/A.svs: " in said
    assert "at most 21 patches" in said
    assert said.rstrip().count("on 1 cores") == 1
    assert not (tmp_path / "none").exists()
    assert "windows by class: 0: 0, 1+: 7, 2+: 0, 3+: 14" in said
    more = ["--workers", "1", "--min-tissue", "0.9", "--report-dropped"]
    assert main(command(own_cohort, tmp_path / "out", *more)) == 3
    captured = capsys.readouterr()
    assert "quarantined 0/A.svs: " in captured.err
    dropped = [line for line in captured.out.splitlines() if line.startswith("dropped ")]
    kept = read_manifest(tmp_path / "out").rows
    assert len(dropped) == 21 - kept > 0
    assert all(line.split()[3] == "tissue" and float(line.split()[4]) < 0.9 for line in dropped)
    assert len((tmp_path / "out-report" / "dropped.csv").read_text().splitlines()) == len(dropped) + 1


def test_the_report_may_not_lie_in_the_data_set(
    cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    for report in (out, out / "report"):
        assert main(command(cohort, out, "--report", str(report))) == 1
        assert "beside the data set" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--white", "1,2"], "three levels"),
        (["--min-tissue", "2"], "--min-tissue"),
        (["--image-format", "jpeg", "--quality", "101"], "--quality"),
        (["--quality", "90"], "--image-format jpeg"),
        (["--license", "../x"], "an id of the Hub"),
        (["--license", "CC BY 4.0"], "an id of the Hub"),
        (["--intensity", "macenko"], "--accept-stain-loss"),
        (["--label-map", "x=4+"], "--label-map"),
        (["--label-map", "3+=0"], "another spelling"),
        (["--previous", "nowhere"], "no such folder"),
        (["--labels", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_a_wrong_option_is_named_before_anything_is_made(
    cohort: Cohort, tmp_path: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(command(cohort, tmp_path / "out", *options))
    except SystemExit as stop:
        code = int(stop.code or 0)
    assert code in (1, 2)
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_doctor_shows_what_is_installed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "openslide library" in said
    assert "GB free" in said


#: A Python without the packages of the extra [build]: an import of one fails as if it were not there.
BASE = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
from her2_ihc_40x_builder.cli import main
for arguments in {commands!r}:
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    print("code", code)
"""
HIDDEN = ["cv2", "defusedxml", "imagecodecs", "isal", "openslide", "shapely", "simplejpeg", "tifffile", "torchstain"]


def test_the_base_install_helps_packs_and_names_what_build_needs(cohort: Cohort, release: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "packed")
    commands: list[Any] = [
        ["--help"],
        ["build", "--help"],
        ["pack", str(release), "--out", out, "--subset", "--image-size", "8", "--workers", "1"],
        command(cohort, tmp_path / "built"),
        ["plan", str(cohort.slides), "--regions", str(cohort.regions)],
        ["doctor", str(tmp_path)],
    ]
    code = BASE.format(hidden=HIDDEN, commands=commands)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    codes = [line for line in done.stdout.splitlines() if line.startswith("code ")]
    assert codes == ["code 0", "code 0", "code 0", "code 1", "code 1", "code 1"]
    assert done.stderr.count('pip install "her2-ihc-40x[build]"') == 2
    assert len(done.stderr.strip().splitlines()) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["packed"]
    assert str(PATCH) in " ".join(commands[3])
    assert all(label in done.stdout for label in CLASSES)


@pytest.mark.parametrize("name", [".", "", "..", "/"])
def test_an_output_without_a_name_is_wrong_use(cohort: Cohort, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = [str(cohort.slides), "--regions", str(cohort.regions), "--out", name]
    for program in ("plan", "build"):
        with pytest.raises(SystemExit) as ended:
            main([program, *given])
        assert ended.value.code == 2
        assert "expected a folder's name" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--out", "--report"])
@pytest.mark.parametrize("place", ["WSI/3+/made", "qupath/made"])
def test_an_output_among_the_inputs_is_refused(
    own_cohort: Cohort, tmp_path: Path, option: str, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = [*command(own_cohort, tmp_path / "out"), option, str(own_cohort.root / place)]
    assert main(run) == 1
    assert "a place outside the folders that are read" in capsys.readouterr().err
    assert not (own_cohort.root / place).exists()
    assert not (tmp_path / "out").exists()


def test_a_plan_of_nothing_says_so(own_cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in own_cohort.regions.iterdir():
        path.write_text('{"type": "FeatureCollection", "features": []}')
    given = command(own_cohort, tmp_path / "out")[1:]
    assert main(["plan", *given]) == 1
    assert "no window" in capsys.readouterr().err
    assert main(["build", *given]) == 1


def test_a_stain_reference_that_cannot_be_measured_ends_plan_and_build_alike(
    cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torchstain")
    black = tmp_path / "black.png"
    Image.new("RGB", (64, 64)).save(black)
    given = [*command(cohort, tmp_path / "out")[1:], "--intensity", "macenko", "--accept-stain-loss"]
    for program in ("plan", "build"):
        assert main([program, *given, "--stain-reference", str(black)]) == 1
        assert f"{black}: expected two stains" in capsys.readouterr().err
