"""Drawings that look like HER2 immunohistochemistry at 40x: for demonstrations and tests, never for training.

Nuclei are counterstained with haematoxylin; membranes of the cells in tumour nests carry DAB by score. The drawing is
made in optical density, as stain in transmitted light is, and needs NumPy and Pillow only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from her2_ihc_40x import CLASSES

#: The colour of empty glass: a little blue, as scanners show it.
GLASS = (233, 232, 241)

#: Optical density of a unit of stain in red, green and blue (Ruifrok and Johnston 2001, normalised).
_HAEMATOXYLIN = (0.65, 0.70, 0.29)
_DAB = (0.27, 0.57, 0.78)
#: Units of stain at the value 255 of a drawing's layer.
_FULL = 1.6
#: Shapes are drawn at half the resolution, then enlarged: a scanner's image is no sharper, and it is four times faster.
_HALF = 2
_CELL = 26.0  # half pixels between neighbouring cells: 13 micrometres at 0.25 micrometres a pixel
#: Where clouds are denser than this is tumour, elsewhere stroma.
_NEST = 100


@dataclass(frozen=True)
class _Staining:
    """How a score looks: share of membranes stained, units of DAB in them, half pixels of width, haze in the cells."""

    completeness: float
    density: float
    width: float
    haze: float


_STAINING = {
    "0": _Staining(0.0, 0.0, 1.0, 0.0),
    "1+": _Staining(0.55, 0.40, 1.1, 0.018),
    "2+": _Staining(0.90, 0.50, 1.6, 0.030),
    "3+": _Staining(1.0, 1.00, 2.4, 0.070),
}


def draw_patch(label: str, seed: int, size: int = 1024) -> NDArray[np.uint8]:
    """Draw one patch of tumour of a class.

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
    """Draw a field of tumour nests in stroma.

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
    half = (math.ceil(width / _HALF), math.ceil(height / _HALF))
    nest = _clouds(rng, half, 210)
    nuclei, cytoplasm, membranes = (Image.new("L", half) for _ in range(3))
    _draw_stroma(rng, nuclei, nest)
    _draw_nests(rng, nuclei, cytoplasm, membranes, nest, _STAINING[label])

    counterstain = ImageChops.add(nuclei.filter(ImageFilter.BoxBlur(0.5)), cytoplasm.filter(ImageFilter.BoxBlur(2)))
    counterstain = ImageChops.add(counterstain, Image.fromarray(_clouds(rng, half, 5) // 20))
    grain = rng.integers(-128, 128, (height, width), dtype=np.int16)
    # Chromatin and membranes are grainier than what is pale: grain grows with the stain.
    blue = _enlarge(counterstain, width, height)
    blue += (blue + 20) * grain >> 10
    brown = _enlarge(membranes.filter(ImageFilter.BoxBlur(0.5)), width, height)
    brown += brown * grain >> 9
    if tissue is not None:
        blue *= tissue >> 7
        brown *= tissue >> 7
    return _develop(blue, brown)


def _enlarge(layer: Image.Image, width: int, height: int) -> NDArray[np.int16]:
    whole = layer.resize((layer.width * _HALF, layer.height * _HALF), Image.Resampling.BILINEAR)
    return np.asarray(whole)[:height, :width].astype(np.int16)


def _draw_stroma(rng: np.random.Generator, nuclei: Image.Image, nest: NDArray[np.uint8]) -> None:
    """Fibres and spindle-shaped nuclei between the nests, roughly along one direction."""
    draw = ImageDraw.Draw(nuclei)
    height, width = nest.shape
    count = height * width // 225
    place = np.stack([rng.uniform(0, width, count), rng.uniform(0, height, count)], axis=-1)
    place = place[nest[place[:, 1].astype(int), place[:, 0].astype(int)] < _NEST]
    angle = rng.uniform(0, math.pi) + rng.normal(0, 0.35, len(place))
    is_fibre = rng.random(len(place)) < 0.85
    along = rng.uniform(3, 13, len(place))[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    shades = rng.integers(6, 24, len(place)).tolist()
    for line, fibre, shade in zip(np.hstack([place - along, place + along]).tolist(), is_fibre, shades, strict=True):
        if fibre:
            draw.line(line, fill=shade, width=1)
    ovals = _ovals(place, rng.uniform(6, 11, len(place)), rng.uniform(1.5, 3, len(place)), angle)
    for oval, fibre, shade in zip(ovals, is_fibre, shades, strict=True):
        if not fibre:
            draw.polygon(oval, fill=30 + shade * 2)


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
    outlines = _honeycomb(rng, width, height)
    centre = outlines.mean(axis=1)
    x, y = centre[:, 0].clip(0, width - 1).astype(int), centre[:, 1].clip(0, height - 1).astype(int)
    # One cell in fifty is a small lumen.
    kept = (nest[y, x] >= _NEST) & (rng.random(len(outlines)) > 0.02)
    outlines, centre = outlines[kept], centre[kept]
    count = len(outlines)

    for outline, shade, haze in zip(
        outlines.reshape(count, 12).tolist(),
        rng.integers(5, 12, count).tolist(),
        _values(staining.haze * rng.uniform(0.4, 1.6, count)),
        strict=True,
    ):
        pale.polygon(outline, fill=shade)
        brown.polygon(outline, fill=haze)

    centre = centre + rng.normal(0, 2, centre.shape)
    radius, slim, angle = rng.uniform(5.5, 8.5, count), rng.uniform(0.55, 0.95, count), rng.uniform(0, math.pi, count)
    # A darker rim and a nucleolus: tumour nuclei at 40x are open, not solid.
    rims = _ovals(centre, radius, radius * slim, angle)
    insides = _ovals(centre, radius - 1, radius * slim - 1, angle)
    nucleoli = (centre + rng.uniform(-2, 2, centre.shape)).tolist()
    for rim, inside, (nx, ny), shade in zip(rims, insides, nucleoli, rng.integers(20, 48, count).tolist(), strict=True):
        blue.polygon(rim, fill=shade + 16)
        blue.polygon(inside, fill=shade)
        blue.ellipse((nx - 1, ny - 1, nx + 1, ny + 1), fill=shade + 30)

    # Three of a cell's six sides: its neighbours draw the others.
    starts, ends = outlines[:, :3], outlines[:, 1:4]
    bend = (starts + ends) / 2 + rng.normal(0, 1.3, starts.shape)
    stained = rng.random((count, 3)) < staining.completeness
    sides = np.concatenate([starts, bend, ends], axis=2)[stained].tolist()
    shades = _values(staining.density * rng.uniform(0.6, 1.3, len(sides)))
    widths = np.maximum(1, np.round(staining.width * rng.uniform(0.7, 1.3, len(sides)))).astype(int).tolist()
    for side, shade, line in zip(sides, shades, widths, strict=True):
        brown.line(side, fill=shade, width=line)


def _honeycomb(rng: np.random.Generator, width: int, height: int) -> NDArray[np.float64]:
    """Outlines of cells, cells x 6 x (x, y): hexagons whose shared corners are displaced together."""
    rows, columns = math.ceil(height / (_CELL * 0.866)) + 3, math.ceil(width / _CELL) + 3
    row, column = (axis.ravel() for axis in np.mgrid[0:rows, 0:columns])
    centre = np.stack([(column - 1 + (row % 2) / 2) * _CELL, (row - 1) * _CELL * 0.866], axis=-1)
    angle = np.deg2rad(np.arange(6) * 60 - 90)
    corners = centre[:, None] + _CELL / math.sqrt(3) * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    # The displacement is a smooth function of the place, so that it is one for all cells that share a corner.
    waves = rng.normal(0, 1 / 9, (2, 5, 2))
    phases = rng.uniform(0, 2 * math.pi, (2, 5))
    shift = np.sin(np.einsum("cpk,dwk->cpdw", corners, waves) + phases).sum(axis=3)
    return np.asarray(corners + 2.3 * shift)


def _ovals(
    centre: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64], angle: NDArray[np.float64]
) -> list[list[float]]:
    """Ellipses as polygons of twelve corners, each x, y, x, y, ... for Pillow."""
    turn = np.arange(12) * (math.pi / 6)
    u, v = a[:, None] * np.cos(turn), b[:, None] * np.sin(turn)
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    corners = centre[:, None] + np.stack([u * cos - v * sin, u * sin + v * cos], axis=-1)
    flat: list[list[float]] = corners.reshape(len(centre), 24).tolist()
    return flat


def _clouds(rng: np.random.Generator, size: tuple[int, int], scale: int) -> NDArray[np.uint8]:
    """Smooth random shapes of about `scale` pixels, height x width, 0 to 255."""
    coarse = rng.integers(0, 256, (size[1] // scale + 2, size[0] // scale + 2), dtype=np.uint8)
    whole = Image.fromarray(coarse).resize((coarse.shape[1] * scale, coarse.shape[0] * scale), Image.Resampling.BICUBIC)
    return np.asarray(whole)[: size[1], : size[0]]


def _values(units: NDArray[np.float64]) -> list[int]:
    """Units of stain as values of a layer."""
    values: list[int] = np.minimum(255, np.round(units * 255 / _FULL)).astype(int).tolist()
    return values


def _develop(blue: NDArray[np.int16], brown: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Layers of stain, 0 to 255, as the light that passes both (Beer-Lambert), height x width x 3."""
    units = np.arange(256) * (_FULL / 255)
    density = units[:, None, None] * np.array(_HAEMATOXYLIN) + units[None, :, None] * np.array(_DAB)
    table = np.zeros((256, 256, 4), dtype=np.uint8)
    table[..., :3] = np.round(np.array(GLASS) * 10**-density)
    index = blue.clip(0, 255) << 8 | brown.clip(0, 255)
    # Four bytes a colour, so that NumPy fetches a pixel at once.
    pixels = table.view(np.uint32).ravel()[index.view(np.uint16)]
    return np.ascontiguousarray(pixels.view(np.uint8).reshape(*blue.shape, 4)[..., :3])
