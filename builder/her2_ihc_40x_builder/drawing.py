"""Drawings that look like HER2 immunohistochemistry at 40x: for demonstrations and tests, never for training.

Nuclei are counterstained with haematoxylin; membranes of the cells in tumour nests carry DAB by score. The drawing is
made in optical density, as stain in transmitted light is, and needs NumPy and Pillow only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from her2_ihc_40x import CLASSES

#: The colour of empty glass: a little blue, as scanners show it.
GLASS = (233, 232, 241)

#: Optical density of a unit of stain in red, green and blue (Ruifrok and Johnston 2001, normalised).
_HAEMATOXYLIN = (0.65, 0.70, 0.29)
_DAB = (0.27, 0.57, 0.78)
#: Units of stain at the value 255 of a drawing's layer.
_FULL = 1.6
_CELL = 52.0  # pixels between neighbouring cells: 13 micrometres at 0.25 micrometres a pixel


@dataclass(frozen=True)
class _Staining:
    """How a score looks: share of a cell's sides that are stained, units of DAB, width in pixels, haze inside cells."""

    completeness: float
    density: float
    width: float
    haze: float


_STAINING = {
    "0": _Staining(0.0, 0.0, 1.0, 0.0),
    "1+": _Staining(0.35, 0.16, 2.0, 0.010),
    "2+": _Staining(0.90, 0.42, 3.0, 0.030),
    "3+": _Staining(1.0, 1.15, 4.5, 0.080),
}


def draw_patch(label: str, seed: int, size: int = 1024) -> NDArray[np.uint8]:
    """One patch of tumour of a class.

    Args:
        label: one of `CLASSES`.
        seed: the same seed and label give the same picture.
        size: pixels of a side.

    Returns:
        size x size x 3, RGB.
    """
    return draw_field(label, seed, size, size)


