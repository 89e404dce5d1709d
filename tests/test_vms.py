"""Slides of Hamamatsu in several files, an index and its pictures: through `build` like every other slide."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drawn_slides import Cohort, build, rows, write_qupath
from her2_ihc_40x_builder.demo.drawing import draw_field
from her2_ihc_40x_builder.geometry import Box
from her2_ihc_40x_builder.slides.slide import open_slide

SIDE, REGION = 1024, Box(100, 100, 700, 700)
INDEX = """[Virtual Microscope Specimen]
NoLayers=1
NoJpegColumns=1
NoJpegRows=1
ImageFile={0}.jpg
MapFile={0}_map.jpg
SourceLens=40
PhysicalWidth={1}
PhysicalHeight={1}
"""


def write_vms(index: Path, seed: int) -> None:
    """Draw a slide at 0.25 micrometres a pixel; OpenSlide needs restart markers in its JPEG."""
    index.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(draw_field("3+", seed, SIDE, SIDE))
    image.save(index.with_suffix(".jpg"), quality=90, subsampling=0, restart_marker_blocks=SIDE // 8)
    map_file = index.with_name(f"{index.stem}_map.jpg")
    image.resize((SIDE // 8, SIDE // 8)).save(map_file, quality=90, subsampling=0, restart_marker_blocks=SIDE // 64)
    index.write_text(INDEX.format(index.stem, SIDE * 250))


@pytest.fixture
def lab(tmp_path: Path) -> Cohort:
    cohort = Cohort(tmp_path / "lab")
    for seed, name in enumerate("ab"):
        write_vms(cohort.slides / "3+" / f"{name}.vms", seed)
        write_qupath(cohort.regions / f"{name}.geojson", (REGION,))
    return cohort


def test_its_patches_are_openslides_and_another_picture_makes_it_anew(lab: Cohort, tmp_path: Path) -> None:
    out = tmp_path / "out"
    build(lab, out, intensity="none")
    for row in rows(out):
        with open_slide(lab.slides / "3+" / f"{row['slide_id']}.vms") as slide:
            patch = np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])))
            assert np.array_equal(patch, slide.read_region(Box(row["y"], row["x"], 256, 256)))
    assert build(lab, out, intensity="none").reused == ("a", "b")
    other = tmp_path / "other" / "a.vms"
    write_vms(other, 9)
    other.with_suffix(".jpg").replace(lab.slides / "3+" / "a.jpg")
    assert build(lab, out, intensity="none").reused == ()  # another slide: sides are drawn anew too


def test_a_copy_whose_index_names_copies_is_the_same_slide(lab: Cohort, tmp_path: Path) -> None:
    write_vms(lab.slides / "3+" / "c.vms", 0)
    write_qupath(lab.regions / "c.geojson", (REGION,))
    result = build(lab, tmp_path / "out", intensity="none")
    assert set(result.plan.quarantined) == {"a", "c"}
    assert list(result.manifest.units) == ["b"]
