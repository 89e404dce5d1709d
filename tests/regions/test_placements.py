"""Placements that are kept between runs: when they hold, when not, and what is in them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from her2_ihc_40x_builder.errors import SlideError
from her2_ihc_40x_builder.geometry import Box, Size
from her2_ihc_40x_builder.placing.search import SlideLike
from her2_ihc_40x_builder.regions import KeptPlacements, RegionSet, read_regions
from her2_ihc_40x_builder.regions.model import Finding, Kind

Slides = dict[str, SlideLike]
Cut = Callable[..., NDArray[np.uint8]]

HOMES = {"alpha": Box(900, 700, 620, 540), "beta": Box(500, 300, 700, 600)}


class Sealed:
    """A slide that must not be read."""

    def __init__(self, slide: SlideLike) -> None:
        self.slide_id: str = slide.slide_id
        self.size: Size = slide.size

    def read_region(self, box: Box, downsample: float = 1.0) -> NDArray[np.uint8]:
        raise SlideError(self.slide_id, "no look at its pixels", "one", "Keep the places.")


class Lab:
    """Crops of two slides, one of them with an outline, and a file for each slide that stands for its scan."""

    def __init__(self, root: Path, slides: Slides, cut: Cut) -> None:
        self.crops, self.notes, self._slides = root / "ROI", root / "notes", slides
        self.crops.mkdir()
        self.scans = {name: root / f"{name}.svs" for name in slides}
        for name, scan in self.scans.items():
            scan.write_text(name)
        for name, box in HOMES.items():
            alpha = np.full((box.height, box.width), 255, np.uint8)
            alpha[: box.height // 2, : box.width // 3] = 0 if name == "beta" else 255
            rgba = np.dstack([cut(slides[name], box), alpha])
            Image.fromarray(rgba).save(self.crops / f"{name}_1.png", compress_level=1)

    def read(self, *, sealed: bool = False, root: Path | None = None) -> RegionSet:
        slides = [Sealed(slide) if sealed else slide for slide in self._slides.values()]
        kept = KeptPlacements({name: (scan,) for name, scan in self.scans.items()}, self.notes)
        return read_regions(root or self.crops, slides, kept=kept)


def of(found: RegionSet, kind: Kind) -> list[Finding]:
    return [finding for finding in found.findings if finding.kind == kind]


@pytest.fixture
def lab(slides: Slides, cut: Cut, tmp_path: Path) -> Lab:
    return Lab(tmp_path, slides, cut)


def test_the_second_time_no_slide_is_read_and_the_regions_are_the_same(lab: Lab) -> None:
    first = lab.read()
    assert [region.polygon.bounds for region in first.regions] == [
        (box.x, box.y, box.right, box.bottom) for box in HOMES.values()
    ]
    assert first.regions[1].polygon.area < 0.9 * HOMES["beta"].area
    assert lab.read(sealed=True) == first


def test_a_crop_that_is_another_is_placed_anew_and_no_other(lab: Lab, slides: Slides, cut: Cut) -> None:
    first = lab.read()
    Image.fromarray(cut(slides["alpha"], Box(1000, 900, 500, 500))).save(lab.crops / "alpha_1.png")
    assert list(lab.read(sealed=True).problems) == ["alpha"]
    again = lab.read()
    assert again.regions[0].polygon.bounds == (900, 1000, 1400, 1500)
    assert again.regions[1] == first.regions[1]


@pytest.mark.parametrize("scan", ["alpha", "gamma_2"])
def test_any_slide_that_is_another_makes_every_search_anew(lab: Lab, scan: str) -> None:
    lab.read()
    lab.scans[scan].write_text("scanned again")
    assert set(lab.read(sealed=True).problems) == {"alpha", "beta"}


def test_an_annotations_size_counts(lab: Lab, tmp_path: Path) -> None:
    lab.read()
    box = HOMES["alpha"]
    corners = [(box.x, box.y), (box.right, box.y), (box.right, box.bottom), (box.x, box.bottom), (box.x, box.y)]
    geometry = {"type": "Polygon", "coordinates": [corners]}
    feature = {"type": "Feature", "geometry": geometry, "properties": {"name": "1"}}
    (lab.crops / "alpha.geojson").write_text(json.dumps(feature))
    assert list(lab.read(sealed=True).problems) == ["alpha"]
    assert lab.read().problems == {}


def test_notes_hold_no_name(lab: Lab) -> None:
    lab.read()
    notes = sorted(lab.notes.iterdir())
    assert len(notes) == 2
    for note in notes:
        assert len(bytes.fromhex(note.stem)) == 32
        assert not [name for name in ("alpha", "beta", "gamma", "png", "svs", "ROI") if name in note.read_text()]


@pytest.mark.parametrize("damage", ["", "{}", "[1]", '"x": 7'])
def test_a_damaged_note_is_none(lab: Lab, damage: str) -> None:
    first = lab.read()
    for note in lab.notes.iterdir():
        text = note.read_text()
        place = json.loads(text)["placement"]
        note.write_text(text.replace(f'"x": {place["x"]}', damage) if ":" in damage else damage)
    assert set(lab.read(sealed=True).problems) == {"alpha", "beta"}
    assert lab.read() == first
    assert lab.read(sealed=True) == first


def test_nothing_is_kept_of_a_search_that_left_a_slide_out(lab: Lab, slides: Slides) -> None:
    kept = KeptPlacements({name: (scan,) for name, scan in lab.scans.items()}, lab.notes)
    partly = [Sealed(slide) if name == "gamma_2" else slide for name, slide in slides.items()]
    found = read_regions(lab.crops, partly, kept=kept)
    assert found.problems == {}
    assert [finding.subject for finding in of(found, "crops not compared with slide")] == ["gamma_2"]
    assert not lab.notes.exists()


def test_places_that_cannot_be_kept_are_said_to_be_lost(lab: Lab) -> None:
    lab.notes.write_text("a file where a folder should be")
    found = lab.read()
    assert len(found.regions) == 2
    assert [finding.subject for finding in of(found, "places of crops not kept")] == [os.fspath(lab.notes)]
