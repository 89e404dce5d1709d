"""Files spoiled on purpose: bytes flipped as drawn from a seed, and damage of the structure that each format has."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq

Spoil = Callable[[bytes], bytes]

PNG_HEAD = b"\x89PNG\r\n\x1a\n"


def flip(data: bytes, rng: random.Random) -> bytes:
    """Change one to eight bytes; every second time near the file's start or end, where its structure mostly is."""
    spoiled = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        if rng.random() < 0.5:
            at = rng.randrange(len(data))
        else:
            at = rng.randrange(min(600, len(data)))
            at = at if rng.random() < 0.5 else len(data) - 1 - at
        spoiled[at] ^= rng.randint(1, 255)
    return bytes(spoiled)


def _tag(page: int, code: int, value: int, *, count: int | None = None) -> Spoil:
    """Set a tag of a little-endian TIFF directory to a value (where it stands inline), or its count."""

    def spoil(data: bytes) -> bytes:
        spoiled, at = bytearray(data), struct.unpack_from("<I", data, 4)[0]
        for _ in range(page):
            at = struct.unpack_from("<I", data, at + 2 + 12 * struct.unpack_from("<H", data, at)[0])[0]
        for entry in range(at + 2, at + 2 + 12 * struct.unpack_from("<H", data, at)[0], 12):
            if struct.unpack_from("<H", data, entry)[0] == code:
                if count is not None:
                    struct.pack_into("<I", spoiled, entry + 4, count)
                else:
                    struct.pack_into("<HII", spoiled, entry + 2, 4, 1, value)
        return bytes(spoiled)

    return spoil


def _loop(data: bytes) -> bytes:
    """Let the last directory of a TIFF be followed by the first."""
    spoiled, at = bytearray(data), struct.unpack_from("<I", data, 4)[0]
    while at:
        link = at + 2 + 12 * struct.unpack_from("<H", data, at)[0]
        at = struct.unpack_from("<I", data, link)[0]
    struct.pack_into("<I", spoiled, link, struct.unpack_from("<I", data, 4)[0])
    return bytes(spoiled)


def _jpeg_size(data: bytes) -> bytes:
    """Let every JPEG in a file claim 65500 x 65500 pixels."""
    spoiled, at = bytearray(data), data.find(b"\xff\xc0\x00\x11\x08")
    while at >= 0:
        struct.pack_into(">HH", spoiled, at + 5, 65500, 65500)
        at = data.find(b"\xff\xc0\x00\x11\x08", at + 1)
    return bytes(spoiled)


