"""Releases taken apart: unpacked, edited, damaged."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from her2_ihc_40x import IMAGE_ERRORS

Members = dict[str, bytes]

OUTER = {
    "patch_split": ("her2-ihc-40x-patch.zip", "Patch-based-dataset/{}_data_patch.zip"),
    "wsi_split": ("her2-ihc-40x-wsi.zip", "WSI-based-dataset/{}_data_wsi.zip"),
}


def read_zip(data: bytes | Path) -> Members:
    """Members of a zip by name."""
    with zipfile.ZipFile(data if isinstance(data, Path) else io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def make_zip(members: Members, method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def edit(root: Path, config: str, split: str, change: Callable[[Members], Members | None]) -> None:
    """Rewrite an inner zip of a release by a change of its members."""
    outer, inner = OUTER[config][0], OUTER[config][1].format(split)
    members = read_zip(root / outer)
    content = read_zip(members[inner])
    members[inner] = make_zip(change(content) or content)
    (root / outer).write_bytes(make_zip(members))


def unpack(root: Path, target: Path, *, inner: bool = True) -> Path:
    """Unpack the outer zips of a release, and the inner ones too if asked, as a user would."""
    for outer, _ in OUTER.values():
        for name, data in read_zip(root / outer).items():
            path = target / name
            if inner:
                for member, image in read_zip(data).items():
                    place = path.with_suffix("") / member
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(image)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
    return target


def first(members: Members, label: str = "3+") -> str:
    """The first member of a class."""
    return min(name for name in members if name.startswith(f"class_{label}/"))


def decoding_otherwise(png: bytes) -> Iterator[bytes]:
    """A PNG with one flipped byte, in each way in which Pillow decodes it to other pixels and says nothing.

    It leaves the end of the pixels unread, and so the checksum behind them, where these are many of a few colours.
    """
    pixels = _pixels(png)
    flipped = (bytes([*png[:at], png[at] ^ 0x40, *png[at + 1 :]]) for at in range(len(png)))
    return (data for data in flipped if _pixels(data) not in (None, pixels))


def _pixels(data: bytes) -> bytes | None:
    try:
        return Image.open(io.BytesIO(data), formats=("PNG",)).tobytes()
    except IMAGE_ERRORS:
        return None
