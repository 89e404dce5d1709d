"""How the columns of a Parquet file are compressed, read from its footer without pyarrow.

pyarrow 26 ends the whole process when it is asked for a codec that does not exist, or to write such a footer again. So
the footer is gone through here before pyarrow opens the file.
Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md, and parquet.thrift of
https://github.com/apache/parquet-format.
"""

from __future__ import annotations

from typing import IO

UNCOMPRESSED = 0
MAX_FOOTER_BYTES = 16 << 20
#: What most footers fit in, so that one request brings them.
_TAIL = 1 << 16
_MAGIC = b"PAR1"
#: FileMetaData.row_groups, RowGroup.columns, ColumnChunk.meta_data, ColumnMetaData.codec.
_CODEC = (4, 1, 3, 4)
_TRUE, _FALSE, _I8, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12
_DEEPEST = 16


def column_codecs(footer: bytes) -> set[int]:
    """The codecs of all columns in all row groups, as numbers of parquet.thrift's CompressionCodec.

    Raises:
        ValueError: it is no footer.
    """
    found: set[int] = set()
    try:
        _Footer(footer, found).read(_STRUCT, ())
    except IndexError:
        raise ValueError("a footer that is cut short") from None
    return found


def read_footer(file: IO[bytes]) -> bytes:
    """The footer of a Parquet file.

    Raises:
        ValueError: it is no Parquet file, or its footer is over 16 MiB.
    """
    size = file.seek(0, 2)
    file.seek(max(0, size - _TAIL))
    tail = file.read(_TAIL)
    length = int.from_bytes(tail[-8:-4], "little")
    if tail[-4:] != _MAGIC or not 0 < length <= min(size - 8, MAX_FOOTER_BYTES):
        raise ValueError("no footer of Parquet")
    if length + 8 > len(tail):
        file.seek(size - 8 - length)
        tail = file.read(length + 8)
    return tail[-8 - length : -8]


class _Footer:
    """Goes through a footer once, and adds every codec in it to `found`."""

    def __init__(self, data: bytes, found: set[int]) -> None:
        self._data, self._at, self._found = data, 0, found

    def read(self, kind: int, path: tuple[int, ...], depth: int = 0) -> None:
        """Read a value; `path` are the numbers of the fields that it is in."""
        if depth > _DEEPEST:
            raise ValueError("a footer of too many levels")
        if kind in (_I16, _I32, _I64):
            number = self._varint()
            if path == _CODEC:
                self._found.add((number >> 1) ^ -(number & 1))
        elif kind == _BINARY:
            self._skip(self._varint())
        elif kind in (_I8, _DOUBLE):
            self._skip(1 if kind == _I8 else 8)
        elif kind in (_LIST, _SET):
            head = self._byte()
            count = self._varint() if head >> 4 == 15 else head >> 4
            for _ in range(count):  # each takes a byte or more: the end of the footer ends this
                self.read(_I8 if head & 15 in (_TRUE, _FALSE) else head & 15, path, depth + 1)
        elif kind == _STRUCT:
            field = 0
            while head := self._byte():
                field = field + (head >> 4) if head >> 4 else self._varint() >> 1
                self.read(head & 15, (*path, field), depth + 1)
        elif kind not in (_TRUE, _FALSE):  # which are in the head of their field
            raise ValueError(f"a footer with a value of type {kind}")

    def _skip(self, size: int) -> None:
        if size > len(self._data) - self._at:
            raise IndexError
        self._at += size

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _varint(self) -> int:
        number = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
        raise ValueError("a footer with a number of more than 64 bits")
