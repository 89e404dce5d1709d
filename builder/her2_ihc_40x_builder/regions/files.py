"""What kind of file something is, by its first bytes or its name, and its text within limits set on purpose."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from ..errors import RegionError
from ..places import SPECIAL, is_special, walk
from .names import shown

FileKind = Literal["png", "xml", "json"]

#: An annotation file larger than this holds detections; parsed, it would take ten times as much memory.
MAX_BYTES = 32 * 1024 * 1024
#: Files under one folder of regions.
MAX_FILES = 100_000

_PNG = b"\x89PNG\r\n\x1a\n"
#: What a file must be that is called so: whatever its first bytes are, it was meant to hold regions.
_CALLED: dict[str, FileKind] = {".png": "png", ".json": "json", ".geojson": "json", ".xml": "xml"}
#: Neighbours of region files that are no region files, by name.
NEIGHBOURS = frozenset(
    [
        ".svs",
        ".tif",
        ".tiff",
        ".ndpi",
        ".vms",
        ".vmu",
        ".scn",
        ".mrxs",
        ".bif",
        ".svslide",
        ".czi",
        ".dcm",
        ".dat",
        ".ini",
        ".csv",
        ".txt",
        ".md",
        ".pdf",
    ]
)


def region_files(path: Path) -> Iterator[Path]:
    """Return the file itself, or every entry under a folder that is no folder, hidden ones left out, in path order.

    Raises:
        RegionError: nothing is there, a folder that cannot be looked into, or more files than a folder of regions has.
    """
    if path.is_file():
        yield path
        return
    if not path.is_dir():
        there = SPECIAL if is_special(path) else "nothing"
        raise RegionError(shown(path), "a file or a folder of regions", there, "Check the path given as --regions.")
    found: list[Path] = []
    for folder, folders, names in walk(path, _refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(folder, name) for name in names if not name.startswith(".")]
        if len(found) > MAX_FILES:
            raise RegionError(shown(path), f"at most {MAX_FILES} files", "more", "Give the folder of regions alone.")
    yield from sorted(file for file in found if file.suffix.lower() not in NEIGHBOURS)


def _refuse(folder: Path, why: str) -> None:
    remedy = "Check its permissions, or move it out of the folder of regions."
    raise RegionError(shown(folder), "a folder that can be looked into", why, remedy)


def kind_of(path: Path) -> FileKind | None:
    """Return what a file is, by its content, else by its suffix; None if neither speaks of regions.

    A damaged file of regions thus reaches the reader of its kind, which refuses it: passed over, it would be missed.

    Raises:
        RegionError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise RegionError(shown(path), "a readable file", str(error), "Check its permissions.") from error
    if head.startswith(_PNG):
        return "png"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<"):
        return "xml"
    return "json" if text.startswith((b"{", b"[")) else _CALLED.get(path.suffix.lower())


def check_bytes(path: Path) -> None:
    """Raise a RegionError if a file of annotations is too large to be one."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        remedy = "Export annotations only (no detections), or one file a slide."
        raise RegionError(shown(path), f"at most {MAX_BYTES // 2**20} MiB", f"{size / 2**20:.0f} MiB", remedy)


def read_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        RegionError: too large, not JSON, nested too deep, or numbers that are none.
    """
    check_bytes(path)

    def refuse(constant: str) -> float:
        raise ValueError(f"{constant} is no number")

    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"), parse_constant=refuse)
    except RecursionError:
        raise RegionError(shown(path), "annotations", "JSON nested without end", "Export them again.") from None
    except (ValueError, OSError) as error:
        raise RegionError(shown(path), "JSON", str(error), "Export the annotations again.") from error
