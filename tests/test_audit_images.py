"""Image files as they may come: of every form, with things embedded, damaged, or meant to harm."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from her2_ihc_40x_builder.audit.images import MAX_PIXELS, look_at

PIXELS = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


def save(kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, kind, **options)
    return file.getvalue()


def exif(gps: bool = False) -> Image.Exif:
    data = Image.Exif()
    data[0x010F] = "a scanner"
    if gps:
        data[0x8825] = {1: "N", 2: (3.0, 8.0, 0.0)}
    return data


def png_text(*, behind: bool = False) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add(b"tEXt", b"Patient\0somebody", after_idat=behind)
    return save("PNG", pnginfo=info)


EMBEDDED = {
    "plain PNG": (save("PNG"), ()),
    "plain JPEG": (save("JPEG"), ()),
    "plain WebP": (save("WEBP", lossless=True), ()),
    "PNG EXIF": (save("PNG", exif=exif()), ("EXIF",)),
    "JPEG EXIF": (save("JPEG", exif=exif()), ("EXIF",)),
    "WebP EXIF": (save("WEBP", exif=exif()), ("EXIF",)),
    "GPS": (save("JPEG", exif=exif(gps=True)), ("EXIF", "GPS")),
    "comment": (save("JPEG", comment=b"somebody"), ("comment",)),
    "XMP": (save("JPEG", xmp=b"<x:xmpmeta/>"), ("XMP",)),
    "ICC": (save("PNG", icc_profile=b"profile"), ("ICC",)),
    "text": (png_text(), ("text",)),
    "text behind the pixels": (png_text(behind=True), ("text",)),
    "trailing bytes": (save("PNG") + b"name", ("bytes behind the image",)),
    "trailing bytes of a JPEG": (save("JPEG") + b"name", ("bytes behind the image",)),
}


@pytest.mark.parametrize("name", EMBEDDED)
def test_what_is_embedded_is_named(name: str) -> None:
    data, kinds = EMBEDDED[name]
    found, pixels = look_at(data)
    assert found.fault is None
    assert pixels is not None
    assert found.embedded == kinds


def test_a_segment_of_a_camera_is_named() -> None:
    data = save("JPEG")
    found, _ = look_at(data[:2] + b"\xff\xe5\x00\x08CAMERA" + data[2:])
    assert found.embedded == ("APP5 segment",)


def test_the_hash_is_of_pixels_not_of_files() -> None:
    files = [save("PNG", compress_level=0), save("PNG", compress_level=9), save("WEBP", lossless=True, exact=True)]
    assert len({look_at(data)[0].pixels_hash for data in files}) == 1
    assert look_at(save("JPEG"))[0].pixels_hash != look_at(files[0])[0].pixels_hash
    wide = Image.fromarray(PIXELS.reshape(8, 32, 3))
    file = io.BytesIO()
    wide.save(file, "PNG")
    assert look_at(file.getvalue())[0].pixels_hash != look_at(files[0])[0].pixels_hash


def bomb(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK",
        save("TIFF"),
        save("GIF"),
        save("PNG")[:-40],
        save("JPEG")[:200],
        bomb(5000, 5000),
        bomb(60000, 60000),
    ],
)
def test_what_cannot_be_used_is_an_answer(data: bytes) -> None:
    found, pixels = look_at(data)
    assert found.fault
    assert pixels is None
    assert found.pixels_hash is None


def test_a_bomb_is_not_decoded() -> None:
    assert MAX_PIXELS < 5000 * 5000
    assert "too many to decode" in str(look_at(bomb(5000, 5000))[0].fault)


def test_several_frames_are_refused() -> None:
    other = Image.fromarray(255 - PIXELS)
    assert look_at(save("PNG", save_all=True, append_images=[other]))[0].fault == "several frames"


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(EMBEDDED)), st.integers(0, 10**6), st.integers(1, 255))
def test_a_flipped_byte_never_raises(name: str, at: int, by: int) -> None:
    data = bytearray(EMBEDDED[name][0])
    data[at % len(data)] ^= by
    found, pixels = look_at(bytes(data))
    assert (found.fault is None) == (pixels is not None)
