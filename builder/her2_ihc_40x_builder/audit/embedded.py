"""What an image file holds beside its pixels: a strict walk over its pieces, of which a few are allowed.

Whatever is not on a list is named, known or not: a list of what is bad would have to know all that can be hidden. What
hides inside the coded pixels themselves is not looked for.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

_PNG = b"\x89PNG\r\n\x1a\n"
#: More pieces than any encoder writes of a patch, and more kinds than anybody reads, are not gone through.
_MAX_PIECES = 50_000
_MAX_KINDS = 30
_BEHIND, _BETWEEN, _NO_END, _MORE = "bytes behind the image", "bytes between its parts", "no end of the image", "more"

#: Chunks of numbers of a fixed size (PNG, third edition, chapter 11); each may be there once.
_PNG_SIZES = {
    "IHDR": (13,),
    "IEND": (0,),
    "gAMA": (4,),
    "sRGB": (1,),
    "cHRM": (32,),
    "pHYs": (9,),
    "sBIT": (1, 2, 3, 4),
    "bKGD": (1, 2, 6),
}
#: The most that a number of these can be: gamma and points of colour in 1/100,000, pixels a metre.
_MOST_GAMMA, _MOST_CHROMATICITY, _MOST_DENSITY = 1_000_000, 200_000, 10_000_000
_PNG_KINDS = {"eXIf": "EXIF", "iCCP": "ICC", "tEXt": "text", "zTXt": "text", "iTXt": "text"}
#: Bytes of tRNS by the colour type: one grey level, or one colour.
_TRANSPARENT = {0: 2, 2: 6}
_PALETTE = 3
_XMP_TEXT = b"XML:com.adobe.xmp\0"

_WEBP_ONCE = {"VP8 ", "VP8L", "VP8X", "ALPH"}
_WEBP_KINDS = {"ICCP": "ICC", "EXIF": "EXIF", "XMP ": "XMP"}
_VP8X_BYTES = 10

#: Marker -> name: what the pixels are decoded with.
_TABLES = {0xDB: "DQT", 0xC4: "DHT", 0xDD: "DRI"}
_FRAMES = {code for code in range(0xC0, 0xD0) if code not in (0xC4, 0xC8, 0xCC)}
_SOI, _EOI, _SOS, _COM, _APP = 0xD8, 0xD9, 0xDA, 0xFE, range(0xE0, 0xF0)
# In the coded pixels 0xFF is followed by 0 or a restart; anything else ends them. 0xFF before a marker is fill.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
#: (number of an APP segment, how it begins) -> kind.
_SEGMENTS = (
    (1, b"Exif\0", "EXIF"),
    (1, b"http://ns.adobe.com/", "XMP"),
    (2, b"ICC_PROFILE\0", "ICC"),
    (13, b"Photoshop", "IPTC"),
)


def find_embedded(data: bytes) -> frozenset[str]:
    """The kinds of things beside the pixels of a PNG, JPEG or WebP file, at most some thirty.

    Args:
        data: the file's bytes; any bytes have an answer.

    Returns:
        EXIF, ICC, IPTC, XMP, text, comment; "NAME chunk", "APPn segment" and "private chunk"; and where bytes are
        that no part of the format is.
    """
    walk = _walk_png if data.startswith(_PNG) else _walk_jpeg if data.startswith(b"\xff\xd8") else _walk_webp
    kinds: set[str] = set()
    for pieces, kind in enumerate(walk(data)):
        if kind is not None:
            kinds.add(kind)
        if pieces >= _MAX_PIECES or len(kinds) >= _MAX_KINDS:
            kinds.add(_MORE)
            break
    return frozenset(kinds)


def _walk_png(data: bytes) -> Iterator[str | None]:
    """What each chunk is, None for one that is allowed."""
    at, seen, before = len(_PNG), set[str](), ""
    colours = data[25] if len(data) > 25 else 0
    while at + 12 <= len(data):
        size, code = struct.unpack_from(">I4s", data, at)
        name, start, at = _name(code), at + 8, at + 12 + size
        fits = at <= len(data) and size in _PNG_SIZES.get(name, ()) and name not in seen
        fits = fits and _are_numbers(name, data[start : start + size])
        if name == "IDAT":
            fits = name not in seen or before == name
        elif name == "PLTE":  # in an image without a palette it is a proposal, of 768 bytes
            fits = colours == _PALETTE and name not in seen
        elif name == "tRNS":
            fits = name not in seen and (size <= 256 if colours == _PALETTE else size == _TRANSPARENT.get(colours))
        yield None if fits else _png_kind(name, data[start : start + len(_XMP_TEXT)])
        seen.add(name)
        before = name
        if name == "IEND" or at > len(data):
            break
    if before != "IEND" or at > len(data):
        yield _NO_END
    elif at < len(data):
        yield _BEHIND


def _are_numbers(name: str, content: bytes) -> bool:
    """Whether a chunk holds what numbers of its meaning can be, and not a text of its size; of 8 bits a sample."""
    if name == "gAMA":
        return int.from_bytes(content, "big") <= _MOST_GAMMA
    if name == "cHRM":
        return all(number <= _MOST_CHROMATICITY for number in struct.unpack(">8I", content))
    if name == "pHYs":
        across, down, unit = struct.unpack(">2IB", content)
        return bool(max(across, down) <= _MOST_DENSITY and unit <= 1)
    if name == "bKGD" and len(content) > 1:
        return not any(content[::2])
    return True


def _png_kind(name: str, head: bytes) -> str:
    if name == "iTXt" and head == _XMP_TEXT:
        return "XMP"
    return _PNG_KINDS.get(name) or ("private chunk" if name[1].islower() else f"{name} chunk")


def _walk_jpeg(data: bytes) -> Iterator[str | None]:
    """What each segment is, None for one that is allowed."""
    at, unused, seen = 2, "", set[str]()
    while found := _MARKER.search(data, at):
        if data[at : found.start()].strip(b"\xff"):
            yield _BETWEEN
        code, at = data[found.end() - 1], found.end()
        if code == _EOI:
            yield f"{unused} segment" if unused else None
            if at < len(data):
                yield _BEHIND
            return
        if at + 2 > len(data) or (size := int.from_bytes(data[at : at + 2], "big")) < 2 or at + size > len(data):
            break
        content, at = data[at + 2 : at + size], at + size
        if code == _SOS:
            unused = ""
            end = _MARKER.search(data, at)
            at = end.start() if end else len(data)
            yield None
        elif code in _FRAMES or code in _TABLES:
            unused = _TABLES.get(code, "SOF")
            yield None
        else:
            kind = _segment_kind(code, content)
            plain = kind in ("JFIF", "Adobe")
            yield None if plain and kind not in seen else f"APP{code & 15} segment" if plain else kind
            seen.add(kind)
    yield _NO_END


def _segment_kind(code: int, content: bytes) -> str:
    if code == _COM:
        return "comment"
    if code not in _APP:
        return f"{code:02X} segment"
    number = code - _APP.start
    if number == 0 and len(content) == 14 and content.startswith(b"JFIF\0") and content.endswith(b"\0\0"):
        return "JFIF"  # whose last bytes are the sides of a thumbnail
    if number == 14 and len(content) == 12 and content.startswith(b"Adobe"):
        return "Adobe"
    known = (kind for at, head, kind in _SEGMENTS if at == number and content.startswith(head))
    return next(known, f"APP{number} segment")


def _walk_webp(data: bytes) -> Iterator[str | None]:
    """What each chunk is, None for one that is allowed."""
    at, seen = 12, set[str]()
    end = 8 + int.from_bytes(data[4:8], "little")
    while at + 8 <= min(end, len(data)):
        code, size = struct.unpack_from("<4sI", data, at)
        name, at = _name(code), at + 8 + size
        fits = name in _WEBP_ONCE - seen and (name != "VP8X" or size == _VP8X_BYTES)
        yield None if fits else _WEBP_KINDS.get(name, f"{name.strip()} chunk")
        seen.add(name)
        if size % 2:
            yield _BETWEEN if data[at : at + 1].strip(b"\0") else None
            at += 1
    if at != end:
        yield _BETWEEN if at < end else _NO_END
    if end != len(data):
        yield _BEHIND if end < len(data) else _NO_END


def _name(code: bytes) -> str:
    """The name of a chunk, to be printed."""
    return code.decode("ascii") if re.fullmatch(rb"[A-Za-z0-9]{3}[A-Za-z0-9 ]", code) else "????"
