"""What a build will do, and every problem that it will find."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from drawn_slides import PATCH, Cohort, boxes, build, draw_one, write_qupath
from her2_ihc_40x_builder.demo.synthetic import SlideFormat
from her2_ihc_40x_builder.errors import LabelError, RegionError
from her2_ihc_40x_builder.geometry import Box
from her2_ihc_40x_builder.parameters import BuildInputs, BuildParameters
from her2_ihc_40x_builder.plan import plan_build
from her2_ihc_40x_builder.regions import ClassRules
from her2_ihc_40x_builder.slide_plan import BuildPlan
from her2_ihc_40x_builder.slides.heads import HeldSlides
from her2_ihc_40x_builder.slides.slide import Slide, open_slide


def plan(cohort: Cohort, **options: Any) -> BuildPlan:
    fields = BuildInputs.__dataclass_fields__
    inputs: dict[str, Any] = {"slides": cohort.slides, "regions": cohort.regions}
    inputs |= {name: value for name, value in options.items() if name in fields}
    parameters: dict[str, Any] = {"patch_size": PATCH}
    parameters |= {name: value for name, value in options.items() if name not in fields}
    return plan_build(BuildInputs(**inputs), BuildParameters(**parameters))


def test_slides_are_only_seen_from_afar_where_annotations_are_given(
    cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels = []
    read = Slide.read_level

    def note(self: Slide, level: int, box: Box) -> NDArray[np.uint8]:
        levels.append(level)
        return read(self, level, box)

    monkeypatch.setattr(Slide, "read_level", note)
    found = plan(cohort)
    assert {slide.slide_id: len(slide.patches) for slide in found.slides} == dict.fromkeys("ABCD", 7)
    assert not found.quarantined
    assert levels == [1, 1, 1, 1]


def test_it_is_what_the_build_makes(cohort: Cohort, tmp_path: Path) -> None:
    assert build(cohort, tmp_path / "out", intensity="none").plan == plan(cohort, intensity="none")


def test_regions_and_slides_without_the_other_and_regions_without_a_window_are_named(own_cohort: Cohort) -> None:
    (own_cohort.regions / "A.geojson").unlink()
    write_qupath(own_cohort.regions / "stranger.geojson", boxes())
    sliver = [{"type": "Polygon", "coordinates": [[[300, 300], [900, 300], [300, 301], [300, 300]]]}]
    (own_cohort.regions / "B.geojson").write_text(json.dumps(sliver))
    found = plan(own_cohort)
    assert [slide.slide_id for slide in found.slides] == ["C", "D"]
    said = "\n".join(found.warnings)
    assert "slide without region: A" in said
    assert "region without slide: " in said
    assert "stranger.geojson" in said
    assert "of slide B yields no window" in said


def test_a_slide_that_is_spelled_otherwise_in_tables_and_regions_is_told(own_cohort: Cohort, tmp_path: Path) -> None:
    ours, theirs = "Mu\u0308ller", "M\u00fcller"  # as a Mac takes letters apart, and as all others write them
    own_cohort.slide("A").rename(own_cohort.slide("A").with_stem(ours))
    (own_cohort.regions / "A.geojson").rename(own_cohort.regions / f"{theirs}.geojson")
    labels, splits = tmp_path / "labels.csv", tmp_path / "splits.csv"
    labels.write_text(f"slide_id,case_id\n{theirs},P1\nb,P2\nE,P3\n", encoding="utf-8")
    splits.write_text("patch_id,patch_split\nc\u200b-x324-y324,test\n", encoding="utf-8")
    found = plan(own_cohort, labels=labels, splits=splits)
    said = "\n".join(found.warnings)
    differs = r"'M\xfcller' differs from the slide 'Mu\u0308ller' only in case, blanks or Unicode form"
    assert f"not there: E, {theirs}, b; {differs} (so do 'b' from 'B')." in said
    assert f"{theirs}.geojson: the file is named after no slide that can be read; {differs}" in said
    assert r"'c\u200b-x324-y324' differs from the patch 'C-x324-y324' only in case" in said
    assert {slide.slide_id: slide.case_id for slide in found.slides} == dict.fromkeys("BCD")


def test_sides_of_a_slide_that_is_spelled_otherwise_are_told(own_cohort: Cohort, tmp_path: Path) -> None:
    splits = tmp_path / "splits.csv"
    splits.write_text("slide_id,wsi_split\nA,test\nB,train\nC,train\nd,test\n")
    with pytest.raises(LabelError, match="found none; 'd' differs from the slide 'D' only in case"):
        plan(own_cohort, splits=splits)
    splits.write_text("slide_id,wsi_split\nA,test\nB,train\nC,train\nD,test\nd\u200b,test\n", encoding="utf-8")
    told = r"not there: d{}; 'd\u200b' differs from the slide 'D' only in case, blanks or Unicode form."
    assert told.format("\u200b") in "\n".join(plan(own_cohort, splits=splits).warnings)


@pytest.mark.parametrize("name", ["Klinik\u00a0Nord", "Klinik Nord", "Klinik\tNord"])
def test_where_the_folder_is_reaches_no_name_in_quarantine(own_cohort: Cohort, tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    own_cohort.slides.rename(folder)
    (folder / "Meier").mkdir()
    (folder / "Meier" / "x.svs").write_text("no slide")
    found = plan(own_cohort, slides=folder)
    assert list(found.quarantined) == ["Meier/x.svs"]


def test_a_slide_that_gives_nothing_takes_no_place_in_the_split(own_cohort: Cohort) -> None:
    sides = {slide.slide_id: slide.wsi_side for slide in plan(own_cohort).slides}
    test = next(slide for slide in "CD" if sides[slide] == "test")
    (own_cohort.regions / f"{test}.geojson").unlink()
    found = plan(own_cohort)
    assert {slide.wsi_side for slide in found.slides if slide.score == "3+"} == {"train"}
    assert any("score 3+ has one slide" in warning for warning in found.warnings)


def test_a_slide_in_trouble_keeps_its_place_so_that_no_other_moves(own_cohort: Cohort) -> None:
    before = {slide.slide_id: slide.wsi_side for slide in plan(own_cohort).slides}
    test = next(slide for slide in "CD" if before[slide] == "test")
    (own_cohort.regions / f"{test}.geojson").write_text("{")
    found = plan(own_cohort)
    assert isinstance(found.quarantined[test], RegionError)
    assert {slide.slide_id: slide.wsi_side for slide in found.slides} == {
        slide: side for slide, side in before.items() if slide != test
    }


def test_a_window_of_two_regions_is_one_patch_or_none_if_they_disagree(own_cohort: Cohort) -> None:
    large = boxes()[0]
    small = [Box(large.y + 20, large.x + 20, 60, 60), Box(large.y + 120, large.x + 20, 60, 60)]
    write_qupath(own_cohort.regions / "A.geojson", tuple(small))
    same = next(slide for slide in plan(own_cohort, stride=256).slides if slide.slide_id == "A")
    assert [patch.roi_id for patch in same.patches] == ["1"]
    document = json.loads((own_cohort.regions / "A.geojson").read_text())
    document["features"][1]["properties"]["classification"] = {"name": "3+"}
    (own_cohort.regions / "A.geojson").write_text(json.dumps(document))
    torn = plan(own_cohort, stride=256)
    assert "A" not in {slide.slide_id for slide in torn.slides}
    assert any("no patch at x 256, y 256: regions 1 (0) and 2 (3+) share it" in warning for warning in torn.warnings)
    assert not torn.quarantined


def test_tissue_under_two_labels_is_told(own_cohort: Cohort) -> None:
    large = boxes()[0]
    write_qupath(
        own_cohort.regions / "A.geojson", (large, Box(large.x + 100, large.y + 100, large.width, large.height))
    )
    assert not any("share pixels" in warning for warning in plan(own_cohort).warnings)
    document = json.loads((own_cohort.regions / "A.geojson").read_text())
    document["features"][1]["properties"]["classification"] = {"name": "3+"}
    (own_cohort.regions / "A.geojson").write_text(json.dumps(document))
    told = [warning for warning in plan(own_cohort).warnings if "share pixels" in warning]
    assert len(told) == 1
    assert re.fullmatch(r"Slide A: [1-9][0-9]* windows of class 0 share pixels with some of class 3\+\.", told[0])


def test_two_labels_that_disagree_are_named_both(cohort: Cohort, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("slide_id,label,colour\nA,2+,blue\nnobody,0,red\n")
    found = plan(cohort, labels=table)
    assert isinstance(found.quarantined["A"], LabelError)
    assert "folder 0" in str(found.quarantined["A"])
    assert "labels.csv, line 2" in str(found.quarantined["A"])
    said = "\n".join(found.warnings)
    assert "'colour' is not read" in said
    assert "nobody" in said


def test_patients_that_may_be_one_are_named_and_stay_two(cohort: Cohort, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("slide_id,case_id\nA,Ma\u0308ki\nB,m\u00e4ki\nC,P1\nD,P2\n", encoding="utf-8")
    found = plan(cohort, labels=table)
    told = [warning for warning in found.warnings if "case_ids" in warning]
    assert len(told) == 1
    assert r"'Ma\u0308ki' and 'm\xe4ki' differ in case, blanks or Unicode form alone" in told[0]
    assert len({slide.case_id for slide in found.slides}) == 4


def test_a_class_that_nobody_gave_a_meaning_stops_until_it_is_included(own_cohort: Cohort) -> None:
    write_qupath(own_cohort.regions / "A.geojson", boxes(), "Hot spot")
    with pytest.raises(LabelError, match="--include-class"):
        plan(own_cohort)
    included = plan(own_cohort, rules=ClassRules(frozenset({"Hot spot"})))
    assert {patch.label_source for slide in included.slides for patch in slide.patches} == {"slide"}
    excluded = plan(own_cohort, rules=ClassRules(exclude=frozenset({"Hot spot"})))
    assert "A" not in {slide.slide_id for slide in excluded.slides}


def test_sides_of_patches_from_a_table_and_what_leaks_by_it(cohort: Cohort, tmp_path: Path) -> None:
    first = plan(cohort).slides[0]
    other = {patch.box: "test" if patch.patch_side == "train" else "train" for patch in first.patches}
    chosen = first.patches[0].box
    table = tmp_path / "splits.csv"
    table.write_text(f"patch_id,patch_split\n{first.patch_id(chosen)},{other[chosen]}\nnobody-x0-y0,test\n")
    found = plan(cohort, splits=table)
    assert found.slides[0].patches[0].patch_side == other[chosen]
    said = "\n".join(found.warnings)
    assert "names 1 patches that are not there, such as nobody-x0-y0" in said
    assert f"--splits puts {first.patch_id(chosen)}" in said


def test_sides_of_slides_from_a_table_must_name_each_that_is_made(own_cohort: Cohort, tmp_path: Path) -> None:
    draw_one(own_cohort.slide("A"), "0", 0, SlideFormat(mpp=None))
    table = tmp_path / "splits.csv"
    table.write_text("slide_id,wsi_split\nB,train\nC,test\nD,test\n")
    assert {slide.slide_id: slide.wsi_side for slide in plan(own_cohort, splits=table).slides} == {
        "B": "train",
        "C": "test",
        "D": "test",
    }
    table.write_text("slide_id,wsi_split\nB,train\nC,test\n")
    with pytest.raises(LabelError, match="slide D"):
        plan(own_cohort, splits=table)


def test_slides_of_one_content_or_id_are_in_quarantine_and_the_others_go_on(own_cohort: Cohort) -> None:
    copy = own_cohort.slide("A").with_name("copy.svs")
    copy.write_bytes(own_cohort.slide("A").read_bytes())
    write_qupath(own_cohort.regions / "copy.geojson", boxes())
    again = own_cohort.slide("B").parents[1] / "0" / "B.tif"
    again.write_bytes(own_cohort.slide("B").read_bytes())
    found = plan(own_cohort)
    assert {slide.slide_id for slide in found.slides} == {"C", "D"}
    said = {name.rpartition("/")[2]: str(error) for name, error in found.quarantined.items()}
    assert said.keys() == {"A", "copy", "B.svs", "B.tif"}
    assert "the same content as copy" in said["A"]
    assert "the same content as A" in said["copy"]
    for number in range(5):
        copy.with_name(f"copy{number}.svs").write_bytes(copy.read_bytes())
    assert "the same content as copy and copy0 and copy1 and 3 more" in str(plan(own_cohort).quarantined["A"])
    assert str(again) in said["B.svs"]
    for slide in ("A", "B", "copy"):
        assert f"{slide}.geojson: slide {slide} is in quarantine" in "\n".join(found.warnings)


def test_a_slide_whose_texts_were_changed_is_the_same_slide(own_cohort: Cohort) -> None:
    edited, again = (own_cohort.slide("A").with_name(f"{name}.svs") for name in ("edited", "again"))
    for copy in (edited, again):
        copy.write_bytes(own_cohort.slide("A").read_bytes())
        write_qupath(own_cohort.regions / f"{copy.stem}.geojson", boxes())
    tifffile.tiffcomment(edited, str(tifffile.tiffcomment(edited)).replace("v12.0.15", "v12.0.16"))
    with open_slide(own_cohort.slide("A")) as one, open_slide(edited) as other:
        assert one.content_key != other.content_key
    found = plan(own_cohort)
    assert {slide.slide_id for slide in found.slides} == {"B", "C", "D"}
    assert "the same content as again and edited" in str(found.quarantined["A"])
    assert "the same content as A and edited" in str(found.quarantined["again"])
    assert "the same content as A and again" in str(found.quarantined["edited"])


def test_an_unreadable_file_is_in_quarantine(own_cohort: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("her2_ihc_40x_builder.slides.heads.folder_label", refuse)
    found = plan(own_cohort)
    assert set(found.quarantined) == set("ABCD")
    assert all("Permission denied" in str(error) for error in found.quarantined.values())


KILLER = """
import os, signal
import openslide
from her2_ihc_40x_builder.slides import heads
detect, open_slide = openslide.OpenSlide.detect_format, heads.open_slide
def die_at(name, path):
    if path.stem == name:
        os.kill(os.getpid(), signal.SIGSEGV)
