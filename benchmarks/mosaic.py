"""The slide that `build.py` cuts: a mosaic of JPEG tiles, copied as they are from real slides, else from drawn ones.

    python benchmarks/mosaic.py SIDE FILE.svs

Copied tiles are not compressed a second time, so that decoding, PNG and JPEG sizes are those of scanned tissue. A rim
of glass, one tile wide, runs round the slide: a white point needs glass.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
import tifffile
from numpy.typing import NDArray

from her2_ihc_40x import CLASSES
from her2_ihc_40x_builder.demo.synthetic import write_slide
from her2_ihc_40x_builder.geometry import Size

TILE = 240
_BLOCK = 16  # tiles of one source that lie side by side, from the middle of its tissue
_REAL = Path(__file__).resolve().parents[2] / "shared" / "real" / "WSI"
_DRAWN = Size(22 * TILE, 22 * TILE)
_DOWNSAMPLES = (4, 16)


def source_kind() -> str:
    """What the pixels of a mosaic are, in words."""
    return f"tissue of {len(_real())} real slides" if _real() else f"tissue drawn as {len(CLASSES)} slides"


def write_mosaic(path: Path, side: int) -> None:
    """Write a square slide of `side` level-0 pixels that OpenSlide opens as `aperio`."""
    with tempfile.TemporaryDirectory() as folder:
        sources = [_Source.read(source) for source in _real() or _drawn(Path(folder))]
    columns = -(-side // TILE)
    tiles = [_tile(sources, columns, row, column) for row in range(columns) for column in range(columns)]
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        _write(tiff, iter(tiles), side, f"{_TITLE} {side}x{side} ({TILE}x{TILE}) JPEG/RGB Q=88{_STATED}")
        level = _reduced(tiles, columns, side)
        for downsample in _DOWNSAMPLES:
            small = level if downsample == _DOWNSAMPLES[0] else _shrunk(level, downsample // _DOWNSAMPLES[0])
            _write(tiff, _cut(small), len(small), f"{_TITLE} {side}x{side} -> {len(small)}x{len(small)}{_STATED}")


def write_regions(folder: Path, side: int) -> None:
    """Write regions as QuPath exports them.

    `all` touches all edges, so that a grid starts in the corner, and leaves out some glass; `window` is one window.
    """
    low, middle, high = TILE, side // 2, side - TILE
    corners = [[low, low], [middle, 0], [high, low], [side, middle], [high, high], [middle, side], [low, high]]
    ends = middle + 1024
    window = [[middle, middle], [ends, middle], [ends, ends], [middle, ends]]
    for name, ring in (("all", [*corners, [0, middle]]), ("window", window)):
        geometry = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
        properties = {"objectType": "annotation", "classification": {"name": "Tumor"}}
        feature = {"type": "Feature", "geometry": geometry, "properties": properties}
        path = folder / name / "mosaic.geojson"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))


_TITLE = "Aperio Image Library v12.0.15 \r\n"
_STATED = "|AppMag = 40|MPP = 0.2500"


@dataclass(frozen=True)
class _Source:
    """The tiles of level 0 of a slide, encoded."""

    tiles: tuple[bytes, ...]
    columns: int

    @classmethod
    def read(cls, path: Path) -> _Source:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            if page.tilewidth != TILE or page.jpegtables is not None:
                raise ValueError(f"{path}: whole JPEG tiles of {TILE} pixels are needed")
            places = zip(page.dataoffsets, page.databytecounts, strict=True)
            tiles = tuple(_read(tiff.filehandle, *place) for place in places)
            return cls(tiles, -(-page.imagewidth // TILE))

    def middle(self, row: int, column: int) -> bytes:
        first = (self.columns - _BLOCK) // 2
        return self.tiles[(first + row) * self.columns + first + column]


def _read(file: tifffile.FileHandle, offset: int, length: int) -> bytes:
    file.seek(offset)
    return bytes(file.read(length))


def _tile(sources: list[_Source], columns: int, row: int, column: int) -> bytes:
    if min(row, column) == 0 or max(row, column) >= columns - 2:  # the last one is cut by the edge
        return sources[0].tiles[0]
    source = sources[(row // _BLOCK * 3 + column // _BLOCK) % len(sources)]
    return source.middle(row % _BLOCK, column % _BLOCK)


def _write(tiff: tifffile.TiffWriter, tiles: Iterator[bytes], side: int, description: str) -> None:
    tiff.write(
        tiles,
        shape=(side, side, 3),
        dtype=np.uint8,
        photometric="ycbcr",
        subsampling=(2, 2),
        compression="jpeg",
        tile=(TILE, TILE),
        metadata=None,
        description=description,
    )


def _reduced(tiles: list[bytes], columns: int, side: int) -> NDArray[np.uint8]:
    """Level 1, four times smaller."""
    small = TILE // _DOWNSAMPLES[0]
    level = np.empty((columns * small, columns * small, 3), np.uint8)
    for number, tile in enumerate(tiles):
        y, x = (small * place for place in divmod(number, columns))
        level[y : y + small, x : x + small] = _shrunk(simplejpeg.decode_jpeg(tile), _DOWNSAMPLES[0])
    return level[: side // _DOWNSAMPLES[0], : side // _DOWNSAMPLES[0]]


def _shrunk(pixels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    size = (pixels.shape[1] // factor, pixels.shape[0] // factor)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _cut(level: NDArray[np.uint8]) -> Iterator[bytes]:
    columns = -(-len(level) // TILE)
    padded = np.pad(level, ((0, columns * TILE - len(level)),) * 2 + ((0, 0),), mode="edge")
    for y in range(0, len(padded), TILE):
        for x in range(0, len(padded), TILE):
            tile = np.ascontiguousarray(padded[y : y + TILE, x : x + TILE])
            yield bytes(simplejpeg.encode_jpeg(tile, quality=88, colorsubsampling="420"))


def _real() -> list[Path]:
    return sorted(_REAL.glob("*/*.svs"))


def _drawn(folder: Path) -> list[Path]:
    return [write_slide(folder / f"{number}.svs", label, number, _DRAWN).path for number, label in enumerate(CLASSES)]


if __name__ == "__main__":
    write_mosaic(Path(sys.argv[2]), int(sys.argv[1]))
