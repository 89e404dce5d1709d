from __future__ import annotations

import io
import logging
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import simplejpeg
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from her2_ihc_40x_builder.demo.drawing import draw_patch
from her2_ihc_40x_builder.demo.synthetic import SlideFormat, write_pixels
from her2_ihc_40x_builder.errors import SlideError
from her2_ihc_40x_builder.geometry import Box
from her2_ihc_40x_builder.slides import tiles
from her2_ihc_40x_builder.slides.slide import open_slide
from her2_ihc_40x_builder.slides.tiles import Engine, read_windows, why_not_fast

SHARED = Path(__file__).resolve().parents[3] / "shared"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not here")
WIDTH, HEIGHT = 830, 610
#: The whole, the corners, one pixel, an overlap, beyond the edges.
WINDOWS = (
    Box(0, 0, WIDTH, HEIGHT),
    Box(HEIGHT - 200, WIDTH - 300, 300, 200),
    Box(0, WIDTH - 1, 1, 1),
    Box(239, 239, 2, 2),
    Box(100, 50, 400, 300),
    Box(150, 60, 400, 300),
    Box(-10, -20, 100, 100),
    Box(HEIGHT - 50, WIDTH - 50, 100, 100),
    Box(HEIGHT + 5, 0, 20, 20),
)


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint8]:
    return np.ascontiguousarray(draw_patch("3+", 0, WIDTH)[:HEIGHT])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, pixels: NDArray[np.uint8]) -> Path:
    path = tmp_path_factory.mktemp("plain") / "plain.svs"
    write_pixels(path, pixels, SlideFormat(downsamples=()))
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "small.svs"
    write_pixels(path, draw_patch("2+", 0, 300), SlideFormat(downsamples=()))
    return path


def read(path: Path, engine: Engine, windows: tuple[Box, ...] = WINDOWS) -> list[tuple[Box, bytes]]:
    with open_slide(path) as slide:
        return [(box, window.tobytes()) for box, window in read_windows(slide, windows, engine)]


