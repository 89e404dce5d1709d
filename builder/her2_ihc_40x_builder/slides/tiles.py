"""Windows of level 0: OpenSlide's pixels, several times faster where the slide is a TIFF of JPEG tiles.

Each tile is taken from the file and decoded once, with libjpeg-turbo's exact settings (slow integer DCT, smooth
chroma), which are OpenSlide's. Every other slide is read through OpenSlide.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import simplejpeg
import tifffile
from numpy.typing import NDArray

from ..errors import SlideError
from ..geometry import Box, Size
from .slide import Slide

Engine = Literal["auto", "fast", "openslide"]

#: Decoded tiles that may wait for a later window, in bytes; what does not fit is decoded again.
MAX_WAITING_BYTES = 96 << 20
#: Sides of a tile that are believed; scanners write 240 to 1024.
_TILE_SIDES = range(16, 4097)
#: A JPEG is never larger than the pixels it holds, but for its header.
_JPEG_HEADER_BYTES = 1 << 16
_JPEG, _RGB, _YCBCR, _ORIENTATION = 7, 2, 6, 274
_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"


def read_windows(
    slide: Slide, windows: Sequence[Box], engine: Engine = "auto"
) -> Iterator[tuple[Box, NDArray[np.uint8]]]:
    """Read windows of level 0, in (y, x) order, whatever order they are given in.

    Memory is that of a few windows and of at most `MAX_WAITING_BYTES` of tiles, whatever the size of the slide.

    Args:
        slide: the open slide.
        windows: boxes in level-0 pixels; they may overlap, and reach over the slide's edge (background there).
        engine: `auto` takes the fast path where it applies and a first comparison with OpenSlide agrees; `openslide`
            never does; `fast` insists on it.

    Yields:
        Each box with its pixels, height x width x 3, RGB: those of `Slide.read_region`.

    Raises:
        SlideError: unreadable pixels, or `fast` does not apply to the slide.
    """
    ordered = sorted(windows)
    for box in ordered:
        slide.check_readable(box)
    if engine != "openslide":
        try:
            tiles = _find_tiles(slide)
            _compare_with_openslide(slide, tiles, ordered)
        except _NotFastError as reason:
            if engine == "fast":
                raise SlideError(
                    str(slide.path), "a TIFF of JPEG tiles", str(reason), "Read it with the engine openslide."
                ) from reason
        else:
            yield from _read_fast(slide, tiles, ordered)
            return
    for box in ordered:
        yield box, slide.read_region(box)


def why_not_fast(slide: Slide) -> str | None:
    """Say in a few words why the slide is left to OpenSlide; None if the fast path applies.

    Only the file's head is looked at; `read_windows` also compares pixels before it relies on the fast path.
    """
    try:
        _find_tiles(slide)
    except _NotFastError as reason:
        return str(reason)
    return None


class _NotFastError(Exception):
    """The fast path does not understand the slide; the message says what it met."""


@dataclass(frozen=True)
class _Tiles:
    """Where the JPEG tiles of level 0 lie in the file, row by row.

    Attributes:
        path: the file.
        size: pixels of level 0.
        tile: pixels of a tile; tiles at the right and bottom edges are whole, too.
        offsets: where each tile begins, in bytes.
        lengths: the bytes of each tile; 0 where nothing was scanned.
        head: the JPEG segments that come before a tile's own: what its three components are, which the TIFF says and
            not the JPEG, and the tables that the tiles share.
    """

    path: Path
    size: Size
    tile: Size
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]
    head: bytes

    @property
    def columns(self) -> int:
        return -(-self.size.width // self.tile.width)

    def under(self, box: Box) -> Iterator[int]:
        """Yield the numbers of the tiles that a box on the slide touches."""
        for row in range(box.y // self.tile.height, (box.bottom - 1) // self.tile.height + 1):
            first = row * self.columns
            yield from range(first + box.x // self.tile.width, first + (box.right - 1) // self.tile.width + 1)

    def box(self, number: int) -> Box:
        """Return the part of a tile that lies on the slide."""
        row, column = divmod(number, self.columns)
        y, x = row * self.tile.height, column * self.tile.width
        return Box(y, x, min(self.tile.width, self.size.width - x), min(self.tile.height, self.size.height - y))

    def decode(self, file: BinaryIO, number: int, background: tuple[int, int, int]) -> NDArray[np.uint8]:
        """Decode a whole tile.

        Raises:
            ValueError: its bytes are not there, or are no sound JPEG of a tile's size.
        """
        pixels = np.empty((self.tile.height, self.tile.width, 3), dtype=np.uint8)
        length = int(self.lengths[number])
        if length == 0:
            pixels[:] = background
            return pixels
        file.seek(int(self.offsets[number]))
        data = file.read(length)
        if len(data) != length or not data.startswith(_SOI):
            raise ValueError(f"tile {number} is no JPEG")
        # Into a buffer: a JPEG that claims a larger size is refused before anything is allocated for it. Strictly:
        # OpenSlide takes libjpeg's warnings for errors, too, where other decoders fill in grey.
        decoded = simplejpeg.decode_jpeg(self.head + data[2:], "RGB", buffer=pixels, strict=True)
        if decoded.shape != pixels.shape:
            raise ValueError(f"tile {number} has {decoded.shape[1]} x {decoded.shape[0]} pixels")
        return pixels


def _read_fast(slide: Slide, tiles: _Tiles, ordered: list[Box]) -> Iterator[tuple[Box, NDArray[np.uint8]]]:
    on_slide = [box.inside(slide.size) for box in ordered]
    # How many windows still need each tile: it is kept until the last has it, and not a moment longer.
    uses = Counter(n for box, inside in zip(ordered, on_slide, strict=True) if inside for n in tiles.under(box))
    waiting: dict[int, NDArray[np.uint8]] = {}
    room = MAX_WAITING_BYTES // (tiles.tile.width * tiles.tile.height * 3)
    with tiles.path.open("rb") as file:
        for box, inside in zip(ordered, on_slide, strict=True):
            if not inside:
                yield box, slide.read_region(box)
                continue
            window = np.empty((box.height, box.width, 3), dtype=np.uint8)
            numbers = list(tiles.under(box))
            uses.subtract(numbers)
            try:
                for number in numbers:
                    pixels = waiting.pop(number, None)
                    if pixels is None:
                        pixels = tiles.decode(file, number, slide.background)
                    if uses[number] and len(waiting) < room:
                        waiting[number] = pixels
                    _paste(window, box, pixels, number, tiles)
            except ValueError:
                # A damaged tile: what OpenSlide makes of it is what counts, a picture or its error.
                window = slide.read_region(box)
                for number in numbers:
                    if not uses[number]:
                        waiting.pop(number, None)
            yield box, window


def _paste(window: NDArray[np.uint8], box: Box, pixels: NDArray[np.uint8], number: int, tiles: _Tiles) -> None:
    """Copy into `window`, which lies at `box`, the part of a tile that it shares."""
    row, column = divmod(number, tiles.columns)
    top, left = row * tiles.tile.height - box.y, column * tiles.tile.width - box.x
    below, right = max(0, top), max(0, left)
    part = pixels[below - top : box.height - top, right - left : box.width - left]
    window[below : below + part.shape[0], right : right + part.shape[1]] = part


def _find_tiles(slide: Slide) -> _Tiles:
    """Read the TIFF's first directory, and believe it only where everything fits.

    Raises:
        _NotFastError: it is anything else than level 0 in plain JPEG tiles that lie in the file.
    """
    if slide.vendor not in {"aperio", "generic-tiff"}:
        raise _NotFastError(f"a slide of vendor {slide.vendor}")
    # Its messages quote the file's name and texts, which may name a patient; whatever it cannot read, OpenSlide does.
    tifffile.logger().setLevel(logging.CRITICAL + 1)
    try:
        with closing(tifffile.TiffFile(slide.path)) as tiff:
            page = tiff.pages.first
            # Arrays in the file cannot be longer than the file: tifffile checks it before it reads one.
            offsets = np.asarray(page.dataoffsets, dtype=np.int64)
            lengths = np.asarray(page.databytecounts, dtype=np.int64)
            tile = Size(int(page.tilewidth), int(page.tilelength))
            expected = {
                "compression": (int(page.compression), _JPEG),
                "bits a sample": (page.bitspersample, 8),
                "samples a pixel": (page.samplesperpixel, 3),
                "extra samples": (tuple(page.extrasamples), ()),
                "planar configuration": (int(page.planarconfig), 1),
                "orientation": (page.tags.valueof(_ORIENTATION, 1), 1),
                "fill order": (int(page.fillorder), 1),
                "depth": (page.imagedepth, 1),
                "size": (Size(page.imagewidth, page.imagelength), slide.size),
                "tiles": (page.is_tiled, True),
            }
            photometric = int(page.photometric)
            tables = page.jpegtables
            file_size = tiff.filehandle.size
    except Exception as error:  # A hostile file can raise anything in a parser; whatever it is, OpenSlide decides.
        raise _NotFastError(f"a TIFF that tifffile cannot read: {error}") from error

    for name, (found, wanted) in expected.items():
        if found != wanted:
            raise _NotFastError(f"{name} {found}")
    if photometric not in {_RGB, _YCBCR}:
        raise _NotFastError(f"photometric interpretation {photometric}")
    if tables is not None and not (isinstance(tables, bytes) and tables[:2] == _SOI and tables[-2:] == _EOI):
        raise _NotFastError("JPEG tables that are no JPEG")
    if tile.width not in _TILE_SIDES or tile.height not in _TILE_SIDES:
        raise _NotFastError(f"tiles of {tile.width} x {tile.height}")
    head = _SOI + _adobe_segment(is_ycbcr=photometric == _YCBCR) + (tables[2:-2] if tables else b"")
    tiles = _Tiles(slide.path, slide.size, tile, offsets, lengths, head)
    _check_places(tiles, file_size)
    return tiles


def _check_places(tiles: _Tiles, file_size: int) -> None:
    """Check that there is a place in the file for each tile, before any is read.

    Raises:
        _NotFastError: there are too many or too few, or one is outside the file or too long to be believed.
    """
    count = tiles.columns * -(-tiles.size.height // tiles.tile.height)
    if tiles.offsets.shape != (count,) or tiles.lengths.shape != (count,):
        raise _NotFastError(f"{tiles.offsets.size} tiles of {tiles.lengths.size} lengths where {count} are needed")
    offsets, lengths = tiles.offsets[tiles.lengths != 0], tiles.lengths[tiles.lengths != 0]
    longest = min(tiles.tile.width * tiles.tile.height * 3 + _JPEG_HEADER_BYTES, file_size)
    if ((lengths < 0) | (lengths > longest) | (offsets < 0) | (offsets > file_size - lengths)).any():
        raise _NotFastError("tiles that do not lie in the file")


def _adobe_segment(*, is_ycbcr: bool) -> bytes:
    """Return Adobe's APP14 segment, by which libjpeg knows RGB from YCbCr (Adobe Technical Note 5116, section 18)."""
    return b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([is_ycbcr])


def _compare_with_openslide(slide: Slide, tiles: _Tiles, ordered: list[Box]) -> None:
    """Read three of the tiles that are needed both ways: the most detailed, the last, and one without data.

    Raises:
        _NotFastError: a pixel differs.
        SlideError: OpenSlide cannot read one.
    """
    needed = sorted({number for box in ordered if box.inside(slide.size) for number in tiles.under(box)})
    if not needed:
        return
    lengths = tiles.lengths[needed]
    sample = {needed[int(lengths.argmax())], needed[int(lengths.argmin())], needed[-1]}
    with tiles.path.open("rb") as file:
        for number in sorted(sample):
            place = tiles.box(number)
            try:
                pixels = tiles.decode(file, number, slide.background)[: place.height, : place.width]
            except ValueError as error:
                raise _NotFastError(f"tile {number}: {error}") from error
            if not np.array_equal(pixels, slide.read_region(place)):
                raise _NotFastError(f"tile {number} differs from OpenSlide's")
