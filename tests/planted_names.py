"""A search for names that were planted, in every byte of a folder and in what formats hide from a plain look."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image

#: What stands for a hash is its beginning, as it is in a shard's name.
_HEX = re.compile("[0-9a-f]{8}")


def texts_in(folder: Path) -> Iterable[tuple[str, bytes]]:
    """Every file's name and bytes, and what its format hides from a plain look: Parquet's values, PNG's texts."""
    for path in sorted(folder.rglob("*")):
        yield str(path.relative_to(folder)), str(path.relative_to(folder)).encode()
        if not path.is_file():
            continue
        yield path.name, path.read_bytes()
        if path.suffix == ".png":
            with Image.open(path) as image:
                yield path.name, repr(image.info).encode()
        if path.suffix == ".parquet" and path.read_bytes().endswith(b"PAR1"):
            with pq.ParquetFile(path) as file:
                yield path.name, repr((file.metadata.metadata, file.metadata.created_by)).encode()
                for row in file.read().to_pylist():
                    with Image.open(io.BytesIO(row["image"].pop("bytes"))) as image:
                        yield path.name, repr(image.info).encode()
                    yield path.name, repr(row).encode()


def found_in(markers: set[str], texts: Iterable[tuple[str, bytes]]) -> set[tuple[str, str]]:
    """Marker and place, wherever one is: as text of any case, as UTF-16, in hexadecimal."""
    forms = {
        form.lower(): marker
        for marker in markers
        for form in (marker.encode(), marker.encode("utf-16-le"), marker.encode().hex().encode())
    }
    found = set()
    for place, text in texts:
        folded = text.lower()
        digits = b" ".join(re.findall(rb"[0-9a-f]{8,}", folded))
        for form, marker in forms.items():
            if form in (digits if _HEX.fullmatch(marker) else folded):
                found.add((marker, place))
    return found
