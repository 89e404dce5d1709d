"""The demo with slides: every step is checked, and a wrong one ends it. The laboratory that it draws, too."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from her2_ihc_40x import CLASSES
from her2_ihc_40x_builder.cli import main
from her2_ihc_40x_builder.demo import lab_twin, slide_demo
from her2_ihc_40x_builder.demo.checks import DemoError
from her2_ihc_40x_builder.demo.lab_twin import LabSlide, write_lab
from her2_ihc_40x_builder.demo.mark import made_demo
from her2_ihc_40x_builder.demo.slide_demo import run_slide_demo
from her2_ihc_40x_builder.errors import OutputError
from her2_ihc_40x_builder.geometry import Size
from her2_ihc_40x_builder.parameters import BuildInputs, BuildParameters
from her2_ihc_40x_builder.plan import plan_build
from her2_ihc_40x_builder.shards.made import strangers
from her2_ihc_40x_builder.shards.manifest import read_manifest

SIZE = Size(1800, 1300)
small_demo = partial(run_slide_demo, slides_per_class=1, size=SIZE, patch_size=600, workers=1)


def test_it_makes_loads_and_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(slide_demo, "run_slide_demo", partial(small_demo, slides_per_class=2))
    folder = tmp_path / "demo"
    assert main(["demo", "--slides", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "8 slides; 0 of them were done already" in printed
    assert "her2-ihc-40x build SLIDES" in printed
    manifest = read_manifest(folder / slide_demo.SHARDS)
    assert {unit["wsi_side"] for unit in manifest.units.values()} == {"train", "test"}
    assert all(min(labels.values()) > 0 for labels in manifest.counts["wsi_split"].values())
    with Image.open(folder / slide_demo.SHEET) as sheet:
        assert len(Counter(sheet.convert("L").tobytes())) > 100
    assert len(list((folder / slide_demo.REPORT).glob("*.png"))) == 8
    made = made_demo(folder)
    assert made
    assert strangers(folder, made) == []

    def stopped(*arguments: Any, **options: Any) -> list[LabSlide]:
        raise KeyboardInterrupt

    monkeypatch.setattr(slide_demo, "write_lab", stopped)
    with pytest.raises(KeyboardInterrupt):  # an earlier demo may be replaced, and stays until it is
        small_demo(folder, say=print)
    assert read_manifest(folder / slide_demo.SHARDS).digest == manifest.digest
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_it_overwrites_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(OutputError, match="did not make"):
        small_demo(tmp_path, say=print)


def test_annotations_elsewhere_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export with y from the wrong edge: the regions lie on the slides, but not where the crops are."""
    right = lab_twin.cytomine_export

    def mirrored(slides: Sequence[LabSlide]) -> dict[str, Any]:
        export = right(slides)
        for slide, entries in zip(slides, zip(*[iter(export["collection"])] * 2, strict=True), strict=True):
            for region, entry in zip(slide.regions, entries, strict=True):
                corners = [*region.outline, region.outline[0]]
                entry["location"] = f"POLYGON (({', '.join(f'{x} {y}' for x, y in corners)}))"
        return export

    monkeypatch.setattr(lab_twin, "cytomine_export", mirrored)
    with pytest.raises(DemoError, match=r"cytomine.*the windows of the crops"):
        small_demo(tmp_path / "demo", say=print)
    assert list(tmp_path.iterdir()) == []


def damage_a_slide(root: Path) -> None:
    path = root / lab_twin.SLIDES / "3+" / "S04.svs"
    path.write_bytes(path.read_bytes()[:5000])


def lose_a_region(root: Path) -> None:
    (root / lab_twin.CROPS / "0" / "S01_101.png").unlink()


@pytest.mark.parametrize(("damage", "message"), [(damage_a_slide, "every slide"), (lose_a_region, "the regions drawn")])
def test_a_wrong_step_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None], message: str
) -> None:
    def damaged(root: Path, *arguments: Any, **options: Any) -> list[LabSlide]:
        slides = write_lab(root, *arguments, **options)
        damage(root)
        return slides

    monkeypatch.setattr(slide_demo, "write_lab", damaged)
    with pytest.raises(DemoError, match=message):
        small_demo(tmp_path / "demo", say=print)
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_it_says_so_in_one_line(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['openslide'] = None; from her2_ihc_40x_builder.cli import main;"
        "sys.exit(main(['demo', '--slides']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "[build]" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[LabSlide]]:
    root = tmp_path_factory.mktemp("lab")
    return root, write_lab(root, 1, SIZE, workers=1)


@pytest.mark.parametrize("regions", [lab_twin.CROPS, lab_twin.QUPATH, lab_twin.CYTOMINE])
def test_every_source_gives_the_regions_that_were_drawn(lab: tuple[Path, list[LabSlide]], regions: str) -> None:
    root, slides = lab
    inputs = BuildInputs(root / lab_twin.SLIDES, root / regions, root / lab_twin.LABELS)
    plan = plan_build(inputs, BuildParameters(patch_size=256))
    assert not plan.quarantined
    found = {(slide.slide_id, one.roi_id): one.polygon.bounds for slide in plan.slides for one in slide.regions}
    assert found == {
        (slide.slide_id, one.roi_id): (one.box.x, one.box.y, one.box.right, one.box.bottom)
        for slide in slides
        for one in slide.regions
    }
    assert [(slide.slide_id, slide.score, slide.case_id) for slide in plan.slides] == [
        (f"S{n:02d}", label, f"P{n:02d}") for n, label in enumerate(CLASSES, 1)
    ]


def test_an_octagon_is_an_rgba_crop(lab: tuple[Path, list[LabSlide]]) -> None:
    root, slides = lab
    for slide in slides:
        for region in slide.regions:
            with Image.open(root / lab_twin.CROPS / slide.label / f"{slide.slide_id}_{region.roi_id}.png") as crop:
                assert crop.size == (region.box.width, region.box.height)
                assert crop.mode == ("RGB" if region.is_box else "RGBA")
                if crop.mode == "RGBA":
                    assert 0.8 < crop.getchannel("A").histogram()[255] / region.box.area < 0.95
    exported = json.loads((root / lab_twin.QUPATH / "S01.geojson").read_text(encoding="utf-8"))
    assert len(exported["features"][0]["geometry"]["coordinates"][0]) == 9
