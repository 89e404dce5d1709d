"""Look at a patch's image file once: its form, its pixels, and what is embedded beside them. The file is hostile."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from her2_ihc_40x import IMAGE_ERRORS, MAX_IMAGE_BYTES

from ..patches.pixels import Rgb
from .embedded import find_embedded

Result = TypeVar("Result")

FORMATS = ("PNG", "JPEG", "WEBP")
#: More pixels are not decoded: a build makes no more of a patch, and the release has a million.
MAX_PIXELS = 8192 * 8192
#: Of more, one image is in memory at a time, and in one thread, for each thread keeps some of what it took.
_MANY_PIXELS = 1 << 22
_ALONE = ThreadPoolExecutor(1)
_GPS_TAG = 0x8825  # of EXIF: the pointer to GPS data


@dataclass(frozen=True, slots=True)
class ImageFile:
    """What an image file is.

    Args:
        format, mode, width, height: as its header says, a mode of 16 bits with ";16"; empty and 0 if there is no such
            header.
        embedded: kinds of metadata in it: EXIF, GPS, XMP, text, comment, IPTC, ICC, ...
        fault: why it cannot be used; None if it was decoded.
        pixels_hash: of size and RGB pixels, the same for every encoding of them; None with a fault.
    """

    format: str = ""
    mode: str = ""
    width: int = 0
    height: int = 0
    embedded: tuple[str, ...] = ()
    fault: str | None = None
    pixels_hash: str | None = None


def in_turn(work: Callable[[bytes], Result], data: bytes) -> Result:
    """Do some work on an image file; on one of many pixels when none is worked on that is as large.

    Args:
        work: what is done; its errors are this function's.
        data: the file's bytes; any others have few pixels.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            many = image.width * image.height > _MANY_PIXELS
    except IMAGE_ERRORS:
        many = False
    return _ALONE.submit(work, data).result() if many else work(data)


def look_at(data: bytes) -> tuple[ImageFile, Rgb | None]:
    """Decode an image file; what is wrong with it is an answer, not an error.

    Args:
        data: the file's bytes.

    Returns:
        What it is, and its pixels as RGB; None if they cannot be decoded, or are too many to try.
    """
    try:
        if len(data) > MAX_IMAGE_BYTES:
            raise ValueError(f"{len(data)} bytes")
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:  # its text names an object in memory, another one each time
        return ImageFile(fault="no PNG, JPEG or WebP" if data else "no bytes"), None
    except IMAGE_ERRORS as error:
        return ImageFile(fault=_plain(error)), None
    form = (str(image.format), _mode(image), image.width, image.height)
    with image:
        if image.width * image.height > MAX_PIXELS:
            return ImageFile(*form, fault=f"{image.width} x {image.height} pixels, too many to decode"), None
        try:
            if getattr(image, "n_frames", 1) != 1:
                raise ValueError("several frames")
            image.load()
            embedded = tuple(sorted(set(_embedded(image, data))))
            pixels = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
        except IMAGE_ERRORS as error:
            return ImageFile(*form, fault=_plain(error)), None
    digest = hashlib.sha256(f"{image.width} {image.height} ".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return ImageFile(*form, embedded, None, digest.hexdigest()), pixels


def _mode(image: Image.Image) -> str:
    """Pillow's name of the mode; of RGB it does not say when the file has 16 bits, of which it drops half."""
    tiles = getattr(image, "tile", [])  # as the decoder is told; no public name has the depth
    deep = any(";16" in str(tile[3]) for tile in tiles) and ";16" not in image.mode
    return f"{image.mode};16" if deep else image.mode


def _plain(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:200] or type(error).__name__


def _embedded(image: Image.Image, data: bytes) -> Iterator[str]:
    """The kinds of metadata of a decoded image."""
    yield from find_embedded(data)
    if "exif" in image.info:  # of PNG, in a text too
        yield "EXIF"
        if _GPS_TAG in image.getexif():
            yield "GPS"