def png(width: int, height: int, colour: int, pixels: bytes, *more: tuple[bytes, bytes]) -> bytes:
    """A PNG of 8 bits whose header says what it likes."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)), *more]
    chunks += [(b"IDAT", zlib.compress(pixels)), (b"IEND", b"")]
    return PNG_HEAD + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def _zip(name: str = "a.png", data: bytes = b"x", *, mode: int = 0o644, flags: int = 0) -> bytes:
    file, info = io.BytesIO(), zipfile.ZipInfo(name)
    info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(info, data)
    spoiled = bytearray(file.getvalue())
    spoiled[spoiled.index(b"PK\x01\x02") + 8] |= flags
    return bytes(spoiled)


def _ring(*points: tuple[float, float]) -> bytes:
    return json.dumps({"type": "Polygon", "coordinates": [[*points, points[0]]]}).encode()


def _star(points: int) -> bytes:
    return _ring(*((random.Random(i).uniform(0, 400), random.Random(-i).uniform(0, 400)) for i in range(points)))


def _laughs(data: bytes) -> bytes:
    entities = "".join(f'<!ENTITY e{i + 1} "{f"&e{i};" * 10}">' for i in range(12))
    return f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY e0 "ha">{entities}]><Annotations>&e12;</Annotations>'.encode()


def _manifest(**change: object) -> Spoil:
    return lambda data: json.dumps({**json.loads(data), **change}).encode()


def _parquet(data: bytes) -> bytes:
    """As many bytes of Parquet with one column of a billion equal values: its head says so, at least."""
    file = io.BytesIO()
    pq.write_table(pa.table({"label": pa.array([0] * 2_000_000)}), file, compression="zstd", row_group_size=2_000_000)
    made = file.getvalue()
    return made + bytes(max(0, len(data) - len(made)))


def _yaml_bomb(data: bytes) -> bytes:
    lines = ["a0: &a0 [ha]", *(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]" for i in range(9))]
    return ("---\n" + "\n".join(lines) + "\n---\n").encode()


_TEXT = b"a\0\0" + zlib.compress(bytes(10**8))
_OUTSIDE = {"path": "../../x", "sha256": "0", "bytes": 1, "rows": 1, "unit": "x"}
#: Format, what is done, and how.
STRUCTURAL: tuple[tuple[str, str, Spoil], ...] = (
    ("svs", "half of it", lambda data: data[: len(data) // 2]),
    ("svs", "its directory points to itself", _loop),
    ("svs", "2^31 - 1 pixels wide", _tag(0, 256, 2**31 - 1)),
    ("svs", "2^31 - 1 pixels high", _tag(0, 257, 2**31 - 1)),
    ("svs", "tiles of 65536 pixels", _tag(0, 322, 65536)),
    ("svs", "tiles of one pixel", _tag(0, 323, 1)),
    ("svs", "2^32 - 1 tiles", _tag(0, 324, 0, count=2**32 - 1)),
    ("svs", "a description of 2^31 bytes", _tag(0, 270, 0, count=2**31)),
    ("svs", "tiles that claim 65500 x 65500 pixels", _jpeg_size),
    ("svs", "nothing", lambda data: b""),
    ("mask", "a bomb of 30000 x 30000 pixels", lambda data: png(30000, 30000, 0, bytes(10**7))),
    ("crop", "a bomb of 30000 x 30000 pixels", lambda data: png(30000, 30000, 6, bytes(10**7))),
    ("crop", "7900 x 7900 pixels of nothing", lambda data: png(7900, 7900, 6, bytes(7900 * 31601))),
    ("crop", "half of it", lambda data: data[: len(data) // 2]),
    ("mask", "text that unpacks to 100 MB", lambda data: png(480, 480, 0, bytes(480 * 481), (b"zTXt", _TEXT))),
    ("mask", "no pixels", lambda data: png(0, 0, 0, b"")),
    ("release png", "a bomb of 30000 x 30000 pixels", lambda data: png(30000, 30000, 2, bytes(10**7))),
    ("release jpeg", "a claim of 65500 x 65500 pixels", _jpeg_size),
    ("release jpeg", "half of it", lambda data: data[: len(data) // 2]),
    ("zip", "half of it", lambda data: data[: len(data) // 2]),
    ("zip", "a path out of it", lambda data: _zip("Patch-based-dataset/../../../train_data_patch.zip")),
    ("zip", "a link", lambda data: _zip("Patch-based-dataset/train_data_patch.zip", b"/etc/passwd", mode=0o120777)),
    ("zip", "a bomb", lambda data: _zip("Patch-based-dataset/train_data_patch.zip", bytes(10**8))),
    ("zip", "an encrypted file", lambda data: _zip("Patch-based-dataset/train_data_patch.zip", flags=1)),
    ("geojson", "nested without end", lambda data: b"[" * 10**6),
    ("geojson", "not a number", lambda data: _ring((0, 0), (float("nan"), 9), (9, 9))),
    ("geojson", "a place far away", lambda data: _ring((0, 0), (1e308, 9), (9, 9))),
    ("geojson", "a star of 3000 points", lambda data: _star(3000)),
    ("geojson", "a hundred thousand features of nothing", lambda data: b"[" + b"{}," * 10**5 + b"{}]"),
    ("xml", "a billion laughs", _laughs),
    ("xml", "a file of this machine", lambda data: b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>'),
    ("xml", "nested without end", lambda data: b"<Annotations>" + b"<a>" * 10**6),
    ("cytomine", "collections in collections", lambda data: data.replace(b"POLYGON", b"GEOMETRYCOLLECTION(" * 10**4)),
    ("cytomine", "nothing in place of everything", lambda data: b'{"collection": [null, 1, "a", [], {}]}'),
    ("parquet", "half of it", lambda data: data[: len(data) // 2]),
    ("parquet", "two million rows", _parquet),
    ("manifest", "nested without end", lambda data: b"[" * 10**6),
    (
        "manifest",
        "a path out of it",
        _manifest(files=[{"path": "../../x", "sha256": "0", "bytes": 1, "rows": 1, "unit": "x"}]),
    ),
    ("manifest", "counts without end", _manifest(counts={"wsi_split": {"train": {"0": float("inf")}}})),
    ("card", "a bomb of aliases", _yaml_bomb),
)
