"""Leaks to be found: what a copy of a patch may look like, and data sets that hold such copies."""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from her2_ihc_40x import CLASSES, FEATURES
from her2_ihc_40x_builder.patches.pixels import Rgb
from her2_ihc_40x_builder.shards.files import Sides, UnitWriter
from her2_ihc_40x_builder.shards.manifest import FILE_NAME, Manifest, count_labels

TRAIN, TEST = Sides("train", "train"), Sides("test", "test")


@dataclass(frozen=True)
class Spot:
    """A square window of a field that is larger, so that a window beside it can be cut as well."""

    field: Rgb
    x: int
    y: int
    size: int

    @property
    def pixels(self) -> Rgb:
        """The window."""
        return self.cut(0, 0)

    def cut(self, dx: int, dy: int) -> Rgb:
        """The window, moved; towards the other side where the field ends."""
        height, width = self.field.shape[:2]
        x = self.x + dx if 0 <= self.x + dx <= width - self.size else self.x - dx
        y = self.y + dy if 0 <= self.y + dy <= height - self.size else self.y - dy
        return np.ascontiguousarray(self.field[y : y + self.size, x : x + self.size])


def jpeg(pixels: Rgb, quality: int) -> Rgb:
    """Pixels after a round of JPEG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def brighter(pixels: Rgb, gain: float) -> Rgb:
    """Pixels times a gain, cut at 255."""
    return np.asarray(np.clip(pixels * gain, 0, 255), np.uint8)


def shifted(spot: Spot, rng: np.random.Generator) -> Rgb:
    """A window that shares half of its area or more: up to half a window along one axis, or less along both."""
    share = rng.uniform(0.5, 1)
    along = rng.uniform(share, 1)  # along * across = share
    dx, dy = (round(spot.size * (1 - part)) for part in rng.permutation([along, share / along]))
    return spot.cut(int(rng.choice([-1, 1])) * dx, int(rng.choice([-1, 1])) * dy)


#: Kind of copy -> how one is made of a window.
COPIES: Mapping[str, Callable[[Spot, np.random.Generator], Rgb]] = {
    "recompressed": lambda spot, rng: jpeg(spot.pixels, int(rng.integers(30, 96))),
    "shifted": shifted,
    "turned by 90": lambda spot, rng: np.rot90(spot.pixels, 1),
    "turned by 180": lambda spot, rng: np.rot90(spot.pixels, 2),
    "turned by 270": lambda spot, rng: np.rot90(spot.pixels, 3),
    "flipped left to right": lambda spot, rng: spot.pixels[:, ::-1],
    "flipped upside down": lambda spot, rng: spot.pixels[::-1],
    "brightness": lambda spot, rng: brighter(spot.pixels, rng.uniform(0.7, 1.2)),
    "all at once": lambda spot, rng: jpeg(brighter(np.rot90(shifted(spot, rng)[:, ::-1]), rng.uniform(0.8, 1.1)), 80),
}


def with_void(pixels: Rgb, rng: np.random.Generator) -> Rgb:
    """With a side that was not scanned, of half of the window at most."""
    marked, size = np.rot90(pixels, int(rng.integers(4))).copy(), len(pixels)
    marked[: int(rng.integers(size // 8, size // 2))] = 0
    return marked


def with_pen(pixels: Rgb, rng: np.random.Generator) -> Rgb:
    """With a line of a pen from side to side."""
    image, size = Image.fromarray(pixels), len(pixels)
    (x, y), angle = rng.integers(0, size, 2), rng.uniform(0, np.pi)
    dx, dy = 2 * size * np.cos(angle), 2 * size * np.sin(angle)
    ImageDraw.Draw(image).line((x - dx, y - dy, x + dx, y + dy), (20, 20, 90), size // 32)
    return np.asarray(image)


def with_scale_bar(pixels: Rgb) -> Rgb:
    """With a scale bar and words above it, at the same place of each window."""
    image, size = Image.fromarray(pixels), len(pixels)
    draw, left, right, bottom = ImageDraw.Draw(image), size * 2 // 3, size * 15 // 16, size * 15 // 16
    draw.rectangle((left, bottom, right, bottom + size // 50), (0, 0, 0))
    draw.text((size // 2, bottom - size // 15), "50 um HER2 40x", (0, 0, 0), ImageFont.load_default(size // 20))
    return np.asarray(image)


#: What may be on a patch beside tissue -> how it is put on a window.
MARKS: Mapping[str, Callable[[Rgb, np.random.Generator], Rgb]] = {
    "a side not scanned": with_void,
    "a pen": with_pen,
    "a scale bar": lambda pixels, rng: with_scale_bar(pixels),
}


def png(pixels: Rgb, level: int = 1) -> bytes:
    """Pixels as a PNG; another level is another file of the same pixels."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", compress_level=level)
    return file.getvalue()


def row(patch_id: str, slide: str | None, data: bytes, **columns: Any) -> dict[str, Any]:
    """A row of a data set as a build writes it; `columns` are those that differ."""
    return dict.fromkeys(FEATURES) | {
        "image": {"bytes": data, "path": f"{patch_id}.png"},
        "label": 0,
        "label_source": "slide",
        "slide_id": slide,
        "slide_score": 0,
        "patch_id": patch_id,
        "sha256": hashlib.sha256(data).hexdigest(),
        **columns,
    }


def write_rows(
    folder: Path,
    rows: Iterable[tuple[Sides, dict[str, Any]]],
    *,
    kind: str = "slides",
    parameters: Mapping[str, Any] | None = None,
) -> Path:
    """Write a data set of rows with its manifest: a unit a slide (of a release one for all), its rows together."""
    units: list[str] = []
    shards, labels = [], []
    for unit, members in itertools.groupby(rows, lambda one: one[1]["slide_id"] or "block-0"):
        units.append(unit)
        with UnitWriter(folder, unit) as writer:
            for sides, columns in members:
                writer.write(sides, columns)
                # Of what is no class a manifest can say nothing.
                labels.append((sides, dict(enumerate(CLASSES)).get(columns["label"], CLASSES[0])))
        shards += writer.shards
    manifest = Manifest(shards, count_labels(labels), parameters or {}, {"kind": kind}, {unit: {} for unit in units})
    (folder / FILE_NAME).write_text(manifest.to_json(), encoding="utf-8")
    return folder
