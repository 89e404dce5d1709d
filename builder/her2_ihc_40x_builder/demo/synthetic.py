"""Small procedural slides, written as Aperio's scanners write theirs: for tests and the demonstration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from ..geometry import Box, Size
from .drawing import draw_field

_QUALITY = 88
_THUMBNAIL = (768, 768)


@dataclass(frozen=True)
class SlideFormat:
    """How a drawn slide is written.

    Attributes:
        tile: pixels of a tile's side, a multiple of 16; Aperio writes 240 or 256.
        ycbcr: colours as YCbCr with halved chroma, else as RGB; scanners do either.
        downsamples: of the levels above level 0.
        mpp: micrometres a pixel to state, or None to leave it out.
        objective_power: magnification to state, or None to leave it out.
    """

    tile: int = 240
    ycbcr: bool = True
    downsamples: tuple[int, ...] = (4,)
    mpp: float | None = 0.25
    objective_power: int | None = 40


DEFAULT_SIZE = Size(3000, 3000)
DEFAULT_FORMAT = SlideFormat()


@dataclass(frozen=True)
class DrawnSlide:
    """A slide that was drawn.

    Attributes:
        path: the file.
        size: pixels of level 0.
        regions: boxes that lie wholly in tissue, for annotations; they do not overlap.
    """

    path: Path
    size: Size
    regions: tuple[Box, ...]


def write_slide(
    path: Path,
    label: str,
    seed: int,
    size: Size = DEFAULT_SIZE,
    how: SlideFormat = DEFAULT_FORMAT,
) -> DrawnSlide:
    """Draw a piece of tumour on tinted glass, and write it as a tiled pyramid that OpenSlide opens as `aperio`.

    The same arguments give the same file with the same versions of the libraries.

    Args:
        path: the file to write, ending in `.svs`.
        label: one of `her2_ihc_40x.CLASSES`; how the membranes are stained.
        seed: of the drawing.
        size: pixels of level 0, at least 256 x 256.
        how: the layout of the file.

    Raises:
        ValueError: the label is no class, or the slide too small.
    """
    if min(size.width, size.height) < 256:
        raise ValueError(f"expected a slide of at least 256 x 256 pixels, found {size.width} x {size.height}")
    tissue = _tissue(seed, size)
    pixels = draw_field(label, seed, size.width, size.height, tissue)
    write_pixels(path, pixels, how)
    return DrawnSlide(path, size, _regions(size))


def write_pixels(path: Path, pixels: NDArray[np.uint8], how: SlideFormat = DEFAULT_FORMAT) -> None:
    """Write pixels as an Aperio-style slide: level 0, a thumbnail, the other levels.

    Args:
        path: the file to write, ending in `.svs`.
        pixels: level 0, height x width x 3, RGB.
        how: the layout of the file.
    """
    height, width = pixels.shape[:2]
    picture = Image.fromarray(pixels)
    thumbnail = picture.copy()
    thumbnail.thumbnail(_THUMBNAIL, Image.Resampling.BOX, reducing_gap=1.0)
    title = f"Aperio Image Library v12.0.15 \r\n{width}x{height}"
    grid = f"({how.tile}x{how.tile}) JPEG/RGB Q={_QUALITY}"
    stated = f"|AppMag = {how.objective_power}" if how.objective_power is not None else ""
    stated += f"|MPP = {how.mpp:.4f}" if how.mpp is not None else ""
    with tifffile.TiffWriter(path) as tiff:
        _write_level(tiff, pixels, how, f"{title} [0,0 {width}x{height}] {grid}{stated}")
        small = np.asarray(thumbnail)
        tiff.write(
            small,
            photometric="rgb",
            compression="jpeg",
            compressionargs={"level": _QUALITY},
            rowsperstrip=16,
            metadata=None,
            description=f"{title} -> {small.shape[1]}x{small.shape[0]} - |AppMag = {how.objective_power or 0}",
        )
        for downsample in how.downsamples:
            level = np.asarray(picture.reduce(downsample))
            _write_level(tiff, level, how, f"{title} {grid} -> {level.shape[1]}x{level.shape[0]}{stated}")


def _write_level(tiff: tifffile.TiffWriter, pixels: NDArray[np.uint8], how: SlideFormat, description: str) -> None:
    colours = {} if how.ycbcr else {"outcolorspace": "rgb"}
    tiff.write(
        pixels,
        photometric="rgb",
        compression="jpeg",
        compressionargs={"level": _QUALITY, **colours},
        subsampling=(2, 2) if how.ycbcr else (1, 1),
        tile=(how.tile, how.tile),
        metadata=None,
        description=description,
    )


def _tissue(seed: int, size: Size) -> NDArray[np.uint8]:
    """Draw the outline of a piece of tissue on glass, height x width, 0 or 255; drawn small and enlarged."""
    rng = np.random.default_rng(seed)
    scale = 8
    small = Image.new("L", (-(-size.width // scale), -(-size.height // scale)))
    angle = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    waves = sum(rng.uniform(0, 0.04 / k) * np.sin(k * angle * 2 + rng.uniform(0, 2 * np.pi)) for k in range(1, 6))
    radius = 0.44 + waves
    outline = np.stack(
        [small.width * (0.5 + radius * np.cos(angle)), small.height * (0.5 + radius * np.sin(angle))], axis=-1
    )
    ImageDraw.Draw(small).polygon([(float(x), float(y)) for x, y in outline], fill=255)
    smooth = small.filter(ImageFilter.GaussianBlur(1)).resize(
        (small.width * scale, small.height * scale), Image.Resampling.BILINEAR
    )
    return np.where(np.asarray(smooth)[: size.height, : size.width] > 127, np.uint8(255), np.uint8(0))


def _regions(size: Size) -> tuple[Box, ...]:
    """Place a large and a small box; their corners lie within 0.33 of the centre, the tissue's edge at 0.35 or more.

    The small one is not in the middle: were all of them there, a wrong origin of y would not show.
    """
    return tuple(
        Box(
            *(
                round(share * side)
                for share, side in zip(shares, (size.height, size.width, size.width, size.height), strict=True)
            )
        )
        for shares in ((0.27, 0.27, 0.34, 0.46), (0.37, 0.63, 0.15, 0.20))
    )