def draw_field(
    label: str, seed: int, width: int, height: int, tissue: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """A field of tumour nests in stroma.

    Args:
        label: one of `CLASSES`.
        seed: the same arguments give the same picture.
        width: pixels.
        height: pixels.
        tissue: height x width, 255 where there is tissue and 0 where there is empty glass; None for tissue throughout.

    Returns:
        height x width x 3, RGB.

    Raises:
        ValueError: the label is no class.
    """
    if label not in _STAINING:
        raise ValueError(f"expected one of {', '.join(CLASSES)}, found {label!r}")
    rng = np.random.default_rng([seed, CLASSES.index(label), width, height])
    size = (width, height)
    nest = _clouds(rng, size, 420.0)
    nuclei, cytoplasm, membranes = (Image.new("L", size) for _ in range(3))
    _draw_stroma(rng, nuclei, nest)
    _draw_nests(rng, nuclei, cytoplasm, membranes, nest, _STAINING[label])

    grain = rng.integers(0, 256, (height // 2 + 1, width // 2 + 1), dtype=np.uint8)
    rough = np.asarray(Image.fromarray(grain).resize(size, Image.Resampling.BILINEAR), dtype=np.int16) - 128
    blue = np.asarray(nuclei.filter(ImageFilter.BoxBlur(1)), dtype=np.int16)
    pale = np.asarray(cytoplasm.filter(ImageFilter.BoxBlur(3)), dtype=np.int16)
    # Chromatin is grainier than cytoplasm: grain grows with the stain.
    haematoxylin = blue + pale + ((blue + 24) * rough >> 9) + (_texture(rng, size) >> 2)
    brown = np.asarray(membranes.filter(ImageFilter.BoxBlur(1)), dtype=np.int16)
    dab = brown + (brown * rough >> 8)
    if tissue is not None:
        haematoxylin = haematoxylin * (tissue >> 7)
        dab = dab * (tissue >> 7)
    return _develop(haematoxylin, dab)


def _draw_stroma(rng: np.random.Generator, nuclei: Image.Image, nest: NDArray[np.uint8]) -> None:
    """Spindle-shaped nuclei and fibres between the nests, roughly along one direction."""
    draw = ImageDraw.Draw(nuclei)
    height, width = nest.shape
    direction = rng.uniform(0, math.pi)
    for _ in range(width * height // 900):
        x, y = rng.uniform(0, width - 1), rng.uniform(0, height - 1)
        if nest[int(y), int(x)] >= 128:
            continue
        angle = direction + rng.normal(0, 0.35)
        if rng.random() < 0.8:
            length = rng.uniform(12, 50)
            step = (length * math.cos(angle), length * math.sin(angle))
            draw.line((x, y, x + step[0], y + step[1]), fill=int(rng.integers(10, 26)), width=int(rng.integers(1, 4)))
        else:
            draw.polygon(_oval(x, y, rng.uniform(12, 22), rng.uniform(3, 6), angle), fill=int(rng.integers(50, 110)))


def _draw_nests(
    rng: np.random.Generator,
    nuclei: Image.Image,
    cytoplasm: Image.Image,
    membranes: Image.Image,
    nest: NDArray[np.uint8],
    staining: _Staining,
) -> None:
    """Cells side by side, as a bent honeycomb: neighbours share a membrane, which is stained or not."""
    height, width = nest.shape
    blue, pale, brown = ImageDraw.Draw(nuclei), ImageDraw.Draw(cytoplasm), ImageDraw.Draw(membranes)
    rows, columns = math.ceil(height / (_CELL * 0.866)) + 3, math.ceil(width / _CELL) + 3
    corners = _honeycomb(rng, rows, columns)
    for row in range(rows):
        for column in range(columns):
            outline = corners[row, column]
            x, y = outline.mean(axis=0)
            inside = 0 <= x < width and 0 <= y < height
            if nest[min(max(int(y), 0), height - 1), min(max(int(x), 0), width - 1)] < 128:
                continue
            if inside and rng.random() < 0.02:
                continue  # a lumen
            points = [(float(px), float(py)) for px, py in outline]
            pale.polygon(points, fill=int(rng.integers(18, 34)))
            brown.polygon(points, fill=_value(staining.haze * rng.uniform(0.5, 1.5)))
            _draw_nucleus(rng, blue, x, y)
            _draw_membrane(rng, brown, points, staining)


def _draw_nucleus(rng: np.random.Generator, draw: ImageDraw.ImageDraw, x: float, y: float) -> None:
    x, y = x + rng.normal(0, 3), y + rng.normal(0, 3)
    radius, slim, angle = rng.uniform(11, 16), rng.uniform(0.55, 0.95), rng.uniform(0, math.pi)
    depth = int(rng.integers(48, 92))
    # A darker rim and a nucleolus: tumour nuclei at 40x are open, not solid.
    draw.polygon(_oval(x, y, radius, radius * slim, angle), fill=depth + 26)
    draw.polygon(_oval(x, y, radius - 2, radius * slim - 2, angle), fill=depth)
    nx, ny = x + rng.uniform(-4, 4), y + rng.uniform(-4, 4)
    draw.ellipse((nx - 2, ny - 2, nx + 2, ny + 2), fill=depth + 60)


def _draw_membrane(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, points: list[tuple[float, float]], staining: _Staining
) -> None:
    # Three of a cell's six sides: its neighbours draw the others.
    for (x0, y0), (x1, y1) in zip(points[:3], points[1:4], strict=True):
        if rng.random() >= staining.completeness:
            continue
        fill = _value(staining.density * rng.uniform(0.6, 1.3))
        line_width = max(1, round(staining.width * rng.uniform(0.7, 1.3)))
        middle = ((x0 + x1) / 2 + rng.normal(0, 2.5), (y0 + y1) / 2 + rng.normal(0, 2.5))
        draw.line([(x0, y0), middle, (x1, y1)], fill=fill, width=line_width, joint="curve")


def _honeycomb(rng: np.random.Generator, rows: int, columns: int) -> NDArray[np.float64]:
    """Outlines of cells, rows x columns x 6 x (x, y): hexagons whose shared corners are displaced together."""
    row, column = np.mgrid[0:rows, 0:columns]
    x = (column - 1 + (row % 2) / 2) * _CELL
    y = (row - 1) * _CELL * 0.866
    angle = np.deg2rad(np.arange(6) * 60 - 90)
    corners = np.stack([x, y], axis=-1)[:, :, None] + _CELL / math.sqrt(3) * np.stack(
        [np.cos(angle), np.sin(angle)], axis=-1
    )
    # The displacement is a smooth function of the place, so that it is one for all cells that share a corner.
    phase = rng.uniform(0, 2 * math.pi, (2, 5, 1, 1, 1))
    wave = rng.normal(0, 1 / 18, (2, 5, 2, 1, 1, 1))
    shift = sum(
        np.sin(corners[..., 0] * wave[:, k, 0] + corners[..., 1] * wave[:, k, 1] + phase[:, k]) for k in range(5)
    )
    return corners + 4.5 * np.moveaxis(np.asarray(shift), 0, -1)


def _oval(x: float, y: float, a: float, b: float, angle: float) -> list[tuple[float, float]]:
    cos, sin = math.cos(angle), math.sin(angle)
    return [
        (x + a * cos * c - b * sin * s, y + a * sin * c + b * cos * s)
        for c, s in ((math.cos(t), math.sin(t)) for t in (i * math.pi / 7 for i in range(14)))
    ]


def _clouds(rng: np.random.Generator, size: tuple[int, int], scale: float) -> NDArray[np.uint8]:
    """Smooth random shapes of about `scale` pixels, height x width, 0 to 255; over 128 for some two thirds."""
    coarse = rng.integers(60, 256, (math.ceil(size[1] / scale) + 2, math.ceil(size[0] / scale) + 2), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))


def _texture(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.int16]:
    """Unevenness of the section, about 10 pixels wide, height x width, 0 to 60."""
    coarse = rng.integers(0, 61, (size[1] // 10 + 2, size[0] // 10 + 2), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BILINEAR), dtype=np.int16)


def _value(units: float) -> int:
    """Units of stain as the value of a layer."""
    return min(255, round(units * 255 / _FULL))


def _develop(haematoxylin: NDArray[np.int16], dab: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Layers of stain as light that passes them (Beer-Lambert), height x width x 3, by table: densities are 0 to 255."""
    units = np.arange(256) * _FULL / 255
    blue, brown = (np.clip(layer, 0, 255).astype(np.uint8) for layer in (haematoxylin, dab))
    picture = np.empty((*blue.shape, 3), dtype=np.uint8)
    for channel, light in enumerate(GLASS):
        # In 16 bits: light through the one stain, times what the other lets pass.
        through_blue = np.round(light * 10 ** (-_HAEMATOXYLIN[channel] * units) * 256).astype(np.uint32)
        through_brown = np.round(10 ** (-_DAB[channel] * units) * 256).astype(np.uint32)
        picture[..., channel] = (through_blue[blue] * through_brown[brown] + (1 << 15)) >> 16
    return picture
