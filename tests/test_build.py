"""A build from slides: what is in the rows, and that it hangs on inputs and parameters alone."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import openslide
import pyarrow.parquet as pq
import pytest
import tifffile
from PIL import Image

from drawn_slides import (
    CLI,
    PATCH,
    SCORES,
    SIZE,
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
from her2_ihc_40x_builder.demo.synthetic import SlideFormat
from her2_ihc_40x_builder.errors import Her2Error, OutputError, SlideError
from her2_ihc_40x_builder.geometry import Box
from her2_ihc_40x_builder.patches.encode import Encoding
from her2_ihc_40x_builder.patches.white import White
from her2_ihc_40x_builder.shards.manifest import read_manifest
from her2_ihc_40x_builder.slides.slide import open_slide
from her2_ihc_40x_builder.summary import build_summary
from her2_ihc_40x_builder.windows.order import draw


def pixels_of(row: dict[str, Any]) -> Any:
    return np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])))


def openslides(path: Path, x: int, y: int, side: int = PATCH) -> Any:
    with openslide.OpenSlide(path) as slide:
        return np.asarray(slide.read_region((x, y), 0, (side, side)).convert("RGB"))


# --- What is in the rows ------------------------------------------------------------------------------------------


def test_pixels_are_openslides_and_columns_are_true(cohort: Cohort, built: Path) -> None:
    found = rows(built)
    assert len(found) == len({row["patch_id"] for row in found}) == 7 * len(SCORES)
    for row in found:
        assert np.array_equal(pixels_of(row), openslides(cohort.slide(row["slide_id"]), row["x"], row["y"]))
        score = SCORES[row["slide_id"]]
        assert row["label"] == row["slide_score"] == CLASSES.index(score)
        assert row["label_source"] == "slide"
        assert row["patch_id"] == f"{row['slide_id']}-x{row['x']}-y{row['y']}"
        assert row["roi_id"] in {"1", "2"}
        assert row["mpp"] == 0.25
        assert 0.1 <= row["tissue_fraction"] <= 1
        assert row["case_id"] is None
        assert row["slide_side"] is None


@pytest.mark.shared
def test_pixels_of_real_slides_are_openslides(shared: Path, tmp_path: Path) -> None:
    real = Cohort(shared / "real")
    regions = tmp_path / "regions"
    regions.mkdir()
    for slide in ("S148DF4", "S2572DE"):
        shutil.copy(shared / f"real/annotations/qupath/{slide}.geojson", regions)
    build(real, tmp_path / "out", regions=regions, intensity="none", patch_size=1024)
    found = rows(tmp_path / "out")
    assert {row["slide_id"] for row in found} == {"S148DF4", "S2572DE"}
    for row in found:
        assert np.array_equal(pixels_of(row), openslides(real.slide(row["slide_id"]), row["x"], row["y"], 1024))


def test_plain_datasets_loads_it_with_the_columns_of_a_packed_release(built: Path, shards: Path) -> None:
    manifest = read_manifest(built)
    for config in ("wsi_split", "patch_split"):
        splits = datasets.load_dataset(str(built), config)
        for split, data in splits.items():
            labels = manifest.counts[config][split]
            assert len(data) == sum(labels.values())
            stream = datasets.load_dataset(str(built), config, split=split, streaming=True)
            assert [row["patch_id"] for row in stream] == data["patch_id"][:]
            assert data.features == datasets.load_dataset(str(shards), config, split=split).features
    schemas = {path: pq.read_schema(path) for out in (built, shards) for path in out.glob("data/*/*/*.parquet")}
    assert len(set(schemas.values())) == 1


def test_rows_come_by_region_y_x_and_on_the_sides_of_their_folder(built: Path) -> None:
    for path in built.glob("data/*/*/*.parquet"):
        table = pq.read_table(path, columns=["roi_id", "y", "x", "slide_id"]).to_pylist()
        order = [(row["roi_id"], row["y"], row["x"]) for row in table]
        assert order == sorted(order)
        assert len({row["slide_id"] for row in table}) == 1
    for slide, unit in read_manifest(built).units.items():
        assert {Path(path).parts[1] for path in files_of(built, slide)} == {f"wsi_{unit['wsi_side']}"}


def test_a_region_with_a_class_labels_its_patches_and_the_slide_keeps_its_score(
    own_cohort: Cohort, tmp_path: Path
) -> None:
    regions = draw_one(own_cohort.slide("C"), "3+", 2)
    write_qupath(own_cohort.regions / "C.geojson", regions, "1+")
    build(own_cohort, tmp_path / "out", intensity="none")
    own = [row for row in rows(tmp_path / "out") if row["slide_id"] == "C"]
    found = {(row["label"], row["label_source"], row["slide_score"]) for row in own}
    assert found == {(1, "region", 3)}


@pytest.mark.parametrize("form", ["ROI", "cytomine.json", "masks"])
def test_each_form_of_regions_gives_the_same_patches(cohort: Cohort, built: Path, tmp_path: Path, form: str) -> None:
    build(cohort, tmp_path / "out", regions=cohort.root / form, intensity="none")
    expected = {(row["patch_id"], row["sha256"]) for row in rows(built) if form != "ROI" or row["roi_id"] == "1"}
    assert {(row["patch_id"], row["sha256"]) for row in rows(tmp_path / "out")} == expected


# --- Options ------------------------------------------------------------------------------------------------------


def test_glass_becomes_240_and_a_slide_without_glass_is_left_as_scanned(own_cohort: Cohort, tmp_path: Path) -> None:
    write_qupath(own_cohort.regions / "A.geojson", draw_one(own_cohort.slide("A"), "0", 0))
    whole = [{"type": "Polygon", "coordinates": [[[0, 0], [1200, 0], [1200, 1200], [0, 1200], [0, 0]]]}]
    (own_cohort.regions / "B.geojson").write_text(json.dumps(whole))
    result = build(own_cohort, tmp_path / "out", min_tissue=0.0)
    units = result.manifest.units
    assert units["A"]["white"] is not None
    assert units["B"]["white"] is None
    assert any(warning.startswith("Slide B: no white point") for warning in result.plan.warnings)
    for row in rows(tmp_path / "out"):
        scanned = openslides(own_cohort.slide(row["slide_id"]), row["x"], row["y"])
        if row["slide_id"] == "B":
            assert row["tissue_fraction"] is None
            assert np.array_equal(pixels_of(row), scanned)
        if row["slide_id"] == "A":
            scaled = np.minimum(np.floor(240 * scanned.astype(int) / np.array(units["A"]["white"]) + 0.5), 255)
            assert np.array_equal(pixels_of(row), scaled)


def test_a_given_white_is_taken_for_every_slide(cohort: Cohort, tmp_path: Path) -> None:
    result = build(cohort, tmp_path / "out", white=White(230, 231, 232))
    assert {tuple(unit["white"]) for unit in result.manifest.units.values()} == {(230, 231, 232)}


def test_a_plain_grid(cohort: Cohort, tmp_path: Path) -> None:
    build(cohort, tmp_path / "out", stride=128, intensity="none")
    assert {(row["x"] % 128, row["y"] % 128) for row in rows(tmp_path / "out")} == {(0, 0)}


@pytest.mark.parametrize(("image_format", "tolerance"), [("jpeg", 40), ("webp", 0)])
def test_other_image_formats(cohort: Cohort, built: Path, tmp_path: Path, image_format: Any, tolerance: int) -> None:
    build(cohort, tmp_path / "out", encoding=Encoding(image_format), intensity="none")
    for row, lossless in zip(rows(tmp_path / "out"), rows(built), strict=True):
        assert Image.open(io.BytesIO(row["image"]["bytes"])).format == image_format.upper()
        assert np.abs(pixels_of(row).astype(int) - pixels_of(lossless)).max() <= tolerance


@pytest.mark.parametrize(("image_format", "tolerance"), [("jpeg", 4), ("webp", 0)])
def test_other_image_formats_of_resampled_slides(
    cohort: Cohort, tmp_path: Path, image_format: Any, tolerance: float
) -> None:
    options: dict[str, Any] = {"mpp": 0.125, "resample": True, "patch_size": 128}
    build(cohort, tmp_path / "png", **options)
    build(cohort, tmp_path / "other", encoding=Encoding(image_format), **options)
    found = rows(tmp_path / "other")
    for row, lossless in zip(found, rows(tmp_path / "png"), strict=True):
        assert Image.open(io.BytesIO(row["image"]["bytes"])).format == image_format.upper()
        assert (row["mpp"], pixels_of(row).shape) == (0.25, (128, 128, 3))
        assert np.abs(pixels_of(row).astype(int) - pixels_of(lossless)).mean() <= tolerance


def test_an_export_of_the_other_origin_gives_the_same_bytes_with_invert_y(own_cohort: Cohort, tmp_path: Path) -> None:
    # The regions that are drawn with the slides look the same upside down: this one does not.
    region = Box(x=324, y=340, width=408, height=300)
    turned = Box(x=324, y=SIZE.height - region.bottom, width=408, height=300)
    exports = {}
    for name, box in {"right": region, "turned": turned}.items():
        exports[name] = tmp_path / name
        for slide in SCORES:
            write_qupath(exports[name] / f"{slide}.geojson", (box,))
    places = {}
    for name, export, invert in (
        ("expected", "right", False),
        ("inverted", "turned", True),
        ("forgotten", "turned", False),
    ):
        build(own_cohort, tmp_path / "out" / name, regions=exports[export], invert_y=invert, intensity="none")
        places[name] = {row["y"] for row in rows(tmp_path / "out" / name)}
    assert contents(tmp_path / "out/inverted/data") == contents(tmp_path / "out/expected/data")
    assert min(places["expected"]) == region.y
    assert min(places["forgotten"]) == turned.y


def test_finer_slides_are_resampled_on_request(own_cohort: Cohort, tmp_path: Path) -> None:
    draw_one(own_cohort.slide("A"), "0", 0, SlideFormat(mpp=0.125))
    result = build(own_cohort, tmp_path / "refused")
    assert "--resample" in str(result.plan.quarantined["A"])
    build(own_cohort, tmp_path / "out", resample=True, patch_size=128, intensity="none")
    row = next(row for row in rows(tmp_path / "out") if row["slide_id"] == "A")
    scanned = openslides(own_cohort.slide("A"), row["x"], row["y"]).astype(float)
    halved = scanned.reshape(128, 2, 128, 2, 3).mean(axis=(1, 3))
    assert row["mpp"] == 0.25
    assert pixels_of(row).shape == (128, 128, 3)
    assert np.abs(pixels_of(row) - halved).max() <= 1


def test_mpp_labels_and_patients_may_come_from_a_table(own_cohort: Cohort, tmp_path: Path) -> None:
    draw_one(own_cohort.slide("A"), "0", 0, SlideFormat(mpp=None))
    flat = own_cohort.root / "flat"
    flat.mkdir()
    for path in own_cohort.slides.glob("*/*.svs"):
        path.rename(flat / path.name)
    table = tmp_path / "labels.csv"
    labels = {"0": "0", "1+": "faint", "3+": "3+"}
    lines = [f"{slide},{labels[score]},P{score},{'0.24' * (slide == 'A')}" for slide, score in SCORES.items()]
    table.write_text("\n".join(["slide_id,label,case_id,mpp", *lines]))
    with pytest.raises(Her2Error, match="--label-map"):
        build(own_cohort, tmp_path / "out", slides=flat, labels=table)
    build(own_cohort, tmp_path / "out", slides=flat, labels=table, label_map={"faint": "1+"}, intensity="none")
    found = {row["slide_id"]: row for row in rows(tmp_path / "out")}
    assert found["A"]["mpp"] == 0.24
    assert {slide: (CLASSES[row["label"]], row["case_id"]) for slide, row in found.items()} == {
        slide: (score, f"P{score}") for slide, score in SCORES.items()
    }


def test_stain_normalisation_wants_a_reference(cohort: Cohort, built: Path, tmp_path: Path) -> None:
    row = next(row for row in rows(built) if row["slide_id"] == "C")
    reference = tmp_path / "reference.png"
    reference.write_bytes(row["image"]["bytes"])
    options: dict[str, Any] = {"intensity": "reinhard", "accept_stain_loss": True, "stain_reference": reference}
    result = build(cohort, tmp_path / "out", **options)
    assert str(tmp_path) not in (tmp_path / "out" / "manifest.json").read_text()
    assert result.manifest.parameters["stain_reference"] == row["sha256"]
    target = pixels_of(row).mean(axis=(0, 1))
    far = max(np.abs(pixels_of(one).mean(axis=(0, 1)) - target).max() for one in rows(tmp_path / "out"))
    assert far < 8 < max(np.abs(pixels_of(one).mean(axis=(0, 1)) - target).max() for one in rows(built))
    reference.unlink()
    with pytest.raises(Her2Error, match=r"reference\.png"):
        build(cohort, tmp_path / "other", **options)
    reference.write_bytes(b"no image")
    with pytest.raises(Her2Error, match=r"reference\.png"):
        build(cohort, tmp_path / "other", **options)


def test_sides_from_a_table(cohort: Cohort, tmp_path: Path) -> None:
    table = tmp_path / "splits.csv"
    lines = [f"{slide},{'test' if slide in 'AC' else 'train'}" for slide in SCORES]
    table.write_text("\n".join(["slide_id,wsi_split", *lines]))
    result = build(cohort, tmp_path / "out", splits=table, intensity="none")
    assert {slide for slide, unit in result.manifest.units.items() if unit["wsi_side"] == "test"} == {"A", "C"}
    warned = [line for line in build_summary(result).splitlines() if line.startswith("warning: wsi_split")]
    assert warned == ["warning: wsi_split: all 7 patches of class 0 are in test, none in train."]


# --- Same bytes ---------------------------------------------------------------------------------------------------


def test_another_listing_order_changes_no_byte(
    cohort: Cohort, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = os.walk

    def backwards(top: Any) -> Any:
        for folder, folders, files in walk(top):
            folders.sort(reverse=True)
            yield folder, folders, files[::-1]

    monkeypatch.setattr(os, "walk", backwards)
    build(cohort, tmp_path / "backwards", intensity="none")
    assert contents(tmp_path / "backwards") == contents(built)


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_and_listing_order_together_change_no_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    scores = {name: CLASSES[number % 4] for number, name in enumerate("QWERTYUI")}
    many = draw_cohort(tmp_path / "in", scores)
    options: dict[str, Any] = {"min_tissue": 0.9}
    build(many, tmp_path / "one", **options)
    walk, iterdir = os.walk, Path.iterdir
    shuffled = random.Random(workers)

    def listed(top: Any) -> Any:
        for folder, folders, files in walk(top):
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
        run = subprocess.Popen(
            [sys.executable, "-u", *command(cohort, out, "--workers", "1")[1:]], stdout=subprocess.PIPE, text=True
        )
        assert run.stdout
        for _ in range(lines):
            assert "windows" in run.stdout.readline()
        run.send_signal(signal.SIGKILL)
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


def test_a_packed_release_is_never_replaced(cohort: Cohort, shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(shards, out)
    with pytest.raises(OutputError, match="did not make"):
        build(cohort, out, overwrite=True)
    assert contents(out) == contents(shards)


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


def test_previous_must_be_built_from_slides(cohort: Cohort, shards: Path, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="--previous"):
        build(cohort, tmp_path / "out", previous=shards)


# --- In trouble ---------------------------------------------------------------------------------------------------


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
    arguments = command(cohort, tmp_path / "out", "--workers", "2")[len(CLI) :]
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
