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
        end = _pass(footer, 0, _STRUCT, (), 0, found)
    except IndexError:
        end = len(footer) + 1
    if end > len(footer):
        raise ValueError("a footer that is cut short")
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


def _pass(data: bytes, at: int, kind: int, path: tuple[int, ...], depth: int, found: set[int]) -> int:
    """Go over the value at `at`, adding every codec in it to `found`; returns where the next begins.

    A data set has thousands of these: the value's bytes are only passed where nothing hangs on them.
    """
    if depth > _DEEPEST:
        raise ValueError("a footer of too many levels")
    if kind in (_I16, _I32, _I64):
        number, at = _varint(data, at)
        if path == _CODEC:
            found.add((number >> 1) ^ -(number & 1))
        return at
    if kind == _BINARY:
        size, at = _varint(data, at)
        return at + size
    if kind in (_I8, _DOUBLE):
        return at + (1 if kind == _I8 else 8)
    if kind in (_LIST, _SET):
        head, at = data[at], at + 1
        count, at = _varint(data, at) if head >> 4 == 15 else (head >> 4, at)
        if head & 15 in (_TRUE, _FALSE):
            return at + count
        for _ in range(count):  # each takes a byte or more: the end of the footer ends this
            at = _pass(data, at, head & 15, path, depth + 1, found)
        return at
    if kind == _STRUCT:
        field = 0
        while head := data[at]:
            at += 1
            if head >> 4:
                field += head >> 4
            else:
                number, at = _varint(data, at)
                field = number >> 1
            if head & 15 not in (_TRUE, _FALSE):  # which are in the head of their field
                at = _pass(data, at, head & 15, (*path, field), depth + 1, found)
        return at + 1
    raise ValueError(f"a footer with a value of type {kind}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, and where what is behind it begins."""
    number = data[at]
    if number < 128:
        return number, at + 1
    number &= 127
    for shift in range(7, 70, 7):
        at += 1
        number |= (data[at] & 127) << shift
        if data[at] < 128:
            return number, at + 1
    raise ValueError("a footer with a number of more than 64 bits")