def dying_detect(path):
    die_at("B", path)
    return detect(path)
def dying_open(path):
    die_at("C", path)
    return open_slide(path)
openslide.OpenSlide.detect_format, heads.open_slide = dying_detect, dying_open
if __name__ == "__main__":
    import sys
    from her2_ihc_40x_builder.cli import main
    sys.exit(main(sys.argv[1:]))
"""


def test_a_slide_that_brings_openslide_down_is_in_quarantine_by_name(cohort: Cohort, tmp_path: Path) -> None:
    (tmp_path / "killer.py").write_text(KILLER)
    arguments = ["plan", str(cohort.slides), "--regions", str(cohort.regions), "--patch-size", str(PATCH)]
    done = subprocess.run(
        [sys.executable, str(tmp_path / "killer.py"), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3, done.stderr
    assert re.search(r"^quarantine 1\+/B\.svs: .*killed at it", done.stdout, re.M)
    assert re.search(r"^quarantine C: .*killed at it", done.stdout, re.M)
    assert re.search(r"^A .*^D ", done.stdout, re.M | re.S)


def test_few_slides_are_held_open(cohort: Cohort) -> None:
    paths = [cohort.slide(slide) for slide in "ABCD"]
    with HeldSlides(2) as held:
        first = held.get(paths[0])
        assert held.get(paths[0]) is first
        held.get(paths[1])
        held.get(paths[2])
        assert held.get(paths[0]) is not first
        with pytest.raises(Exception, match="closed"):
            first.read_region(Box(0, 0, 9, 9))
        last = held.get(paths[0])
    with pytest.raises(Exception, match="closed"):
        last.read_region(Box(0, 0, 9, 9))


@pytest.mark.shared
def test_crops_and_annotations_of_real_slides_plan_the_same_patches(shared: Path) -> None:
    real = Cohort(shared / "real")
    cytomine = plan(real, regions=shared / "real/annotations/cytomine.json", patch_size=1024)
    qupath = plan(real, regions=shared / "real/annotations/qupath", patch_size=1024)
    assert len(qupath.slides) == 8
    for one, other in zip(cytomine.slides, qupath.slides, strict=True):
        assert [patch.label for patch in one.patches] == [patch.label for patch in other.patches]
        for left, right in zip(one.patches, other.patches, strict=True):
            assert abs(left.box.x - right.box.x) <= 1
            assert abs(left.box.y - right.box.y) <= 1
    assert not cytomine.quarantined
    assert not qupath.quarantined
