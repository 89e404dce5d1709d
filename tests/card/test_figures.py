"""The figures of a data set: what is in them comes from its files, and the same files give the same figures."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from built_twin import COLOURS, write_lab
from her2_ihc_40x import CLASSES
from her2_ihc_40x_builder.card import figures
from her2_ihc_40x_builder.card.contents import read_rows
from her2_ihc_40x_builder.card.figures import Figure, draw_figures, sample_rows
from her2_ihc_40x_builder.shards.manifest import Manifest, read_manifest

SHEETS = {"patches-0.png", "patches-1plus.png", "patches-2plus.png", "patches-3plus.png"}


def drawn(folder: Path, manifest: Manifest) -> dict[str, Figure]:
    return {figure.name: figure for figure in draw_figures(folder, manifest, read_rows(folder, manifest))}


def opened(figure: Figure) -> Image.Image:
    return Image.open(io.BytesIO(figure.png)).convert("RGB")


def chunks(png: bytes) -> Iterator[bytes]:
    at = 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        yield png[at + 4 : at + 8]
        at += length + 12


def test_a_release_without_slides_has_no_figure_of_slides(shards: Path) -> None:
    manifest = read_manifest(shards)
    found = drawn(shards, manifest)
    assert set(found) == SHEETS | {"classes.png", "dab.png"}
    assert found["dab.png"].caption == "density_patches"
    assert {path.name: path.read_bytes() for path in (shards / "figures").iterdir()} == {
        name: figure.png for name, figure in found.items()
    }
    for figure in found.values():
        assert set(chunks(figure.png)) == {b"IHDR", b"IDAT", b"IEND"}  # no text, time or profile


def test_sheets_show_patches_of_their_class(tmp_path: Path) -> None:
    found = drawn(tmp_path, write_lab(tmp_path))
    assert set(found) == SHEETS - {"patches-2plus.png"} | {"classes.png", "slides.png", "dab.png"}
    for label in ("0", "1+", "3+"):
        sheet = opened(found[f"patches-{label.replace('+', 'plus')}.png"])
        near = Counter(
            name
            for count, pixel in sheet.getcolors(1 << 20) or []
            for name, colour in COLOURS.items()
            if max(abs(a - b) for a, b in zip(pixel, colour, strict=True)) < 5 and count > 1000  # type: ignore[arg-type]
        )
        assert set(near) == {label}
    assert found["patches-0.png"].facts == {"label": "0", "patches": "4"}
    assert found["slides.png"].facts == {"slides": "4"}
    assert found["dab.png"].caption == "density_slides"
    assert found["dab.png"].facts == {"points": "4"}


def test_bars_count_every_patch(shards: Path) -> None:
    manifest = read_manifest(shards)
    bars = opened(drawn(shards, manifest)["classes.png"])
    found = {colour: count for count, colour in bars.getcolors(1 << 20) or []}
    totals = {
        label: sum(labels[label] for splits in manifest.counts.values() for labels in splits.values())
        for label in CLASSES
    }
    for label in CLASSES:
        share = found[figures.COLOURS[label]] / sum(found[figures.COLOURS[name]] for name in CLASSES)
        assert abs(share - totals[label] / sum(totals.values())) < 0.01


def test_a_class_with_more_stain_lies_further_right(tmp_path: Path) -> None:
    folder = tmp_path / "release"
    manifest = write_lab(folder, kind="release")
    chart = opened(drawn(folder, manifest)["dab.png"])
    places = {}
    for label in ("0", "1+", "3+"):
        _, columns = np.nonzero((np.asarray(chart) == figures.COLOURS[label]).all(axis=2))
        places[label] = columns.mean()
    assert places["0"] < places["1+"] < places["3+"]


def test_the_sample_is_bounded_and_spread_over_files(shards: Path) -> None:
    rows = read_rows(shards, read_manifest(shards))
    for label in CLASSES:
        groups = sample_rows(rows, label, 3)
        assert groups == sample_rows(rows[::-1], label, 3)
        assert 1 <= len(groups) <= figures.SAMPLE_GROUPS
        files = [group[0].shard for group in groups]
        assert len(set(files)) == min(len(files), len({row.shard for row in rows if row.label == label}))
        for group in groups:
            assert {(row.label, row.shard, row.group) for row in group} == {(label, group[0].shard, group[0].group)}
            assert len(group) <= max(3, -(-figures.SHEET_PATCHES // len(groups)))


def test_a_base_install_draws_them() -> None:
    code = "import sys; sys.modules['cv2'] = None; import her2_ihc_40x_builder.pack"
    subprocess.run([sys.executable, "-c", code], check=True)
