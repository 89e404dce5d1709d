"""Write patches as Parquet shards: one unit (a slide, or a block of a release), one file for each pair of sides.

The settings follow from how the files are read and sent. Row groups of 8 rows bound a reader's memory; one row a data
page, uncompressed images and no content-defined chunking make equal data equal bytes, so that a re-upload sends only
what changed (figures in docs/decisions.md).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from her2_ihc_40x import FEATURES

from .codecs import UNCOMPRESSED, column_codecs, read_footer

ROW_GROUP_ROWS = 8
#: Of images: a row group that has as much takes no further row.
ROW_GROUP_BYTES = 64 << 20
MAX_FILE_BYTES = 500_000_000
_READ_BUFFER = 1 << 16
_MAX_NAME = 120

SCHEMA: pa.Schema = FEATURES.arrow_schema
_SCALARS = [name for name in SCHEMA.names if name != "image"]


@dataclass(frozen=True, order=True)
class Sides:
    """The sides that a patch is on, one for each config: "train", "test", or "none" if it is not in that config."""

    wsi: str
    patch: str

    @property
    def folder(self) -> str:
        """The folder, below the data set's root, of the files with these sides."""
        return f"data/wsi_{self.wsi}/patch_{self.patch}"


@dataclass(frozen=True, order=True)
class Shard:
    """A file that was written.

    Args:
        path: from the data set's root, with "/".
        sha256: of the file.
        bytes: its size.
        rows: patches in it.
        unit: the slide or block that its patches are of.
    """

    path: str
    sha256: str
    bytes: int
    rows: int
    unit: str


