"""A build hangs on inputs and parameters alone, and what is done is not done again."""

from __future__ import annotations

import json
import os
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tifffile

from drawn_slides import (
    SCORES,
    Cohort,
    boxes,
    build,
    command,
    contents,
    draw_cohort,
    draw_one,
    files_of,
    rows,
    write_qupath,
)
from her2_ihc_40x import CLASSES, ReleaseError
from her2_ihc_40x_builder.card.companions import refresh_companions
from her2_ihc_40x_builder.cli import main
from her2_ihc_40x_builder.errors import OutputError
from her2_ihc_40x_builder.privacy.private_names import open_names
from her2_ihc_40x_builder.shards.manifest import read_manifest
from her2_ihc_40x_builder.slides.slide import open_slide
from her2_ihc_40x_builder.summary import build_summary
from her2_ihc_40x_builder.windows.order import draw
from program import Program


def test_another_listing_order_changes_no_byte(
    cohort: Cohort, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = os.walk

    def backwards(top: Any, **how: Any) -> Any:
        for folder, folders, files in walk(top, **how):
            folders.sort(reverse=True)
            yield folder, folders, files[::-1]

    monkeypatch.setattr(os, "walk", backwards)
    build(cohort, tmp_path / "backwards", intensity="none")
    assert contents(tmp_path / "backwards") == contents(built)


@pytest.mark.parametrize("workers", [3])
def test_workers_and_listing_order_together_change_no_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    scores = {name: CLASSES[number % 4] for number, name in enumerate("QWERTYUI")}
    many = draw_cohort(tmp_path / "in", scores)
    options: dict[str, Any] = {"min_tissue": 0.9}
    build(many, tmp_path / "one", **options)
    walk, iterdir = os.walk, Path.iterdir
    shuffled = random.Random(workers)

    def listed(top: Any, **how: Any) -> Any:
        for folder, folders, files in walk(top, **how):
            shuffled.shuffle(folders)
            yield folder, folders, shuffled.sample(files, len(files))

    monkeypatch.setattr(os, "walk", listed)
    monkeypatch.setattr(Path, "iterdir", lambda folder: iter(sorted(iterdir(folder), reverse=True)))
    build(many, tmp_path / "several", workers=workers, **options)
    assert contents(tmp_path / "several") == contents(tmp_path / "one")


def test_threads_within_a_slide_change_no_byte(own_cohort: Cohort, tmp_path: Path) -> None:
    for slide in "BCD":
        own_cohort.slide(slide).unlink()
        (own_cohort.regions / f"{slide}.geojson").unlink()
    build(own_cohort, tmp_path / "one", intensity="none")
    build(own_cohort, tmp_path / "four", intensity="none", workers=4)
    assert contents(tmp_path / "one") == contents(tmp_path / "four")


def test_a_killed_build_is_gone_on_with_to_the_same_bytes(cohort: Cohort, built: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for lines in (1, 2):
        run = Program(command(cohort, out, "--workers", "1"))
        for _ in range(lines):
            assert "windows" in run.stdout.readline()
        run.kill()
        run.communicate()
        assert not out.exists()
    result = build(cohort, out, intensity="none")
    assert len(result.reused) >= 2
    assert contents(out) == contents(built)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


# --- Again --------------------------------------------------------------------------------------------------------


def test_only_what_changed_is_made_again(own_cohort: Cohort, tmp_path: Path) -> None:
    out = tmp_path / "out"
    build(own_cohort, out, intensity="none")
    before = {slide: files_of(out, slide) for slide in SCORES}
    digest = read_manifest(out).digest

    result = build(own_cohort, out, intensity="none")
    assert result.reused == tuple(SCORES)
    assert {slide: files_of(out, slide) for slide in SCORES} == before
    assert result.manifest.digest == digest

    draw_one(own_cohort.slide("C"), "3+", 99)
    tampered = out / next(iter(before["A"]))
    tampered.write_bytes(tampered.read_bytes()[:-9] + b"tampered!")
    write_qupath(own_cohort.regions / "B.geojson", boxes()[:1])
    shutil.copytree(out, tmp_path / "previous")
    result = build(own_cohort, out, intensity="none", previous=out)
    assert result.reused == ("D",)
    assert files_of(out, "D") == before["D"]
    build(own_cohort, tmp_path / "fresh", intensity="none", previous=tmp_path / "previous")
    assert contents(out) == contents(tmp_path / "fresh")


def test_an_unchanged_slide_is_not_read_again(
    own_cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(own_cohort, tmp_path / "out")

    def read(self: Any, *arguments: Any) -> None:
        raise AssertionError(self.path)

    monkeypatch.setattr("her2_ihc_40x_builder.slides.slide.Slide.read_level", read)
    assert build(own_cohort, tmp_path / "out").reused == tuple(SCORES)


def test_other_parameters_need_overwrite_and_make_anew(own_cohort: Cohort, tmp_path: Path) -> None:
    out = tmp_path / "out"
    build(own_cohort, out, intensity="none")
    with pytest.raises(OutputError, match=r"another intensity.*--overwrite"):
        build(own_cohort, out)
    result = build(own_cohort, out, overwrite=True)
    assert result.reused == ()
    build(own_cohort, tmp_path / "fresh")
    assert contents(out) == contents(tmp_path / "fresh")
    build(own_cohort, out, overwrite=True, hue_filter="off")  # which changes a column of every row
    assert {row["hue_similarity"] for row in rows(out)} == {None}


def test_an_edited_manifest_is_not_gone_on_from(
    own_cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    build(own_cohort, out, intensity="none")
    before = contents(out)
    path = out / "manifest.json"
    content = json.loads(path.read_text())
    content["units"]["A"]["windows"] += 1
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    edited = contents(out)
    with pytest.raises(OutputError, match=r"manifest\.json: .*edited or damaged.*--overwrite"):
        build(own_cohort, out, intensity="none")
    with pytest.raises(ReleaseError, match="edited or damaged"):
        build(own_cohort, tmp_path / "other", intensity="none", previous=out)
    assert contents(out) == edited
    assert main(command(own_cohort, out, "--overwrite")) == 0
    assert "was edited or damaged: nothing is taken over" in capsys.readouterr().out
    assert contents(out) == before


def test_what_a_killed_build_noted_of_a_slide_counts_only_as_it_was_written(
    cohort: Cohort, built: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run = Program(command(cohort, out, "--workers", "1"))
    assert "windows" in run.stdout.readline()
    run.kill()
    run.communicate()
    notes = [*tmp_path.glob(".out.partial/units/*.json"), tmp_path / ".out.partial" / "hue" / "decision.json"]
    assert len(notes) >= 2
    for note in notes:
        content = json.loads(note.read_text())
        if "entry" in content:
            content["entry"]["windows"] += 1
        else:
            content["hue_references"]["3+"]["histogram"][0] += 0.25
        note.write_text(json.dumps(content))
    assert build(cohort, out, intensity="none").reused == ()
    assert contents(out) == contents(built)


def test_what_this_version_does_not_write_of_a_slide_is_not_carried_along(own_cohort: Cohort, tmp_path: Path) -> None:
    out = tmp_path / "out"
    build(own_cohort, out, intensity="none")
    before = contents(out)
    found = read_manifest(out)
    odd = replace(found, units={**found.units, "A": {**found.units["A"], "remark": "somebody"}})
    (out / "manifest.json").write_text(odd.to_json(), encoding="utf-8")
    assert build(own_cohort, out, intensity="none").reused == ("B", "C", "D")
    assert contents(out) == before


def test_a_packed_release_is_never_replaced(cohort: Cohort, shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(shards, out)
    with pytest.raises(OutputError, match="did not make"):
        build(cohort, out, overwrite=True)
    assert contents(out) == contents(shards)


def test_a_data_set_with_anything_else_in_it_is_neither_brought_up_to_date_nor_replaced(
    cohort: Cohort, built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, key = tmp_path / "out", tmp_path / "key"
    shutil.copytree(built, out)
    (out / ".git").mkdir()
    (out / ".git" / "HEAD").write_text("ref: refs/heads/main")
    (out / "notes.txt").write_text("mine")
    before = contents(out)
    for more in ([], ["--overwrite"], ["--overwrite", "--pseudonymize", str(key)]):
        assert main(command(cohort, out, *more)) == 1
        assert "found .git/, notes.txt. Move what is yours out of it" in capsys.readouterr().err
    assert contents(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_licence_that_is_not_given_again_is_told(own_cohort: Cohort, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert build(own_cohort, out).lost_licence is None
    refresh_companions(out, "cc-by-4.0")
    result = build(own_cohort, out)
    assert "warning: The data set that this one replaces had the licence cc-by-4.0; give --license." in build_summary(
        result
    )
    assert result.manifest.source["licence"] is None


def test_a_slide_that_is_gone_takes_its_files_along(own_cohort: Cohort, tmp_path: Path) -> None:
    build(own_cohort, tmp_path / "out", intensity="none")
    own_cohort.slide("A").unlink()
    result = build(own_cohort, tmp_path / "out", intensity="none")
    assert files_of(tmp_path / "out", "A") == {}
    assert result.gone == ("A",)
    assert "gone: A was in the data set" in build_summary(result)
    build(own_cohort, tmp_path / "fresh", intensity="none")
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def add_newcomer(cohort: Cohort) -> None:
    """Add a slide N that is drawn before C and D, so that it goes to test in the place of one of them."""

    def place(path: Path) -> float:
        with open_slide(path) as slide:
            return draw(0, "wsi_split", slide.content_key)

    first = min(place(cohort.slide(slide)) for slide in "CD")
    path = cohort.slides / "3+" / "N.svs"
    for seed in range(50, 150):
        regions = draw_one(path, "3+", seed)
        if place(path) < first:
            break
    write_qupath(cohort.regions / "N.geojson", regions)


def test_previous_keeps_sides_and_references_and_without_it_moves_are_named(own_cohort: Cohort, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options: dict[str, Any] = {"intensity": "none"}
    build(own_cohort, out, **options)
    before = contents(out)
    earlier = {slide: unit["wsi_side"] for slide, unit in read_manifest(out).units.items()}
    add_newcomer(own_cohort)
    result = build(own_cohort, tmp_path / "kept", previous=out, **options)
    after = contents(tmp_path / "kept")
    changed = {path for path in before if after.get(path) != before[path]}
    assert not {path for path in changed if path.startswith("data/")}
    assert result.manifest.hue_references == read_manifest(out).hue_references

    own_cohort.slide("A").rename(own_cohort.slide("A").with_name("renamed.svs"))
    (own_cohort.regions / "A.geojson").rename(own_cohort.regions / "renamed.geojson")
    result = build(own_cohort, out, **options)
    sides = {slide: unit["wsi_side"] for slide, unit in result.manifest.units.items()}
    assert sides["renamed"] == earlier["A"]
    assert result.moved
    assert not result.gone
    assert set(result.moved) == {slide for slide in "BCD" if sides[slide] != earlier[slide]}


def take_texts_out(slide: Path) -> None:
    """Change what is said in a slide, and no pixel."""
    tifffile.tiffcomment(slide, str(tifffile.tiffcomment(slide)).replace("v12.0.15", "v00.0.00"))


@pytest.mark.parametrize("under_a_key", [False, True])
def test_a_slide_of_other_content_under_the_same_name_is_named(
    own_cohort: Cohort, tmp_path: Path, *, under_a_key: bool
) -> None:
    out, names, slide = tmp_path / "out", None, "C"
    if under_a_key:
        names, _ = open_names(tmp_path / "key", out)
        slide = names.key.slide("C")
    options: dict[str, Any] = {"intensity": "none", "hue_filter": "off", "names": names}
    assert "other content" not in build_summary(build(own_cohort, out, **options))
    take_texts_out(own_cohort.slide("C"))
    beside = build(own_cohort, tmp_path / "beside", previous=out, **options)
    in_place = build(own_cohort, out, previous=out, **options)
    for result in (beside, in_place):
        told = f"Slide {slide} is of other content than in {out}: its side was drawn anew."
        assert [one for one in result.plan.warnings if "other content" in one] == [told]
        assert f"warning: {told}" in build_summary(result)
    assert "other content" not in build_summary(build(own_cohort, out, **options))


def test_plan_names_a_slide_of_other_content_under_the_same_name_too(
    own_cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, key = tmp_path / "out", tmp_path / "key"
    names, _ = open_names(key, out)
    build(own_cohort, out, names=names, intensity="none", hue_filter="off")
    run = ["plan", *command(own_cohort, tmp_path / "next", "--previous", str(out))[1:]]
    run += ["--pseudonymize", str(key)]
    assert main(run) == 0
    assert "other content" not in capsys.readouterr().out
    take_texts_out(own_cohort.slide("C"))
    assert main(run) == 0
    assert f"warning: Slide C is of other content than in {out}: its side was drawn anew." in capsys.readouterr().out


@pytest.mark.parametrize("odd", [[], {}])
def test_odd_values_in_the_manifest_of_before_stop_nothing(own_cohort: Cohort, tmp_path: Path, odd: object) -> None:
    out = tmp_path / "out"
    manifest = build(own_cohort, out, intensity="none", hue_filter="off").manifest
    units = {**manifest.units, "A": {**manifest.units["A"], "content_key": odd}}
    (out / "manifest.json").write_text(replace(manifest, units=units).to_json())
    result = build(own_cohort, out, intensity="none", hue_filter="off")
    assert result.reused == ("B", "C", "D")
    assert not result.moved
    assert not result.gone


def test_previous_must_be_built_from_slides(cohort: Cohort, shards: Path, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="--previous"):
        build(cohort, tmp_path / "out", previous=shards)
