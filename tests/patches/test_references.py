"""The hue filter of a build: what is compared with what, when it drops, and what stays as it was."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from drawn_slides import SIZE, Cohort, build, contents, draw_cohort, draw_one, rows, write_qupath
from her2_ihc_40x_builder import build as build_module
from her2_ihc_40x_builder import parallel
from her2_ihc_40x_builder.demo.synthetic import write_pixels
from her2_ihc_40x_builder.geometry import Box
from her2_ihc_40x_builder.patches import references
from her2_ihc_40x_builder.shards.manifest import read_manifest
from her2_ihc_40x_builder.slides.slide import open_slide

#: One class, patches enough for 20 references of three slides.
OPTIONS: dict[str, Any] = {"patch_size": 128, "stride": 128, "intensity": "none"}


@pytest.fixture(scope="module")
def one_class(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return draw_cohort(tmp_path_factory.mktemp("one-class"), dict.fromkeys("ABCD", "3+"))


@pytest.fixture(scope="module")
def reported(one_class: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reported") / "out"
    build(one_class, out, hue_filter="report", **OPTIONS)
    return out


def values(out: Path) -> dict[str, float]:
    return {row["patch_id"]: row["hue_similarity"] for row in rows(out)}


def authors_histogram(row: dict[str, Any]) -> Any:
    """The authors' recipe, with OpenCV."""
    picture = np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])))
    hsv = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), cv2.COLOR_BGR2HSV)
    histogram = cv2.calcHist([hsv], [0], None, [180], [0, 180])
    return cv2.normalize(histogram, histogram)


def test_references_are_of_training_slides_in_turn_and_numbers_are_the_authors(reported: Path) -> None:
    manifest = read_manifest(reported)
    (reference,) = manifest.hue_references.values()
    train = {slide for slide, unit in manifest.units.items() if unit["wsi_side"] == "train"}
    assert len(reference["patch_ids"]) == 20
    assert len(train) == 3
    assert {patch_id.split("-")[0] for patch_id in reference["patch_ids"][:3]} == train
    by_id = {row["patch_id"]: row for row in rows(reported)}
    histograms = [authors_histogram(by_id[one]) for one in reference["patch_ids"]]
    mean: Any = np.mean(histograms, axis=0, dtype=np.float32)
    for row in by_id.values():
        expected = cv2.compareHist(authors_histogram(row), mean, cv2.HISTCMP_CORREL)
        assert row["hue_similarity"] == pytest.approx(expected, abs=1e-5)