def open_shard(source: Path | IO[bytes], size: int) -> pq.ParquetFile:
    """Open a shard to read its columns; a context manager.

    A few bytes of Parquet can stand for more rows, or for a larger image in each of them, than there is memory: what
    the footer says is compared with what this module writes before a column is read.

    Args:
        source: the file.
        size: its bytes, as they are told.

    Raises:
        ValueError, OSError, pa.ArrowException: it is no shard of ours.
    """
    if isinstance(source, Path) and not source.is_file():
        raise ValueError("no file")
    with source.open("rb") if isinstance(source, Path) else nullcontext(source) as stored:
        footer = read_footer(stored)
        size = min(size, stored.seek(0, os.SEEK_END))
    if column_codecs(footer) - {UNCOMPRESSED}:
        raise ValueError("a compressed column")
    alone = pa.BufferReader(b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1")  # it is read once
    metadata = pq.read_metadata(alone)
    # From the disk a column is read on the way, not whole before its first value.
    local = isinstance(source, Path)
    buffer = _READ_BUFFER if local else 0
    file = pq.ParquetFile(source, metadata=metadata, memory_map=False, pre_buffer=not local, buffer_size=buffer)
    try:
        if not file.schema_arrow.equals(SCHEMA):
            raise ValueError("other columns or types than every shard has")
        _check_groups(file.metadata, size)
    except BaseException:
        file.close()
        raise
    return file


def _check_groups(metadata: pq.FileMetaData, size: int) -> None:
    """Refuse row groups that together stand for more than the file's bytes, as one that is listed again and again."""
    chunks: list[tuple[int, int]] = []
    left = size
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        left -= group.total_byte_size
        if not 0 < group.num_rows <= ROW_GROUP_ROWS or group.total_byte_size < 0 or left < 0:
            raise ValueError(f"a row group of {group.num_rows} rows and {group.total_byte_size} bytes")
        for column in map(group.column, range(group.num_columns)):
            if column.has_dictionary_page:
                raise ValueError("a column in a dictionary")
            chunks.append((column.data_page_offset, column.total_compressed_size))
    end = 0
    for start, length in sorted(chunks):
        if length <= 0 or start < end or start + length > size:
            raise ValueError(f"{length} bytes of a column at {start}, outside of the file or in another's place")
        end = start + length


def file_stem(unit: str) -> str:
    """A file name for a unit that every file system, glob and URL takes, and that mixes units in path order.

    Bytes outside A-Z a-z 0-9 + _ . - are written as ~3A; the hash in front keeps names apart when case is folded or a
    long name is cut.
    """
    escaped = "".join(
        chr(byte) if re.match(rb"[A-Za-z0-9+_.-]", bytes([byte])) else f"~{byte:02X}"
        for byte in unit.encode("utf-8", "surrogatepass")
    )
    return f"{hashlib.sha256(unit.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}-{escaped[:_MAX_NAME]}"


def is_file_of(unit: str, name: str) -> bool:
    """Whether a file name is one that `UnitWriter` gives to a file of a unit."""
    return re.fullmatch(re.escape(file_stem(unit)) + r"(\.part-[0-9]{3,})?\.parquet", name) is not None


class UnitWriter:
    """Writes the rows of one unit below `root`, as they come, with at most a row group of each file in memory.

    A context manager: files are complete and on the disk when it is left without an error. `root` must be a folder that
    nobody reads yet.

    Args:
        root: the folder that will be the data set's root.
        unit: the slide or block that all rows are of.
    """

    def __init__(self, root: Path, unit: str) -> None:
        self._root = root
        self._unit = unit
        self._files: dict[Sides, _OpenFile] = {}
        self._parts: dict[Sides, int] = {}
        self._done: list[Shard] = []

    def write(self, sides: Sides, row: Mapping[str, Any]) -> None:
        """Add a row (a value for each column of `her2_ihc_40x.FEATURES`) to the file of its sides."""
        file = self._files.get(sides)
        if file is not None and file.bytes > MAX_FILE_BYTES:
            self._done.append(self._files.pop(sides).close())
            file = None
        if file is None:
            part = self._parts[sides] = self._parts.get(sides, 0) + 1
            name = file_stem(self._unit) + ("" if part == 1 else f".part-{part:03d}") + ".parquet"
            file = self._files[sides] = _OpenFile(self._root, f"{sides.folder}/{name}", self._unit)
        file.add(row)

    def __enter__(self) -> UnitWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files.values():
            if error is None:
                self._done.append(file.close())
            else:
                file.abandon()
        self._files.clear()

    @property
    def shards(self) -> list[Shard]:
        """The files that are complete, in path order."""
        return sorted(self._done)

    def remove(self) -> None:
        """Remove every file of the unit, whole or not, that is below `root`."""
        for path in sorted(self._root.glob(f"data/*/*/{file_stem(self._unit)}.*")):
            path.unlink()


class _OpenFile:
    """A Parquet file that is being written; its hash is taken on the way."""

    def __init__(self, root: Path, path: str, unit: str) -> None:
        self._path, self._unit = path, unit
        self._rows: list[Mapping[str, Any]] = []
        self._image_bytes = 0
        self._count = 0
        self._hash = hashlib.sha256()
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        self._file = (root / path).open("xb")
        self.bytes = 0
        self._writer = pq.ParquetWriter(
            pa.PythonFile(self, mode="w"),
            SCHEMA,
            compression="none",
            use_dictionary=False,
            write_statistics=_SCALARS,
            write_page_index=True,
            write_batch_size=1,
            data_page_size=1,
            **({"use_content_defined_chunking": False} if _HAS_CHUNKING else {}),
        )

    # What pa.PythonFile asks of a file.
    closed = False

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self._file.write(data)
        self.bytes += len(data)
        return len(data)

    def tell(self) -> int:
        return self.bytes

    def flush(self) -> None:
        self._file.flush()

    def add(self, row: Mapping[str, Any]) -> None:
        self._rows.append(row)
        self._image_bytes += len((row["image"] or {}).get("bytes") or b"")
        if len(self._rows) == ROW_GROUP_ROWS or self._image_bytes >= ROW_GROUP_BYTES:
            self._write_group()

    def _write_group(self) -> None:
        columns = [pa.array([row[name] for row in self._rows], SCHEMA.field(name).type) for name in SCHEMA.names]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA), row_group_size=ROW_GROUP_ROWS)
        self._count += len(self._rows)
        self._rows.clear()
        self._image_bytes = 0

    def close(self) -> Shard:
        if self._rows:
            self._write_group()
        self._writer.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return Shard(self._path, self._hash.hexdigest(), self.bytes, self._count, self._unit)

    def abandon(self) -> None:
        self._file.close()


_HAS_CHUNKING = int(pa.__version__.split(".")[0]) >= 21  # the argument came with pyarrow 21; before it there was none


def digest(shards: Iterable[Shard]) -> str:
    """A digest of all files of a data set, by path and content."""
    lines = (f"{shard.path} {shard.sha256}\n" for shard in sorted(shards))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
