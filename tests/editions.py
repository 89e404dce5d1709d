"""Small data sets of slides, to be published version after version: written by the real writers."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from her2_ihc_40x import CLASSES, FEATURES
from her2_ihc_40x_builder.card.card import render_card
from her2_ihc_40x_builder.shards.files import Sides, UnitWriter
from her2_ihc_40x_builder.shards.made import COMPANION
from her2_ihc_40x_builder.shards.manifest import FILE_NAME, Companion, Manifest, count_labels, read_manifest

Slides = Mapping[str, Sequence["Spot"]]


@dataclass(frozen=True)
class Spot:
    """A patch to be: `look` draws its pixels."""

    patch_id: str
    label: str
    sides: Sides
    look: int
    label_source: str = "slide"


def plan_slides(count: int = 4, patches: int = 4) -> dict[str, list[Spot]]:
    """Slides of all classes; the last of each four is on the test side, and so is one patch in four."""
    return {
        f"slide-{s}": [
            Spot(
                f"slide-{s}_{p}",
                CLASSES[s % 4],
                Sides("test" if s % 4 == 3 else "train", "test" if p % 4 == 3 else "train"),
                s * 1000 + p,
            )
            for p in range(patches)
        ]
        for s in range(count)
    }


def write_edition(folder: Path, slides: Slides, *, licence: str | None = "cc-by-4.0", size: int = 8) -> Path:
    """Write a data set of random images of `size` pixels a side."""
    shards, rows = [], []
    for unit, spots in slides.items():
        with UnitWriter(folder, unit) as writer:
            for spot in spots:
                writer.write(spot.sides, _row(unit, spot, size))
                rows.append((spot.sides, spot.label))
        shards += writer.shards
    source = {"kind": "slides", "licence": licence}
    manifest = Manifest(sorted(shards), count_labels(rows), {}, source, {unit: {} for unit in slides})
    (folder / "README.md").write_text(render_card(manifest), encoding="utf-8")
    (folder / FILE_NAME).write_text(manifest.to_json(), encoding="utf-8")
    return list_companions(folder)


def list_companions(folder: Path) -> Path:
    """Write into the manifest of a data set the files that are beside its shards, as they are."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    listed = [
        Companion(name, hashlib.sha256(data).hexdigest(), len(data))
        for name, data in files.items()
        if COMPANION.fullmatch(name)
    ]
    manifest = replace(read_manifest(folder), companions=listed)
    (folder / FILE_NAME).write_text(manifest.to_json(), encoding="utf-8")
    return folder


def _row(unit: str, spot: Spot, size: int) -> dict[str, Any]:
    file = io.BytesIO()
    pixels = np.random.default_rng(spot.look).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    data = file.getvalue()
    label = CLASSES.index(spot.label)
    return dict.fromkeys(FEATURES) | {
        "image": {"bytes": data, "path": None},
        "label": label,
        "label_source": spot.label_source,
        "slide_id": unit,
        "slide_score": label,
        "patch_id": spot.patch_id,
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def contents(folder: Path) -> dict[str, tuple[str, int]]:
    """Each file's sha256 and time of change."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in files
    }
