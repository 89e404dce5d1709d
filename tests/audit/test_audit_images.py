"""Image files as they may come: of every form, with things embedded, damaged, or meant to harm."""

from __future__ import annotations

import io
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from her2_ihc_40x_builder.audit.embedded import find_embedded
from her2_ihc_40x_builder.audit.images import MAX_PIXELS, in_turn, look_at
from her2_ihc_40x_builder.patches.encode import Encoding, ImageFormat

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


def chunk(kind: bytes, content: bytes) -> bytes:
    """Of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_with(kind: bytes, content: bytes) -> bytes:
    data = save("PNG")
    return data[:33] + chunk(kind, content) + data[33:]


def segment(code: int, content: bytes) -> bytes:
    """Of a JPEG."""
    return struct.pack(">BBH", 0xFF, code, 2 + len(content)) + content


def jpeg_with(code: int, content: bytes, *, at: int = 20) -> bytes:
    """A JPEG with one segment more, behind its JFIF segment."""
    data = save("JPEG")
    return data[:at] + segment(code, content) + data[at:]


def webp_with(kind: bytes, content: bytes) -> bytes:
    data = save("WEBP", lossless=True) + struct.pack("<4sI", kind, len(content)) + content
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]


JFXX = b"JFXX\0\x13\1\1" + b"abc"
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
    "progressive JPEG": (save("JPEG", progressive=True), ()),
    "JPEG with restarts": (save("JPEG", restart_marker_blocks=1), ()),
    "JPEG of Adobe": (jpeg_with(0xEE, b"Adobe\0d\0\0\0\0\1"), ()),
    "lossy WebP": (save("WEBP"), ()),
    "numbers": (png_with(b"gAMA", b"\0\0\xb1\x8f"), ()),
    "numbers and a name": (png_with(b"gAMA", b"\0\0\xb1\x8fsomebody"), ("gAMA chunk",)),
    "numbers of colour": (
        png_with(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
        (),
    ),
    "a text as numbers of colour": (png_with(b"cHRM", b"Virtanen, Maija; 1 March 1970.  "), ("cHRM chunk",)),
    "dots a metre": (png_with(b"pHYs", struct.pack(">2IB", 4_000_000, 4_000_000, 1)), ()),
    "a text as dots a metre": (png_with(b"pHYs", b"T21-12345"), ("pHYs chunk",)),
    "a background": (png_with(b"bKGD", b"\0\xff\0\xff\0\xff"), ()),
    "a text as background": (png_with(b"bKGD", b"T21-12"), ("bKGD chunk",)),
    "a text as gamma": (png_with(b"gAMA", b"John"), ("gAMA chunk",)),
    "time": (png_with(b"tIME", b"\x07\xe5\3\4\x0c\0\0"), ("tIME chunk",)),
    "palette's name": (png_with(b"sPLT", b"somebody\0\x08"), ("sPLT chunk",)),
    "calibration": (png_with(b"pCAL", b"somebody\0" + bytes(8) + b"\0\2m\0001\0002"), ("pCAL chunk",)),
    "GIF's extension": (png_with(b"gIFx", b"somebody"), ("gIFx chunk",)),
    "proposed palette": (png_with(b"PLTE", b"somebody!"), ("PLTE chunk",)),
    "private chunk": (png_with(b"prVt", b"somebody"), ("private chunk",)),
    "PNG behind a PNG": (save("PNG") + save("PNG"), ("bytes behind the image",)),
    "chunk behind the end": (save("PNG") + chunk(b"tEXt", b"a\0b") + chunk(b"IEND", b""), ("bytes behind the image",)),
    "JPEG behind a JPEG": (save("JPEG") + save("JPEG"), ("bytes behind the image",)),
    "second APP0": (jpeg_with(0xE0, b"somebody"), ("APP0 segment",)),
    "second JFIF": (jpeg_with(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"), ("APP0 segment",)),
    "thumbnail": (jpeg_with(0xE0, JFXX), ("APP0 segment",)),
    "Adobe and a name": (jpeg_with(0xEE, b"Adobe\0d\0\0\0\0\1somebody"), ("APP14 segment",)),
    "EXIF elsewhere": (jpeg_with(0xE5, b"Exif\0\0somebody"), ("APP5 segment",)),
    "ICC elsewhere": (jpeg_with(0xE9, b"ICC_PROFILE\0\1\1somebody"), ("APP9 segment",)),
    "ICC of a JPEG": (save("JPEG", icc_profile=b"profile"), ("ICC",)),
    "IPTC": (jpeg_with(0xED, b"Photoshop 3.0\0somebody"), ("IPTC",)),
    "comment behind the scan": (jpeg_with(0xFE, b"somebody", at=-2), ("comment",)),
    "table behind the scan": (jpeg_with(0xDB, b"\3" + b"somebody" * 8, at=-2), ("DQT segment",)),
    "unknown chunk": (webp_with(b"NAME", b"somebody"), ("NAME chunk",)),
    "chunk of no name": (webp_with(b"\x1b[31", b"somebody"), ("???? chunk",)),
    "pixels again": (webp_with(b"VP8L", b"somebody"), ("VP8L chunk",)),
    "XMP of a WebP": (save("WEBP", xmp=b"<x:xmpmeta/>"), ("XMP",)),
    "ICC of a WebP": (save("WEBP", icc_profile=b"profile"), ("ICC",)),
    "trailing bytes of a WebP": (save("WEBP") + b"name", ("bytes behind the image",)),
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


def test_what_this_project_writes_holds_pixels_alone() -> None:
    for kind in get_args(ImageFormat):
        found, _ = look_at(Encoding(kind).encode(PIXELS))
        assert (found.fault, found.embedded) == (None, ())


def test_kinds_and_pieces_are_bounded() -> None:
    names = [b"%c%c%c%c" % (97 + at % 26, 65 + at // 26, 65, 65) for at in range(500)]
    many = save("PNG")[:33] + b"".join(chunk(name, b"") for name in names) + save("PNG")[33:]
    assert "more" in find_embedded(many)
    assert len(find_embedded(many)) < 50
    assert find_embedded(save("PNG")[:33] + chunk(b"IDAT", b"") * 100_000) == {"more"}


@given(st.sampled_from(sorted(EMBEDDED)), st.integers(0, 2000), st.binary(max_size=20))
def test_any_bytes_have_an_answer(name: str, at: int, junk: bytes) -> None:
    data = EMBEDDED[name][0]
    assert len(find_embedded(data[:at] + junk + data[at:])) < 50
    assert len(find_embedded(data[:at])) < 50


@pytest.mark.parametrize("name", ["numbers of colour", "dots a metre", "a background", "numbers"])
def test_numbers_that_are_cut_short_have_an_answer(name: str) -> None:
    data = EMBEDDED[name][0]
    for end in range(33, 33 + 60):
        assert "no end of the image" in find_embedded(data[:end])


def test_the_hash_is_of_pixels_not_of_files() -> None:
    files = [save("PNG", compress_level=0), save("PNG", compress_level=9), save("WEBP", lossless=True, exact=True)]
    assert len({look_at(data)[0].pixels_hash for data in files}) == 1
    assert look_at(save("JPEG"))[0].pixels_hash != look_at(files[0])[0].pixels_hash
    wide = Image.fromarray(PIXELS.reshape(8, 32, 3))
    file = io.BytesIO()
    wide.save(file, "PNG")
    assert look_at(file.getvalue())[0].pixels_hash != look_at(files[0])[0].pixels_hash


def bomb(width: int, height: int) -> bytes:
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
        bomb(9000, 9000),
        bomb(60000, 60000),
    ],
)
def test_what_cannot_be_used_is_an_answer(data: bytes) -> None:
    found, pixels = look_at(data)
    assert found.fault
    assert pixels is None
    assert found.pixels_hash is None


def test_a_bomb_is_not_decoded() -> None:
    assert MAX_PIXELS < 9000 * 9000
    assert "too many to decode" in str(look_at(bomb(9000, 9000))[0].fault)


def test_large_images_are_worked_on_one_at_a_time() -> None:
    at_work: list[bytes] = []

    def work(data: bytes) -> tuple[int, str]:
        at_work.append(data)
        time.sleep(0.02)
        together = len(at_work)
        at_work.remove(data)
        return together, threading.current_thread().name

    with ThreadPoolExecutor(4) as pool:
        large = list(pool.map(lambda _: in_turn(work, bomb(3000, 3000)), range(8)))
        assert {together for together, _ in large} == {1}
        assert len({thread for _, thread in large}) == 1
        small = list(pool.map(lambda _: in_turn(work, save("PNG")), range(8)))
    assert len({thread for _, thread in small}) > 1
    assert in_turn(len, b"no image") == 8


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


@pytest.mark.parametrize(("data", "fault"), [(b"", "no bytes"), (b"GIF89a" + bytes(40), "no PNG, JPEG or WebP")])
def test_what_is_no_image_is_told_in_the_same_words_each_time(data: bytes, fault: str) -> None:
    assert look_at(data)[0].fault == fault
