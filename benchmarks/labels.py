"""Bytes that the labels and slide ids of a Parquet file cost."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

COLUMNS = ("label", "slide_id")


def bytes_needed(path: Path) -> int:
    """Its footer and the columns' chunks."""
    metadata = pq.read_metadata(path)
    columns = (
        metadata.row_group(group).column(at)
        for group in range(metadata.num_row_groups)
        for at in range(metadata.num_columns)
    )
    chunks = sum(column.total_compressed_size for column in columns if column.path_in_schema in COLUMNS)
    return int(metadata.serialized_size + 8 + chunks)


def bytes_read(path: Path) -> int:
    """What pyarrow asks the file for: it reads the last 64 kB, in case the footer is long."""
    file = _Counted(path)
    pq.read_table(pa.PythonFile(file, mode="r"), columns=list(COLUMNS))
    return file.count


class _Counted:
    """What pa.PythonFile asks of a file, counting."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self.count = 0

    @property
    def closed(self) -> bool:
        return self._file.closed

    def close(self) -> None:
        self._file.close()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.count += len(data)
        return data
