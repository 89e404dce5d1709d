"""A laboratory's folder in small: drawn slides, their regions as crops and as the exports of two tools, and labels.

For the demo and the tests, which need such a folder without a patient in it.
"""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from her2_ihc_40x import CLASSES

from ..geometry import Box, Size
from ..parallel import run_tasks
from ..shards.staging import write_text
from ..slides.slide import open_slide
from .synthetic import write_slide

SLIDES, CROPS, LABELS = "WSI", "ROI", "labels.csv"
QUPATH, CYTOMINE = "annotations/qupath", "annotations/cytomine.json"
#: A term of a Cytomine ontology goes by its number.
_TUMOUR = 901

Outline = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class LabRegion:
    """A region that somebody drew.

    Args:
        roi_id: the annotation's number.
        outline: its corners (x, y) in level-0 pixels.
        box: around them.
    """

    roi_id: str
    outline: Outline
    box: Box

    @property
    def is_box(self) -> bool:
        """Whether it is a plain rectangle."""
        return len(self.outline) == 4


@dataclass(frozen=True)
class LabSlide:
    """A slide with its score, its patient and its regions."""

    slide_id: str
    label: str
    case_id: str
    size: Size
    regions: tuple[LabRegion, ...]


def write_lab(root: Path, slides_per_class: int, size: Size, *, workers: int) -> list[LabSlide]:
    """Draw slides, and write them as a laboratory would have them.

    `WSI/<class>/<slide>.svs`; `ROI/<class>/<slide>_<id>.png`, RGBA where a region is no rectangle;
    `annotations/qupath/<slide>.geojson`; `annotations/cytomine.json`; `labels.csv` of slide_id, label, case_id.

    Args:
        root: a folder.
        slides_per_class: each of one patient, with two regions; the first of each class has an octagon.
        size: pixels of a slide, at least 1800 x 1300: crops of smaller slides are too small to be placed.
        workers: processes.

    Returns:
        The slides, in the order of their ids.
    """
    tasks = [
        _Task(root, label, number, size, is_first=number % slides_per_class == 0)
        for number, label in enumerate(label for label in CLASSES for _ in range(slides_per_class))
    ]
    for label in CLASSES:
        for folder in (SLIDES, CROPS):
            (root / folder / label).mkdir(parents=True)
    (root / QUPATH).mkdir(parents=True)
    slides = run_tasks(_write, tasks, workers=workers, label="Drawing", unit="slide")
    for slide in slides:
        write_text(root / QUPATH / f"{slide.slide_id}.geojson", json.dumps(qupath_export(slide), indent=1))
    write_text(root / CYTOMINE, json.dumps(cytomine_export(slides), indent=1))
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["slide_id", "label", "case_id"])
    writer.writerows([slide.slide_id, slide.label, slide.case_id] for slide in slides)
    write_text(root / LABELS, table.getvalue())
    return slides


def qupath_export(slide: LabSlide) -> dict[str, Any]:
    """A slide's annotations as QuPath exports them: y from the top."""
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{slide.slide_id}_{region.roi_id}")),
                "geometry": {"type": "Polygon", "coordinates": [[*region.outline, region.outline[0]]]},
                "properties": {
                    "objectType": "annotation",
                    "name": region.roi_id,
                    "classification": {"name": "Tumor", "color": [200, 0, 0]},
                },
            }
            for region in slide.regions
        ],
    }


def cytomine_export(slides: Sequence[LabSlide]) -> dict[str, Any]:
    """All slides' annotations as Cytomine exports them: WKT, y from the bottom."""
    return {
        "collection": [
            {
                "class": "be.cytomine.ontology.UserAnnotation",
                "id": int(region.roi_id),
                "instanceFilename": f"{slide.slide_id}.svs",
                "term": [_TUMOUR],
                "location": _wkt([(x, slide.size.height - y) for x, y in region.outline]),
            }
            for slide in slides
            for region in slide.regions
        ]
    }


def _wkt(outline: Sequence[tuple[int, int]]) -> str:
    return f"POLYGON (({', '.join(f'{x} {y}' for x, y in [*outline, outline[0]])}))"


@dataclass(frozen=True)
class _Task:
    root: Path
    label: str
    number: int
    size: Size
    is_first: bool


def _write(task: _Task) -> LabSlide:
    """Write one slide and its crops."""
    name = f"S{task.number + 1:02d}"
    drawn = write_slide(task.root / SLIDES / task.label / f"{name}.svs", task.label, task.number, task.size)
    regions = tuple(
        LabRegion(str(100 * (task.number + 1) + at), _octagon(box) if task.is_first and at == 1 else _corners(box), box)
        for at, box in enumerate(drawn.regions, 1)
    )
    with open_slide(drawn.path) as slide:
        for region in regions:
            crop = Image.fromarray(slide.read_region(region.box))
            if not region.is_box:
                crop.putalpha(_alpha(region))
            crop.save(task.root / CROPS / task.label / f"{name}_{region.roi_id}.png", compress_level=1)
    return LabSlide(name, task.label, f"P{task.number + 1:02d}", task.size, regions)


def _corners(box: Box) -> Outline:
    return ((box.x, box.y), (box.right, box.y), (box.right, box.bottom), (box.x, box.bottom))


def _octagon(box: Box) -> Outline:
    """The box less its corners; it touches all four sides, so that its box is the same."""
    dx, dy = box.width // 4, box.height // 4
    xs, ys = (box.x, box.x + dx, box.right - dx, box.right), (box.y, box.y + dy, box.bottom - dy, box.bottom)
    at = ((1, 0), (2, 0), (3, 1), (3, 2), (2, 3), (1, 3), (0, 2), (0, 1))
    return tuple((xs[i], ys[j]) for i, j in at)


def _alpha(region: LabRegion) -> Image.Image:
    alpha = Image.new("L", (region.box.width, region.box.height))
    corners = [(x - region.box.x, y - region.box.y) for x, y in region.outline]
    ImageDraw.Draw(alpha).polygon(corners, fill=255)
    return alpha
