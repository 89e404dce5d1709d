"""Pictures of regions are read whole, or refused."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from damage import decoding_otherwise
from her2_ihc_40x_builder.errors import RegionError
from her2_ihc_40x_builder.regions.images import values_of_mask


def test_a_flipped_byte_that_decodes_to_another_region_is_refused(tmp_path: Path) -> None:
    mask = np.zeros((480, 480), np.uint8)
    mask[100:370, 100:370] = 255
    path = tmp_path / "mask.png"
    Image.fromarray(mask).save(path)
    np.testing.assert_array_equal(values_of_mask(path), mask)
    others = list(decoding_otherwise(path.read_bytes()))
    assert others
    for data in others:
        path.write_bytes(data)
        with pytest.raises(RegionError, match="a whole PNG"):
            values_of_mask(path)


PAINTED = np.repeat(np.arange(8, dtype=np.uint8), 8).reshape(8, 8)


@pytest.mark.parametrize(
    ("mode", "clear", "zero"),
    [
        ("L", 7, [7]),
        ("P", 5, [5]),
        ("P", bytes([0, 255, 127, 128, 0]), [0, 2, 4]),
        ("RGB", (6, 6, 6), [6]),
        ("RGB", (6, 6, 7), []),
        ("I;16", 3, [3]),
    ],
)
def test_what_is_transparent_is_outside(tmp_path: Path, mode: str, clear: object, zero: list[int]) -> None:
    painted = Image.fromarray(PAINTED if mode != "I;16" else PAINTED.astype(np.uint16))
    if mode == "P":
        painted.putpalette([level for index in range(256) for level in (index, 0, 255 - index)])
    path = tmp_path / "mask.png"
    (painted.convert("RGB") if mode == "RGB" else painted).save(path, transparency=clear)
    np.testing.assert_array_equal(values_of_mask(path), np.where(np.isin(PAINTED, zero), 0, PAINTED))


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@pytest.mark.parametrize(
    ("bits", "kind", "key", "zero"), [(1, 0, 1, 1), (2, 0, 2, 170), (4, 0, 10, 170), (16, 2, 0xAAAA, 170)]
)
def test_so_it_is_in_the_bits_of_the_file(tmp_path: Path, bits: int, kind: int, key: int, zero: int) -> None:
    row = b"\0" + (b"\xaa" * 8 if kind == 0 else b"\xaa\xaa" * 12)
    width = 64 // bits if kind == 0 else 4
    path = tmp_path / "mask.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, bits, kind, 0, 0, 0))
        + chunk(b"tRNS", struct.pack(">H", key) * (3 if kind else 1))
        + chunk(b"IDAT", zlib.compress(row))
        + chunk(b"IEND", b"")
    )
    opaque = np.asarray(Image.open(path))[..., 0] if kind else np.asarray(Image.open(path))
    values = values_of_mask(path)
    assert values is not None
    np.testing.assert_array_equal(values, np.where(opaque == zero, 0, opaque))
    assert (opaque == zero).any()
