"""A build from slides: what is in the rows, and what the options do."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import openslide
import pyarrow.parquet as pq
import pytest
from PIL import Image

from drawn_slides import (
    PATCH,
    SCORES,
    SIZE,
    Cohort,
    build,
    contents,
    draw_one,
    files_of,
    rows,
    write_qupath,
)
from her2_ihc_40x import CLASSES
from her2_ihc_40x_builder.demo.synthetic import SlideFormat
from her2_ihc_40x_builder.errors import Her2Error
from her2_ihc_40x_builder.geometry import Box
from her2_ihc_40x_builder.patches.encode import Encoding
from her2_ihc_40x_builder.patches.white import White
from her2_ihc_40x_builder.shards.manifest import read_manifest
from her2_ihc_40x_builder.summary import build_summary


def pixels_of(row: dict[str, Any]) -> Any:
    return np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])))


def openslides(path: Path, x: int, y: int, side: int = PATCH) -> Any:
    with openslide.OpenSlide(path) as slide:
        return np.asarray(slide.read_region((x, y), 0, (side, side)).convert("RGB"))


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
    assert "as scanned, before the stain normalisation" in (tmp_path / "out" / "README.md").read_text()
    assert "as scanned, before" not in (built / "README.md").read_text()
    assert "DAB p99 is that of the slides as scanned; reinhard" in build_summary(result)
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
    assert warned == [
        "warning: wsi_split: all 7 patches of class 0 are in test, none in train.",
        "warning: wsi_split: all 7 patches of class 1+ are in train, none in test.",
    ]
