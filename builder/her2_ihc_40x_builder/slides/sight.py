"""What is seen of a slide, by which it is known again when the texts in its file are others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from ..errors import SlideError
from ..geometry import Box, Size
from .slide import Slide

#: Pixels of a level that tell slides apart; one that is smaller may look alike on two.
_LEAST_PIXELS = 1 << 16
#: Pixels that are looked at, at most, and at a time.
_MOST_PIXELS, _STRIP_PIXELS = 1 << 24, 1 << 21
#: Where every level is larger: windows along each side of level 0, and pixels along a window's side.
_WINDOWS, _WINDOW = 12, 128


def sight(slide: Slide) -> str | None:
    """A digest of a slide's size and of what is seen of it; None where that tells nothing.

    It is seen in the RGB pixels of its lowest level, or of a few windows of level 0 where all levels are large: other
    texts, names and numbers in the file change nothing. It hangs on the libraries that decode, so that only digests of
    one run may be compared. One colour alone is nothing, and so are pixels that cannot be read.
    """
    index = max(i for i, level in enumerate(slide.levels) if i == 0 or _area(level.size) >= _LEAST_PIXELS)
    size = slide.levels[index].size
    few = _area(size) <= _MOST_PIXELS
    index, boxes = (index, _strips(size)) if few else (0, _windows(slide.size))
    digest = hashlib.sha256(repr((slide.size, size, index)).encode())
    colours: set[tuple[int, ...]] = set()
    try:
        for box in boxes:
            pixels = slide.read_level(index, box)
            digest.update(pixels.tobytes())
            if len(colours) < 2:
                # One by one: numpy is slow over two axes of three.
                channels = [pixels[..., channel] for channel in range(3)]
                colours |= {tuple(int(one.min()) for one in channels), tuple(int(one.max()) for one in channels)}
    except SlideError:
        return None  # whether it can be used without them, who uses it will find
    return digest.hexdigest() if len(colours) > 1 else None


def _area(size: Size) -> int:
    return size.width * size.height


def _strips(size: Size) -> Iterator[Box]:
    """The whole of a level, from top to bottom."""
    rows = max(1, _STRIP_PIXELS // size.width)
    for y in range(0, size.height, rows):
        yield Box(y, 0, size.width, min(rows, size.height - y))


def _windows(size: Size) -> Iterator[Box]:
    """Windows spread evenly over a level, to its edges."""
    width, height = min(_WINDOW, size.width), min(_WINDOW, size.height)
    for row in range(_WINDOWS):
        for column in range(_WINDOWS):
            y, x = (size.height - height) * row, (size.width - width) * column
            yield Box(y // (_WINDOWS - 1), x // (_WINDOWS - 1), width, height)
