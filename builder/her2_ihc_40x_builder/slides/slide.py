"""One whole-slide image: what OpenSlide knows of it, typed, less what could identify a patient."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType

import numpy as np
import openslide
from numpy.typing import NDArray
from PIL import Image

from ..errors import SlideError
from ..geometry import Box, Size
from ..hashing import sha256_of
from .scale import Mpp

#: Pixels that one call may return, 8192 x 8192: a bound on memory for a box from a hostile file.
MAX_READ_PIXELS = 1 << 26
#: Pixels along a side of level 0; the widest scan at 40x has some 250,000.
MAX_SIDE = 1 << 20
#: Pixels of a level that an overview may be made from, about 131,000 x 131,000.
MAX_OVERVIEW_PIXELS = 1 << 34

#: No micrometres a pixel and no magnification are below this, nor above its inverse.
_LEAST = 1e-6
_STRIP_PIXELS = 1 << 21

Rgb = tuple[int, int, int]


@dataclass(frozen=True)
class Level:
    """A level of a slide's pyramid.

    Attributes:
        size: its own pixels.
        downsample: level-0 pixels a pixel of this level; need not be a whole number.
    """

    size: Size
    downsample: float


class Slide:
    """An open slide, read through OpenSlide; a context manager, not to be shared between threads.

    Label and macro images are never read, and no free text of the scanner (which can hold names and accession
    numbers) is passed on.

    Attributes:
        path: the file.
        vendor: OpenSlide's name for the format, such as `aperio` or `generic-tiff`.
        size: pixels of level 0.
        levels: the pyramid, from level 0 (the finest) on.
        mpp: micrometres a level-0 pixel, or None where the file does not say.
        objective_power: the magnification the file states (40 for 40x), or None.
        background: the colour that stands for "nothing was scanned here"; white where the file does not say.
    """

    def __init__(self, path: Path, handle: openslide.OpenSlide) -> None:
        properties = handle.properties
        self.path = path
        self.vendor: str = properties[openslide.PROPERTY_NAME_VENDOR]
        self.levels = tuple(
            Level(Size(*dimensions), downsample)
            for dimensions, downsample in zip(handle.level_dimensions, handle.level_downsamples, strict=True)
        )
        self.size = self.levels[0].size
        mpp_x = _positive(properties.get(openslide.PROPERTY_NAME_MPP_X))
        mpp_y = _positive(properties.get(openslide.PROPERTY_NAME_MPP_Y))
        self.mpp = Mpp(mpp_x, mpp_y) if mpp_x and mpp_y else None
        self.objective_power = _positive(properties.get(openslide.PROPERTY_NAME_OBJECTIVE_POWER))
        self.background = _colour(properties.get(openslide.PROPERTY_NAME_BACKGROUND_COLOR))
        self._quickhash: str | None = properties.get(openslide.PROPERTY_NAME_QUICKHASH1)
        self._handle = handle

    def __enter__(self) -> Slide:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the file; the slide cannot be read afterwards."""
        self._handle.close()

    @cached_property
    def content_key(self) -> str:
        """What the slide is whatever its name: OpenSlide's quickhash-1, else the SHA-256 of the file (64 hex digits).

        OpenSlide gives no quickhash where the lowest level is large; the file is then read whole, once.
        """
        if self._quickhash:
            return self._quickhash
        return sha256_of(self.path)

    def read_region(self, box: Box) -> NDArray[np.uint8]:
        """Read the level-0 pixels of `box`, height x width x 3, RGB, on the slide's background colour.

        What lies outside the slide, or was not scanned, has the background colour.

        Raises:
            SlideError: OpenSlide cannot read it (the slide then stays unusable), or the box is empty or over
                `MAX_READ_PIXELS`.
        """
        return self.read_level(0, box)

    def read_level(self, level: int, level_box: Box) -> NDArray[np.uint8]:
        """Read the pixels of `level_box`, height x width x 3, RGB, as `read_region` gives them.

        Args:
            level: index into `levels`.
            level_box: in that level's own pixels, not in level-0 pixels. OpenSlide takes its corner in level-0 pixels,
                so that where `downsample` is not a whole number the pixels may lie up to half a level-0 pixel off.
        """
        self.check_readable(level_box)
        downsample = self.levels[level].downsample
        corner = (round(level_box.x * downsample), round(level_box.y * downsample))
        try:
            rgba = self._handle.read_region(corner, level, (level_box.width, level_box.height))
        except openslide.OpenSlideError as error:
            raise SlideError(
                str(self.path),
                f"readable pixels in {level_box} of level {level}",
                str(error),
                "The file is damaged: copy it again from the scanner, or leave it out.",
            ) from error
        return _on_background(rgba, self.background)

    def check_readable(self, box: Box) -> None:
        """Refuse a box that no single read may return.

        Raises:
            SlideError: it is empty, or over `MAX_READ_PIXELS`.
        """
        if box.width <= 0 or box.height <= 0 or box.area > MAX_READ_PIXELS:
            raise SlideError(
                str(self.path),
                f"a box of 1 to {MAX_READ_PIXELS} pixels",
                f"{box.width} x {box.height}",
                "Read it in smaller boxes.",
            )

    def thumbnail(self, max_size: int) -> NDArray[np.uint8]:
        """Read the whole slide, height x width x 3, RGB, its longer side `max_size` pixels (never enlarged).

        Made in strips from the coarsest level that is large enough, so that memory does not grow with the slide.

        Raises:
            SlideError: unreadable, or its only large enough level is over `MAX_OVERVIEW_PIXELS`.
        """
        shrink = max(1.0, max(self.size.width, self.size.height) / max_size)
        index = self._level_for(shrink)
        size = self.levels[index].size
        target = (max(1, round(self.size.width / shrink)), max(1, round(self.size.height / shrink)))
        return self._in_strips(index, Box(0, 0, size.width, size.height), shrink, target)

    def read_shrunk(self, box: Box, downsample: float) -> NDArray[np.uint8]:
        """Read the level-0 pixels of `box`, each side shrunk to round(side / downsample), whatever the size of the box.

        Raises:
            SlideError: unreadable, what is returned is over `MAX_READ_PIXELS`, or what it is made from over
                `MAX_OVERVIEW_PIXELS`.
        """
        index = self._level_for(downsample)
        scale = self.levels[index].downsample
        width, height = max(1, round(box.width / scale)), max(1, round(box.height / scale))
        level_box = Box(int(box.y / scale), int(box.x / scale), width, height)
        target = (max(1, round(box.width / downsample)), max(1, round(box.height / downsample)))
        if level_box.area > MAX_READ_PIXELS:
            self.check_readable(Box(0, 0, *target))
            return self._in_strips(index, level_box, downsample, target)
        pixels = self.read_level(index, level_box)
        if target == (width, height):
            return pixels
        return np.asarray(Image.fromarray(pixels).resize(target, Image.Resampling.BOX))

    def _level_for(self, shrink: float) -> int:
        """The coarsest level that is large enough."""
        return max(i for i, level in enumerate(self.levels) if i == 0 or level.downsample <= shrink)

    def _in_strips(self, index: int, box: Box, shrink: float, target: tuple[int, int]) -> NDArray[np.uint8]:
        """Read a box of a level in strips, and shrink it to a width and height: `shrink` times smaller than level 0."""
        if box.area > MAX_OVERVIEW_PIXELS:
            raise SlideError(
                str(self.path),
                f"a level of at most {MAX_OVERVIEW_PIXELS} pixels to make an overview from",
                f"{box.width} x {box.height}",
                "Convert the slide to a pyramid (for example with vips), or leave it out.",
            )
        # Whole blocks are averaged first; two pixels or more are left to the last step, which is then smooth.
        step = max(1, math.floor(shrink / self.levels[index].downsample / 2))
        reduced = np.concatenate(list(self._strips(index, box, step)))
        # The box says how much of the last, partly filled pixel is slide.
        used = (0.0, 0.0, box.width / step, box.height / step)
        return np.asarray(Image.fromarray(reduced).resize(target, Image.Resampling.BOX, box=used))

    def _strips(self, index: int, box: Box, step: int) -> Iterator[NDArray[np.uint8]]:
        """Read a box of a level from top to bottom, `step` times smaller, in strips of whole reduced rows."""
        rows = step * max(1, _STRIP_PIXELS // (box.width * step))
        for y in range(box.y, box.bottom, rows):
            strip = self.read_level(index, Box(y, box.x, box.width, min(rows, box.bottom - y)))
            yield strip if step == 1 else np.asarray(Image.fromarray(strip).reduce(step))


def open_slide(path: Path) -> Slide:
    """Open a slide of any format that OpenSlide knows; use it as a context manager.

    Raises:
        SlideError: missing, in no known format, or damaged.
    """
    if not path.is_file():
        raise SlideError(str(path), "a slide file", "no file", "Check the path.")
    try:
        handle = openslide.OpenSlide(path)
    except openslide.OpenSlideError as error:
        raise _unreadable(path, str(error)) from error
    try:
        slide = Slide(path, handle)
        _check_sizes(slide)
    except BaseException as error:
        handle.close()
        # A text of the file that is no UTF-8 is a UnicodeDecodeError, one that is missing a LookupError.
        if isinstance(error, openslide.OpenSlideError | UnicodeDecodeError | LookupError):
            raise _unreadable(path, str(error)) from error
        raise
    return slide


def _check_sizes(slide: Slide) -> None:
    """Refuse sizes that no scan has: they come from a damaged head, and would be worked through to the last pixel."""
    sizes = [level.size for level in slide.levels]
    whole = sizes[0]
    expected = None
    if not 0 < min(whole.width, whole.height) <= max(whole.width, whole.height) <= MAX_SIDE:
        expected = f"1 to {MAX_SIDE} pixels a side"
    elif any(not 0.5 < whole.width * size.height / (whole.height * size.width) < 2 for size in sizes):
        expected = "levels of one shape"
    if expected is not None:
        found = ", ".join(f"{size.width} x {size.height}" for size in sizes)
        remedy = "The file is damaged: copy it again from the scanner, or leave it out."
        raise SlideError(str(slide.path), expected, found, remedy)


def _unreadable(path: Path, found: str) -> SlideError:
    return SlideError(
        str(path), "a slide that OpenSlide can open", found, "Copy it again from the scanner, or leave it out."
    )


def killed_by(path: Path) -> SlideError:
    """The error for a slide at which the process that reads it is killed."""
    expected, found = "a slide that can be read", "a process that was killed at it, or found no memory, twice"
    remedy = "Give fewer --workers if memory is short; else the file is damaged: copy it again."
    return SlideError(str(path), expected, found, remedy)


def _positive(text: str | None) -> float | None:
    """Parse a number above zero that can be one, else None: scanners write 0, nan and words where they do not know."""
    try:
        value = float(text) if text is not None else 0.0
    except ValueError:
        return None
    return value if _LEAST < value < 1 / _LEAST else None


def _colour(text: str | None) -> Rgb:
    if text is None or not re.fullmatch(r"[0-9A-Fa-f]{6}", text):
        return (255, 255, 255)
    red, green, blue = bytes.fromhex(text)
    return (red, green, blue)


def _on_background(rgba: Image.Image, background: Rgb) -> NDArray[np.uint8]:
    if rgba.getchannel("A").getextrema() == (255, 255):
        return np.array(rgba.convert("RGB"))
    pixels = np.asarray(rgba).astype(np.uint16)
    colour, alpha = pixels[..., :3], pixels[..., 3:]
    return ((colour * alpha + np.array(background, dtype=np.uint16) * (255 - alpha) + 127) // 255).astype(np.uint8)