def test_it_drops_what_is_at_or_below_the_threshold_if_that_is_little(
    one_class: Cohort, reported: Path, tmp_path: Path
) -> None:
    measured = values(reported)
    second = np.float32(sorted(measured.values())[1])
    threshold = float(np.nextafter(second, np.float32(1)))  # the column has 32 bits of what is compared
    result = build(one_class, tmp_path / "out", hue_threshold=threshold, **OPTIONS)
    low = {one for one, value in measured.items() if value <= threshold}
    assert set(measured) - set(values(tmp_path / "out")) == low
    dropped = [drop for unit in result.manifest.units.values() for drop in unit["dropped"]]
    assert {drop["patch_id"]: drop["reason"] for drop in dropped} == dict.fromkeys(low, "hue")
    assert result.verdicts["3+"].reason.startswith("drops; 2 of ")

    middle = sorted(measured.values())[len(measured) // 2]
    spared = build(one_class, tmp_path / "spared", hue_threshold=middle, **OPTIONS)
    assert "20% of the class or more" in spared.verdicts["3+"].reason
    assert values(tmp_path / "spared") == measured


def test_authors_takes_the_first_of_each_side_and_always_drops(
    one_class: Cohort, reported: Path, tmp_path: Path
) -> None:
    result = build(one_class, tmp_path / "out", hue_filter="authors", **OPTIONS)
    units = result.manifest.units
    for side in ("train", "test"):
        own = [row for row in rows(reported) if units[row["slide_id"]]["wsi_side"] == side]
        own.sort(key=lambda row: (units[row["slide_id"]]["content_key"], row["y"], row["x"]))
        assert result.manifest.hue_references[f"{side}/3+"]["patch_ids"] == [row["patch_id"] for row in own[:20]]
    kept = values(tmp_path / "out")
    assert min(kept.values()) > 0.7
    assert len(kept) < len(values(reported))
    assert set(result.verdicts) == {"test/3+", "train/3+"}


def test_without_enough_slides_it_only_measures(cohort: Cohort, built: Path) -> None:
    report = read_manifest(built).report["hue_filter"]["verdicts"]
    assert {verdict["drops"] for verdict in report.values()} == {False}
    assert "under 20" in report["3+"]["reason"]
    assert all(row["hue_similarity"] is not None for row in rows(built))


def test_previous_keeps_the_verdict_whatever_a_new_slide_is_like(reported: Path, tmp_path: Path) -> None:
    cohort = draw_cohort(tmp_path / "cohort", dict.fromkeys("ABCD", "3+"))
    measured = sorted(values(reported).values())
    options = OPTIONS | {"hue_threshold": measured[len(measured) // 7]}  # a seventh goes: under 20 %
    build(cohort, tmp_path / "first", **options)
    before = contents(tmp_path / "first")
    for number in range(3):
        path = cohort.slides / "3+" / f"green{number}.svs"
        regions = draw_one(path, "3+", 70 + number)
        with open_slide(path) as slide:
            pixels = slide.read_region(Box(0, 0, SIZE.width, SIZE.height))
        write_pixels(path, np.roll(pixels, 1, axis=2))
        write_qupath(cohort.regions / f"green{number}.geojson", regions)
    kept = build(cohort, tmp_path / "kept", previous=tmp_path / "first", **options)
    assert kept.verdicts["3+"].drops
    after = contents(tmp_path / "kept")
    assert {path for path in before if after.get(path) != before[path]} <= {"README.md", "manifest.json"}
    anew = build(cohort, tmp_path / "anew", **options)
    assert not anew.verdicts["3+"].drops


def test_a_slide_that_cannot_be_read_gives_no_reference_and_stops_nothing(tmp_path: Path) -> None:
    cohort = draw_cohort(tmp_path / "cohort", dict.fromkeys("ABCD", "3+"))
    path = cohort.slide("A")
    data = bytearray(path.read_bytes())
    data[20_000:120_000] = bytes(100_000)
    path.write_bytes(data)
    result = build(cohort, tmp_path / "out", hue_filter="report", **OPTIONS)
    assert list(result.plan.quarantined) == ["A"]
    assert {row["slide_id"] for row in rows(tmp_path / "out")} == set("BCD")


@pytest.mark.parametrize(("lost", "count"), [("Hue references", 1), ("Measuring hue", 4)])
def test_what_a_process_was_killed_at_is_said_to_be_missing_and_made_up_for_by_the_next_run(
    one_class: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str, count: int
) -> None:
    def run_or_be_killed(function: Any, tasks: Any, **options: Any) -> list[Any]:
        if options["label"] == lost:
            return [options["killed"](task) for task in tasks]
        return parallel.run_tasks(function, tasks, **options)

    build(one_class, tmp_path / "whole", **OPTIONS)
    with monkeypatch.context() as patch:
        patch.setattr(references, "run_tasks", run_or_be_killed)
        result = build(one_class, tmp_path / "out", **OPTIONS)
    assert sum("Hue: a process was killed" in warning for warning in result.plan.warnings) == count
    assert result.manifest.report["hue_filter"]["inputs"] == ""
    again = build(one_class, tmp_path / "out", **OPTIONS)
    assert not any("Hue: a process was killed" in warning for warning in again.plan.warnings)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.parametrize("spoilt", [False, True])
def test_a_build_that_is_cut_short_keeps_what_was_measured(
    one_class: Cohort, reported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoilt: bool
) -> None:
    out, make = tmp_path / "out", build_module._make

    def cut_short(tasks: Any, *rest: Any) -> None:
        make(tasks[:1], *rest)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(build_module, "_make", cut_short)
        with pytest.raises(KeyboardInterrupt):
            build(one_class, out, hue_filter="report", **OPTIONS)
    (note,) = tmp_path.glob(".out.partial/hue/*")
    if spoilt:
        note.write_bytes(note.read_bytes()[:-40])
    measured = []
    find = references.find_references

    def find_and_tell(keys: Any, *rest: Any) -> Any:
        measured.append(keys)
        return find(keys, *rest)

    monkeypatch.setattr("her2_ihc_40x_builder.patches.hue_decision.find_references", find_and_tell)
    assert len(build(one_class, out, hue_filter="report", **OPTIONS).reused) == 1
    assert len(measured) == spoilt
    assert contents(out) == contents(reported)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
