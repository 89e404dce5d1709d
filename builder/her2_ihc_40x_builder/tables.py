"""Small tables that people make: CSV as spreadsheets write it, read strictly enough that no row is misunderstood."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import LabelError
from .places import SPECIAL, SPECIAL_REMEDY, is_special

#: A row for each patch of a release forty times this one's size fits; more is refused, so that memory is bounded.
MAX_BYTES = 64 * 2**20
MAX_ROWS = 500_000
MAX_COLUMNS = 1_000
DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        source: file and line, for messages.
        cells: column -> text without surrounding blanks; blank cells are left out.
    """

    source: str
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        rows: its rows that are not blank.
        ignored: columns that are not known, for a warning.
        columns: all that the header names, in its order.
    """

    rows: tuple[Row, ...]
    ignored: tuple[str, ...]
    columns: tuple[str, ...] = ()


def read_table(path: Path, required: Sequence[str], known: Sequence[str]) -> Table:
    """Read a CSV file with a header: UTF-8 with or without a mark, parted by comma, semicolon or tab.

    Columns may be in any order and case, with blanks or hyphens for underscores ("Slide ID"). Blank lines are skipped.

    Args:
        path: the file.
        required: columns that must be there.
        known: columns that may be there.

    Raises:
        LabelError: it is no plain file or cannot be read, is over 64 MiB, 500,000 rows or 1,000 columns, is no UTF-8 or
            no CSV, lacks a column or has one twice, or a row has more cells than there are columns.
    """
    text = _text(path)
    header = next((line for line in io.StringIO(text, newline="") if line.strip(DELIMITERS + ' "\r\n')), "")
    delimiter = _delimiter(header, required, known, path)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: list[str] | None = None
    rows: list[Row] = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            source = f"{path}, line {reader.line_num}"
            if columns is None:
                columns = _columns(cells, source)
            elif any(cell.strip() for cell in cells[len(columns) :]):
                found = f"{len(cells)} cells"
                raise LabelError(
                    source, f"{len(columns)} columns", found, 'Quote cells that hold the delimiter: "a,b".'
                )
            elif len(rows) == MAX_ROWS:
                raise LabelError(str(path), f"at most {MAX_ROWS} rows", "more", "Keep the rows needed.")
            else:
                # A short row lacks its last cells: they are unknown, like blank ones.
                pairs = zip(columns, cells, strict=False)
                rows.append(Row(source, {column: cell.strip() for column, cell in pairs if column and cell.strip()}))
    except csv.Error as error:
        raise LabelError(
            f"{path}, line {reader.line_num}", "a row of CSV", str(error), "Save it again as CSV."
        ) from error
    ignored = sorted(set(columns or ()) - set(required) - set(known) - {""})
    return Table(tuple(rows), tuple(ignored), tuple(filter(None, columns or ())))


def _text(path: Path) -> str:
    if is_special(path):
        raise LabelError(str(path), "a CSV file", SPECIAL, SPECIAL_REMEDY)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise LabelError(str(path), "a CSV file", error.strerror or str(error), "Check the path.") from error
    if len(data) > MAX_BYTES:
        raise LabelError(str(path), f"at most {MAX_BYTES >> 20} MiB", "more", "Keep the rows and columns needed.")
    remedy = 'Save it as "CSV UTF-8".'
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LabelError(str(path), "UTF-8", f"other bytes at {error.start}", remedy) from error
    if "\0" in text:
        raise LabelError(str(path), "UTF-8", "NUL characters: UTF-16, or no text", remedy)
    return text


def _delimiter(header: str, required: Sequence[str], known: Sequence[str], path: Path) -> str:
    """Return the delimiter by which most of the header's names are known."""
    names = {delimiter: {_name(cell) for cell in header.split(delimiter)} for delimiter in DELIMITERS}
    wanted = {*required, *known}
    best = max(DELIMITERS, key=lambda delimiter: len(wanted & names[delimiter]))
    if not names[best] >= set(required) or not wanted & names[best]:
        expected = f"a header with {', '.join(required or known)}"
        raise LabelError(str(path), expected, repr(header[:200]), "Name the columns in the first line.")
    return best


def _columns(cells: Sequence[str], source: str) -> list[str]:
    if len(cells) > MAX_COLUMNS:
        raise LabelError(source, f"at most {MAX_COLUMNS} columns", f"{len(cells)}", "Keep the columns needed.")
    columns = [_name(cell) for cell in cells]
    twice = sorted(column for column, times in Counter(columns).items() if column and times > 1)
    if twice:
        raise LabelError(source, "each column once", f"{', '.join(twice)} twice", "Rename or remove one.")
    return columns


def _name(cell: str) -> str:
    return cell.strip().strip('"').strip().casefold().replace(" ", "_").replace("-", "_")
