"""Tiny images for twins of the release: each one of its own, the same on every run; and where real inputs are."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from her2_ihc_40x_builder.demo.release_twin import TwinPatch

SIZE = 8
SHARED = Path(__file__).resolve().parents[2] / "shared"
MakeRelease = Callable[..., Path]


def tiny_image(patch: TwinPatch, size: int = SIZE) -> bytes:
    """An image of random pixels, drawn from the patch's name; no more than 8 x 8 of them, whatever its size."""
    rng = np.random.default_rng(zlib.crc32(patch.file_name.encode()))
    side = min(size, SIZE)
    pixels = Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))
    if size > side:
        pixels = pixels.resize((size, size), Image.Resampling.NEAREST)
    file = io.BytesIO()
    pixels.save(file, "PNG" if patch.suffix == "png" else "JPEG", compress_level=1)
    return file.getvalue()