def test_texts_of_the_file_are_not_logged(small: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A description that is no ASCII: tifffile quotes it, and there scanners put names."""
    path = tmp_path / "described.svs"
    content = small.read_bytes().replace(b"Aperio Image Library v12.0.15", b"Aperio Image of J\x81ne Smith.15")
    path.write_bytes(content)
    caplog.set_level(logging.WARNING, logger="tifffile")
    with tifffile.TiffFile(path) as tiff:
        assert tiff.pages.first.imagewidth == 300
    assert "Smith" in caplog.text
    caplog.clear()
    with open_slide(path) as slide:
        assert why_not_fast(slide) is None
    assert caplog.text == ""


def outcome(path: Path, engine: Engine) -> list[tuple[Box, bytes]] | None:
    try:
        return read(path, engine)
    except SlideError:
        return None


def edit(path: Path, to: Path, change: Callable[[bytearray, tifffile.TiffPage], None]) -> Path:
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        change(content, tiff.pages.first)
    to.write_bytes(content)
    return to


def put_value(content: bytearray, tag: tifffile.TiffTag, index: int, value: int) -> None:
    kind = {3: "H", 4: "I", 16: "Q"}[int(tag.dtype)]
    struct.pack_into("<" + kind, content, tag.valueoffset + index * struct.calcsize(kind), value)


@pytest.mark.parametrize("ycbcr", [True, False])
@pytest.mark.parametrize(("tile", "downsamples"), [(240, ()), (256, ()), (240, (2, 4))])
def test_the_fast_path_gives_openslides_pixels(
    tmp_path: Path, pixels: NDArray[np.uint8], tile: int, downsamples: tuple[int, ...], ycbcr: bool
) -> None:
    path = tmp_path / "a.svs"
    write_pixels(path, pixels, SlideFormat(tile, ycbcr, downsamples))
    assert read(path, "fast") == read(path, "openslide")
    assert read(path, "auto") == read(path, "openslide")


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2), (4, 1)])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_a_generic_tiff_is_fast_too(
    tmp_path: Path, pixels: NDArray[np.uint8], subsampling: tuple[int, int], bigtiff: bool
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        pixels,
        photometric="rgb",
        compression="jpeg",
        subsampling=subsampling,
        tile=(256, 128),
        metadata=None,
        bigtiff=bigtiff,
    )
    assert read(path, "fast") == read(path, "openslide")


@pytest.mark.parametrize("colours", ["rgb", "ycbcr"])
def test_shared_tables_are_merged(tmp_path: Path, pixels: NDArray[np.uint8], colours: str) -> None:
    """As real Aperio files are: tables once for all tiles, and in the tiles no word on what the components are."""
    path = tmp_path / "tables.svs"
    padded = np.pad(pixels, ((0, -HEIGHT % 256), (0, -WIDTH % 256), (0, 0)), mode="edge")
    streams = []
    for y in range(0, padded.shape[0], 256):
        for x in range(0, padded.shape[1], 256):
            # Written through tifffile, which can make an RGB JPEG.
            buffer = io.BytesIO()
            part = padded[y : y + 256, x : x + 256]
            tifffile.imwrite(
                buffer, part, photometric="rgb", compression="jpeg", compressionargs={"outcolorspace": colours}
            )
            buffer.seek(0)
            with tifffile.TiffFile(buffer) as tiff:
                page = tiff.pages.first
                buffer.seek(page.dataoffsets[0])
                streams.append(buffer.read(page.databytecounts[0]))
    shared = b"\xff\xd8" + b"".join(part for kind, part in segments(streams[0]) if kind in (0xDB, 0xC4)) + b"\xff\xd9"
    bare = [
        b"\xff\xd8" + b"".join(part for kind, part in segments(stream) if kind not in (0xDB, 0xC4, 0xE0, 0xEE))
        for stream in streams
    ]
    tifffile.imwrite(
        path,
        iter(bare),
        shape=pixels.shape,
        dtype=np.uint8,
        photometric=colours,
        subsampling=(1, 1) if colours == "rgb" else (2, 2),
        compression="jpeg",
        jpegtables=shared,
        tile=(256, 256),
        metadata=None,
        description="Aperio Image Library v12|AppMag = 40|MPP = 0.25",
    )
    with tifffile.TiffFile(path) as tiff:
        assert tiff.pages.first.jpegtables == shared
    assert read(path, "fast") == read(path, "openslide")


def segments(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """The parts of a JPEG after its start: marker's code and bytes; the last is the scan with all that follows."""
    at = 2
    while stream[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        yield stream[at + 1], stream[at:end]
        at = end
    yield 0xDA, stream[at:]


def test_windows_come_in_order_whatever_order_they_are_asked_in(plain: Path) -> None:
    expected = read(plain, "fast")
    assert [box for box, _ in expected] == sorted(WINDOWS)
    assert read(plain, "fast", WINDOWS[::-1]) == expected
    assert read(plain, "auto", ()) == []


def test_each_tile_is_decoded_once(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    decode = simplejpeg.decode_jpeg

    def count(*args: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        return decode(*args, **options)

    windows = tuple(Box(y, x, 300, 300) for y in (0, 100, 310) for x in (0, 130, 260, 530))
    monkeypatch.setattr(simplejpeg, "decode_jpeg", count)
    once = read(plain, "fast", windows)
    assert calls <= 12 + 3  # 4 x 3 tiles, and those compared with OpenSlide
    monkeypatch.setattr(tiles, "MAX_WAITING_BYTES", 0)
    assert read(plain, "fast", windows) == once
    assert calls > 12 + 3 + 12


def test_a_window_belongs_to_its_reader(plain: Path) -> None:
    with open_slide(plain) as slide:
        for engine in ("fast", "openslide"):
            for _, window in read_windows(slide, [Box(0, 0, 100, 100), Box(10, 10, 100, 100)], engine):
                assert window[0, 0].any()
                window[:] = 0


def test_an_empty_tile_is_background(plain: Path, tmp_path: Path) -> None:
    path = edit(plain, tmp_path / "a.svs", lambda content, page: put_value(content, page.tags[325], 5, 0))
    assert read(path, "fast") == read(path, "openslide")
    with open_slide(path) as slide:
        _, window = next(read_windows(slide, [Box(240, 240, 240, 240)], "fast"))
    assert (window == 255).all()


@pytest.mark.parametrize(
    ("compression", "is_grey", "reason"),
    [(None, False, "compression 1"), ("lzw", False, "compression 5"), ("jpeg", True, "samples a pixel 1")],
)
def test_other_tiffs_are_left_to_openslide(
    tmp_path: Path, pixels: NDArray[np.uint8], compression: str | None, is_grey: bool, reason: str
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        pixels[..., 0] if is_grey else pixels,
        photometric="minisblack" if is_grey else "rgb",
        tile=(256, 256),
        metadata=None,
        compression=compression,
    )
    with open_slide(path) as slide:
        assert why_not_fast(slide) == reason
    assert read(path, "auto") == read(path, "openslide")
    with pytest.raises(SlideError, match=reason):
        read(path, "fast")


@pytest.mark.parametrize(
    ("tag", "index", "value"),
    [
        (324, 3, 0xFFFFFFF0),  # a tile beyond the file
        (325, 3, 0xFFFF),  # a tile longer than can be
        (322, 0, 16),  # more tiles than are listed
        (322, 0, 0xFFF0),  # a tile wider than is believed
        (256, 0, 0x7FFFFFF0),  # a slide of 2 billion pixels' width
        (274, 0, 3),  # turned
        (277, 0, 4),
        (277, 0, 0),
        (262, 0, 5),  # CMYK
        (258, 0, 16),
        (284, 0, 2),
        (259, 0, 33005),
    ],
)
def test_absurd_tags_do_not_fool_the_fast_path(plain: Path, tmp_path: Path, tag: int, index: int, value: int) -> None:
    def change(content: bytearray, page: tifffile.TiffPage) -> None:
        if tag in page.tags:
            put_value(content, page.tags[tag], index, value)
        else:
            # In place of the software's name, which is not needed.
            struct.pack_into("<HHIHH", content, page.tags[305].offset, tag, 3, 1, value, 0)

    path = edit(plain, tmp_path / "a.svs", change)
    assert outcome(path, "auto") == outcome(path, "openslide")


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_tile_is_an_error_or_openslides_pixels(small: Path, data: st.DataObject) -> None:

    def change(content: bytearray, page: tifffile.TiffPage) -> None:
        tile = data.draw(st.integers(0, len(page.dataoffsets) - 1))
        start, length = page.dataoffsets[tile], page.databytecounts[tile]
        for _ in range(data.draw(st.integers(1, 3))):
            content[start + data.draw(st.integers(0, length - 1))] = data.draw(st.integers(0, 255))

    path = edit(small, small.with_name("damaged.svs"), change)
    assert outcome(path, "auto") == outcome(path, "openslide")


def test_a_cut_tile_is_an_error_not_a_grey_picture(plain: Path, tmp_path: Path) -> None:
    def change(content: bytearray, page: tifffile.TiffPage) -> None:
        start, length = page.dataoffsets[4], page.databytecounts[4]
        content[start + length // 2 : start + length // 2 + 2] = b"\xff\xd9"

    path = edit(plain, tmp_path / "cut.svs", change)
    for engine in ("auto", "fast", "openslide"):
        with pytest.raises(SlideError, match=r"cut\.svs"):
            read(path, engine)
        # Windows that do not touch it are not lost.
        assert read(path, engine, (Box(0, 300, 400, 200),)) == read(plain, engine, (Box(0, 300, 400, 200),))


def test_after_a_damaged_tile_no_tile_waits_for_nobody(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tile that OpenSlide alone reads: no such file is known, but another version of it may differ."""
    decoded: list[int] = []
    decode = tiles._Tiles.decode

    def decode_all_but_one(
        self: tiles._Tiles, file: BinaryIO, number: int, background: tuple[int, int, int]
    ) -> NDArray[np.uint8]:
        decoded.append(number)
        if number == 5:
            raise ValueError
        return decode(self, file, number, background)

    windows = (
        Box(240, 480, 300, 240),  # tiles 6 and 7, which wait for the next
        Box(241, 0, WIDTH, 200),  # 4 to 7
        Box(480, 0, 480, 130),  # 8 and 9, which find room
        Box(481, 0, 480, 129),
    )
    expected = read(plain, "openslide", windows)
    monkeypatch.setattr(tiles._Tiles, "decode", decode_all_but_one)
    monkeypatch.setattr(tiles, "_compare_with_openslide", lambda *_: None)
    monkeypatch.setattr(tiles, "MAX_WAITING_BYTES", 2 * 240 * 240 * 3)
    assert read(plain, "fast", windows) == expected
    assert decoded == [6, 7, 4, 5, 8, 9]


def test_a_window_too_large_is_refused_before_any_is_read(plain: Path) -> None:
    with open_slide(plain) as slide, pytest.raises(SlideError, match="smaller boxes"):
        next(read_windows(slide, [Box(0, 0, 10, 10), Box(0, 0, 1 << 20, 1 << 20)]))


def shared_slides() -> list[Path]:
    return sorted([*(SHARED / "real" / "WSI").glob("*/*.svs"), *(SHARED / "odd_slides").glob("*.svs")])


@pytest.mark.shared
@needs_shared
@pytest.mark.parametrize("path", shared_slides(), ids=lambda path: path.stem)
def test_real_slides_give_openslides_pixels(path: Path) -> None:
    with open_slide(path) as slide:
        width, height = slide.size.width, slide.size.height
        windows = (
            Box(0, 0, 500, 500),
            Box(height // 2, width // 2 - 300, 1024, 700),
            Box(height // 2 + 100, width // 2, 1024, 700),
            Box(height - 400, width - 400, 400, 400),
            Box(height - 50, width - 50, 100, 100),
        )
        is_jpeg = why_not_fast(slide) is None
    assert is_jpeg == path.stem.startswith(("S", "CMU"))
    assert read(path, "fast" if is_jpeg else "auto", windows) == read(path, "openslide", windows)


@pytest.mark.shared
@needs_shared
def test_every_pixel_of_a_real_slide_with_shared_tables() -> None:
    path = SHARED / "odd_slides" / "CMU-1-Small-Region.svs"
    with open_slide(path) as slide:
        whole = (Box(0, 0, slide.size.width, slide.size.height),)
    assert read(path, "fast", whole) == read(path, "openslide", whole)
