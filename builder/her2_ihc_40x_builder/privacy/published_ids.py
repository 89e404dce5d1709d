"""The ids that a data set would publish, wherever they stand in it, and which of them look identifying."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote_to_bytes

import pyarrow.parquet as pq

from ..shards.manifest import Manifest
from .identifying import why_identifying, why_identifying_patch, why_identifying_region, without_place

_COLUMNS: dict[str, Callable[[str], str | None]] = {
    "slide_id": why_identifying,
    "case_id": why_identifying,
    "roi_id": why_identifying_region,
    "patch_id": why_identifying_patch,
    "image.path": why_identifying_patch,
}


@dataclass(frozen=True, order=True)
class SuspectId:
    """An id that looks identifying.

    Args:
        value: the id.
        reason: what it looks like.
        places: the columns it is in, "file name" or "manifest.json".
    """

    value: str
    reason: str
    places: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.value} looks like {self.reason} ({', '.join(self.places)})"


def suspect_ids(folder: Path, manifest: Manifest) -> tuple[SuspectId, ...]:
    """Every id that looks identifying, once, in order: in the columns, the files' names and the manifest.

    A patch's id that begins with its slide's counts as the slide's.

    Args:
        folder: a data set that was verified.
        manifest: of the folder.
    """
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for place, value, why in _ids(folder, manifest):
        if reason := why(value):
            found[without_place(value), reason].add(place)
    return tuple(sorted(SuspectId(value, reason, tuple(sorted(places))) for (value, reason), places in found.items()))


def review_code(suspects: Sequence[SuspectId]) -> str:
    """What stands for having read just this list; another id in it gives another code."""
    text = "\n".join(f"{suspect.value}\t{suspect.reason}" for suspect in suspects)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _ids(folder: Path, manifest: Manifest) -> Iterator[tuple[str, str, Callable[[str], str | None]]]:
    for shard in manifest.shards:
        yield "file name", _unit_in(shard.path), why_identifying
        with pq.ParquetFile(folder / shard.path) as file:
            table = file.read(columns=list(_COLUMNS))
        image = table.column("image").combine_chunks().field("path")
        for name, why in _COLUMNS.items():
            column = image if name == "image.path" else table.column(name)
            yield from ((name, value, why) for value in column.unique().to_pylist() if value is not None)
    for unit, entry in manifest.units.items():
        yield "manifest.json", unit, why_identifying
        yield from (("manifest.json", drop["patch_id"], why_identifying_patch) for drop in entry.get("dropped", ()))
    for name in manifest.report.get("quarantined", ()):
        yield "manifest.json", name, why_identifying
    for reference in manifest.hue_references.values():
        yield from (("manifest.json", patch_id, why_identifying_patch) for patch_id in reference.get("patch_ids", ()))


def _unit_in(path: str) -> str:
    """The name that a shard's file name holds."""
    name = re.sub(r"(\.part-\d+)?\.parquet$", "", PurePosixPath(path).name)
    name = re.sub(r"^[0-9a-f]{8}-", "", name)
    return unquote_to_bytes(name.replace("%", "%25").replace("~", "%")).decode("utf-8", "replace")
