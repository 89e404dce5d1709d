from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import openslide
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies
from PIL import Image

from her2_ihc_40x_builder.errors import Her2Error, ImageError
from her2_ihc_40x_builder.patches.encode import Encoding

SHARED = Path(__file__).resolve().parents[3] / "shared"


def decoded(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "RGB"
        return np.asarray(image)


def chunks(png: bytes) -> list[bytes]:
    """The kinds of a PNG's chunks, their checksums checked."""
    kinds, at = [], 8
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        body = png[at + 4 : at + 8 + length]
        assert struct.unpack_from(">I", png, at + 8 + length) == (zlib.crc32(body),)
        kinds.append(body[:4])
        at += 12 + length
    return kinds


def smooth(side: int = 256) -> np.ndarray:
    """Something like tissue: noise, blurred."""
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 3), np.uint8)


images = numpy_strategies.arrays(
    np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24), st.just(3)), elements=st.integers(0, 255)
)


@given(images)
def test_png_gives_back_every_pixel(image: np.ndarray) -> None:
    data = Encoding("png").encode(image)
    assert np.array_equal(decoded(data), image)
    assert chunks(data) == [b"IHDR", b"IDAT", b"IEND"]


@given(images)
@settings(max_examples=30)
def test_webp_gives_back_every_pixel(image: np.ndarray) -> None:
    assert np.array_equal(decoded(Encoding("webp").encode(image)), image)


@pytest.mark.parametrize("image_format", ["png", "webp"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (257, 130), (1024, 1024)])
def test_lossless_shapes(image_format: str, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert np.array_equal(decoded(Encoding(image_format).encode(image)), image)  # type: ignore[arg-type]


def test_any_memory_layout() -> None:
    image = smooth()
    for view in (image[::2, ::3], image[:, ::-1], image[..., ::-1], np.asfortranarray(image)):
        assert np.array_equal(decoded(Encoding("png").encode(view)), view)
        assert decoded(Encoding("jpeg").encode(view)).shape == view.shape


def test_opencv_reads_the_png_too() -> None:
    image = smooth()
    found = cv2.imdecode(np.frombuffer(Encoding("png").encode(image), np.uint8), cv2.IMREAD_UNCHANGED)
    assert found is not None
    assert np.array_equal(found[..., ::-1], image)


def test_jpeg_is_close_and_has_full_colour() -> None:
    image = smooth()
    data = Encoding("jpeg").encode(image)
    error = np.abs(decoded(data).astype(int) - image)
    assert error.max() <= 12
    assert error.mean() < 1.5
    with Image.open(io.BytesIO(data)) as opened:
        # (identifier, horizontal, vertical, table) of each component: one sample of each a pixel
        assert [component[1:3] for component in opened.layer] == [(1, 1)] * 3  # type: ignore[attr-defined]
    # One-pixel stripes of colour, which halved chroma would smear.
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2], stripes[:, 1::2] = (200, 60, 60), (60, 60, 200)
    assert np.abs(decoded(Encoding("jpeg").encode(stripes)).astype(int) - stripes).mean() < 4
    assert len(Encoding("jpeg", 50).encode(image)) < len(data)


@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp"])
def test_bytes_are_the_same_each_time_and_hold_no_metadata(image_format: str) -> None:
    encoding = Encoding(image_format)  # type: ignore[arg-type]
    image = smooth()
    first = encoding.encode(image)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(encoding.encode, [image.copy() for _ in range(8)])) == {first}
    with Image.open(io.BytesIO(first)) as opened:
        opened.load()
        assert not opened.getexif()
        assert not {"exif", "icc_profile", "xmp", "comment", "dpi", "photoshop"} & {
            key for key, value in opened.info.items() if value
        }


def test_without_isal_the_pixels_are_the_same() -> None:
    script = """
import sys
sys.modules["isal"] = None
import numpy as np
from her2_ihc_40x_builder.patches.encode import Encoding
image = np.arange(60 * 50 * 3, dtype=np.uint32).astype(np.uint8).reshape(60, 50, 3)
print(Encoding().codec, Encoding().encode(image).hex())
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    name, _, data = run.stdout.split()
    image = np.arange(60 * 50 * 3, dtype=np.uint32).astype(np.uint8).reshape(60, 50, 3)
    assert name == "zlib"
    assert np.array_equal(decoded(bytes.fromhex(data)), image)


def test_what_it_refuses() -> None:
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ImageError):
            Encoding().encode(wrong)
    with pytest.raises(ImageError, match="sides up to 16383 for webp"):
        Encoding("webp").encode(np.zeros((1, 16384, 3), np.uint8))
    with pytest.raises(Her2Error, match="--image-format"):
        Encoding("jxl")  # type: ignore[arg-type]
    for quality in (0, 101):
        with pytest.raises(Her2Error, match="--quality"):
            Encoding("jpeg", quality)


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not there")
def test_a_real_patch() -> None:
    with openslide.OpenSlide(SHARED / "real" / "WSI" / "3+" / "S148DF4.svs") as slide:
        patch = np.asarray(slide.read_region((2200, 2200), 0, (1024, 1024)).convert("RGB"))
    png, webp, jpeg = (Encoding(image_format).encode(patch) for image_format in ("png", "webp", "jpeg"))
    assert np.array_equal(decoded(png), patch)
    assert np.array_equal(decoded(webp), patch)
    assert len(jpeg) < len(webp) < len(png) < 2_300_000
