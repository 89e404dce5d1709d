"""A few small slides of every class with their regions in every form, drawn once; and short ways to build them."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as ds
from PIL import Image

from her2_ihc_40x_builder.build import BuildResult, build_dataset
from her2_ihc_40x_builder.demo.synthetic import SlideFormat, write_slide
from her2_ihc_40x_builder.geometry import Box, Size
from her2_ihc_40x_builder.parameters import BuildInputs, BuildParameters
from her2_ihc_40x_builder.privacy.private_names import OpenNames
from her2_ihc_40x_builder.slides.slide import open_slide

SIZE = Size(1200, 1200)
PATCH = 256
SCORES = {"A": "0", "B": "1+", "C": "3+", "D": "3+"}


#: The program as Python starts it; `program.py` begins it sooner.
CLI = [sys.executable, "-m", "her2_ihc_40x_builder"]


@dataclass(frozen=True)
class Cohort:
    """Slides and regions on the disk: `WSI/<score>/<slide>.svs`, and the regions as each kind of file."""

    root: Path

    @property
    def slides(self) -> Path:
        return self.root / "WSI"

    @property
    def regions(self) -> Path:
        return self.root / "qupath"

    def slide(self, slide_id: str) -> Path:
        return next(self.slides.glob(f"*/{slide_id}.svs"))


def draw_cohort(root: Path, scores: dict[str, str] = SCORES) -> Cohort:
    """Draw a slide for each id, and write its regions as crops, QuPath, Cytomine and masks."""
    cytomine = []
    for seed, (slide_id, score) in enumerate(scores.items()):
        path = root / "WSI" / score / f"{slide_id}.svs"
        regions = draw_one(path, score, seed)
        write_qupath(root / "qupath" / f"{slide_id}.geojson", regions)
        cytomine += [
            {"id": number, "instanceFilename": path.name, "location": _from_the_bottom(box)}
            for number, box in enumerate(regions, start=1)
        ]
        crops, masks = root / "ROI" / score, root / "masks"
        crops.mkdir(parents=True, exist_ok=True)
        masks.mkdir(exist_ok=True)
        mask = np.zeros((SIZE.height, SIZE.width), np.uint8)
        with open_slide(path) as slide:
            Image.fromarray(slide.read_region(regions[0])).save(crops / f"{slide_id}_1.png")
        for box in regions:
            mask[box.y : box.bottom, box.x : box.right] = 255
        Image.fromarray(mask).save(masks / f"{slide_id}.png")
    (root / "cytomine.json").write_text(json.dumps(cytomine))
    return Cohort(root)


def draw_one(path: Path, score: str, seed: int, how: SlideFormat | None = None) -> tuple[Box, ...]:
    """Draw one slide; returns its regions."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_slide(path, score, seed, SIZE, how or SlideFormat()).regions


def boxes() -> tuple[Box, ...]:
    """The regions, which are the same on every slide."""
    return (Box(324, 324, 408, 552), Box(444, 756, 180, 240))


def write_qupath(path: Path, regions: tuple[Box, ...], class_name: str | None = None) -> None:
    """Write boxes as QuPath does, ids from 1."""
    path.parent.mkdir(parents=True, exist_ok=True)
    properties = {"objectType": "annotation"} | ({"classification": {"name": class_name}} if class_name else {})
    features = [
        {
            "type": "Feature",
            "id": str(number),
            "geometry": {"type": "Polygon", "coordinates": [_corners(box)]},
            "properties": properties,
        }
        for number, box in enumerate(regions, start=1)
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def _corners(box: Box) -> list[list[int]]:
    return [[box.x, box.y], [box.right, box.y], [box.right, box.bottom], [box.x, box.bottom], [box.x, box.y]]


def _from_the_bottom(box: Box) -> str:
    return f"POLYGON(({', '.join(f'{x} {SIZE.height - y}' for x, y in _corners(box))}))"


def build(
    cohort: Cohort,
    out: Path,
    *,
    workers: int = 1,
    overwrite: bool = False,
    names: OpenNames | None = None,
    **options: Any,
) -> BuildResult:
    """Build with small patches; `options` are of `BuildInputs` and `BuildParameters`."""
    fields = BuildInputs.__dataclass_fields__
    inputs = {name: value for name, value in options.items() if name in fields}
    parameters = {name: value for name, value in options.items() if name not in fields}
    return build_dataset(
        BuildInputs(**{"slides": cohort.slides, "regions": cohort.regions, **inputs}),
        out,
        BuildParameters(**{"patch_size": PATCH, **parameters}),
        workers=workers,
        overwrite=overwrite,
        names=names,
    )


def rows(out: Path) -> list[dict[str, Any]]:
    """Every row of a data set, by slide and patch id."""
    table = ds.dataset(sorted(out.glob("data/*/*/*.parquet")), format="parquet").to_table()
    found: list[dict[str, Any]] = table.to_pylist()
    return sorted(found, key=lambda row: (row["slide_id"], row["patch_id"]))


def contents(folder: Path) -> dict[str, str]:
    """Path below the folder -> hash, of every file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def files_of(out: Path, slide_id: str) -> dict[str, int]:
    """Path -> inode, of a slide's shards."""
    return {str(path.relative_to(out)): path.stat().st_ino for path in out.glob(f"data/*/*/*-{slide_id}.parquet")}


def command(cohort: Cohort, out: Path, *more: str) -> list[str]:
    """Arguments of the command line that builds with pixels as scanned."""
    arguments = ["build", str(cohort.slides), "--regions", str(cohort.regions), "--out", str(out)]
    return [*arguments, "--patch-size", str(PATCH), "--intensity", "none", *more]
