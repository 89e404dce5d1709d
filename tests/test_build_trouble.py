"""A build of slides in trouble: they are reported, and the others are made."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from drawn_slides import (
    SCORES,
    Cohort,
    build,
    command,
    contents,
    draw_one,
    rows,
)
from her2_ihc_40x_builder.demo.synthetic import SlideFormat
from her2_ihc_40x_builder.errors import SlideError
from her2_ihc_40x_builder.patches.white import White


def truncate(cohort: Cohort) -> None:
    path = cohort.slide("A")
    path.write_bytes(path.read_bytes()[:2000])


def lose_tiles(cohort: Cohort) -> None:
    path = cohort.slide("A")
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        start, length = page.dataoffsets[12], page.databytecounts[12]
    data = bytearray(path.read_bytes())
    data[start + 400 : start + length] = bytes(length - 400)
    path.write_bytes(data)


def lose_scale(cohort: Cohort) -> None:
    draw_one(cohort.slide("A"), "0", 0, SlideFormat(mpp=None))


def be_20x(cohort: Cohort) -> None:
    draw_one(cohort.slide("A"), "0", 0, SlideFormat(mpp=0.5, objective_power=20))


def lose_label(cohort: Cohort) -> None:
    path = cohort.slide("A")
    (cohort.slides / "unsorted").mkdir()
    path.rename(cohort.slides / "unsorted" / path.name)


def misplace_crop(cohort: Cohort) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    Image.fromarray(noise).save(cohort.regions / "A_9.png")


@pytest.mark.parametrize(
    ("harm", "name", "said"),
    [
        (truncate, "0/A.svs", "OpenSlide knows"),
        (lose_scale, "A", "--mpp"),
        (be_20x, "A", "40x"),
        (lose_label, "A", "--labels"),
        (misplace_crop, "A", "correlation"),
        (lose_tiles, "A", "A.svs"),
    ],
)
def test_one_bad_slide_is_in_quarantine_and_the_others_complete(
    own_cohort: Cohort, tmp_path: Path, harm: Callable[[Cohort], None], name: str, said: str
) -> None:
    harm(own_cohort)
    result = build(own_cohort, tmp_path / "out", intensity="none")
    assert list(result.plan.quarantined) == [name]
    assert said in str(result.plan.quarantined[name])
    assert {row["slide_id"] for row in rows(tmp_path / "out")} == set("BCD")
    assert result.manifest.report["quarantined"] == [name]
    assert str(tmp_path) not in (tmp_path / "out" / "manifest.json").read_text()


def test_a_slide_that_was_mended_comes_back(own_cohort: Cohort, built: Path, tmp_path: Path) -> None:
    whole = own_cohort.slide("A").read_bytes()
    truncate(own_cohort)
    build(own_cohort, tmp_path / "out", intensity="none")
    own_cohort.slide("A").write_bytes(whole)
    assert build(own_cohort, tmp_path / "out", intensity="none").reused == ("B", "C", "D")
    assert contents(tmp_path / "out") == contents(built)


KILLER = """
import os, resource, signal
import numpy
from her2_ihc_40x_builder.patches import unit
make = unit.cut_slide
def be_killed():
    os.kill(os.getpid(), signal.SIGKILL)
def run_out_of_memory():
    room = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + (64 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (room, resource.RLIM_INFINITY))
    numpy.ones(1 << 30, numpy.uint8)
def cut_slide(task):
    if task.slide.slide_id == "C":
        HARM()
    return make(task)
unit.cut_slide = cut_slide
if __name__ == "__main__":
    import sys
    from her2_ihc_40x_builder.cli import main
    sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux how much memory a process has")
@pytest.mark.parametrize("harm", ["be_killed", "run_out_of_memory"])
def test_a_slide_that_kills_its_worker_is_reported_and_the_rest_completes(
    cohort: Cohort, tmp_path: Path, harm: str
) -> None:
    (tmp_path / "killer.py").write_text(KILLER.replace("HARM", harm))
    arguments = command(cohort, tmp_path / "out", "--workers", "2")
    done = subprocess.run(
        [sys.executable, str(tmp_path / "killer.py"), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3, done.stderr
    assert "quarantined C: " in done.stderr
    assert "killed" in done.stderr
    assert {row["slide_id"] for row in rows(tmp_path / "out")} == set("ABD")


def test_nothing_to_make_is_an_error_that_says_why(own_cohort: Cohort, tmp_path: Path) -> None:
    with pytest.raises(SlideError, match="dropped for tissue"):
        build(own_cohort, tmp_path / "out", min_tissue=1.0, white=White(40, 40, 40))
    for slide in SCORES:
        path = own_cohort.slide(slide)
        path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(SlideError, match=r"A\.svs"):
        build(own_cohort, tmp_path / "out")
    assert not (tmp_path / "out").exists()
