"""The class of a slide: how it may be spelled, where it may be written, and what happens when two places disagree."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from her2_ihc_40x import CLASSES

from ..errors import LabelError, OptionError
from ..tables import Row, read_table

#: A class with what people put in front of it.
_SPELLING = re.compile(r"(?:her2|class|score|her2[ _-](?:class|score))?[ _-]?(?:(0)|([123])\+?)", re.ASCII)
#: No scanner's pixel is outside this, in micrometres.
MPP_RANGE = (0.01, 100.0)
#: What a table may say of a slide.
FIELDS = ("label", "case_id", "mpp")


@dataclass(frozen=True)
class Claim:
    """What one source says of one field, and which source it is ("folder WSI/3+", "labels.csv, line 4")."""

    value: str
    source: str


@dataclass(frozen=True)
class SlideLabels:
    """What a table says of one slide: each field with its source, None where it says nothing.

    Attributes:
        label: its class.
        case_id: its patient, pseudonymous.
        mpp: micrometres a pixel at level 0, which overrides the slide's own; kept as it is written.
    """

    label: Claim | None = None
    case_id: Claim | None = None
    mpp: Claim | None = None

    @property
    def microns(self) -> float | None:
        """The override as a number."""
        return None if self.mpp is None else float(self.mpp.value)


@dataclass(frozen=True)
class LabelTable:
    """A labels table: slide id -> what it says, and the columns that mean nothing here, for a warning."""

    slides: Mapping[str, SlideLabels]
    ignored: tuple[str, ...] = ()


def parse_label(text: str, source: str, label_map: Mapping[str, str] | None = None) -> str:
    """Return the class that a text spells: "0", "1+", "2+" or "3+".

    Accepted, in any case and with blanks around: `0`, `1+`, `2+`, `3+`, the same without the plus (`1`), and either
    after `class`, `score`, `HER2`, `HER2 class` or `HER2 score` with a blank, a hyphen, an underscore or nothing
    between (`class_1+`, `HER2 2+`, `score3`). Nothing else: `0+`, `3 +`, `1.0`, `+1`, `ultralow`, `2+/ISH-`, `negative`
    say something that has no class here, or might, so they need `label_map`.

    Args:
        text: the label as written.
        source: where it is written, for the message.
        label_map: other spelling -> class, tried first, in any case; see `parse_label_map`.

    Raises:
        LabelError: no class; it names `--label-map`.
    """
    label = _class_of(text, label_map)
    if label is None:
        expected = f"one of {', '.join(CLASSES)}"
        remedy = f'Say which class it is: --label-map "{text.strip()[:80]}=<class>".'
        raise LabelError(source, expected, repr(text[:80]), remedy)
    return label


def spells_class(text: str) -> bool:
    """Whether a text spells a class, as `parse_label` reads it."""
    return _class_of(text, None) is not None


def _class_of(text: str, label_map: Mapping[str, str] | None) -> str | None:
    spelled = _fold(text)
    for other, label in (label_map or {}).items():
        if _fold(other) == spelled:
            return label
    match = _SPELLING.fullmatch(spelled)
    if match is None:
        return None
    return "0" if match[1] else f"{match[2]}+"


def _fold(text: str) -> str:
    return text.strip().casefold()


def parse_label_map(items: Iterable[str]) -> dict[str, str]:
    """Read `--label-map` items, "spelling=class".

    Raises:
        OptionError: no "=", no spelling, a class that is none of the four as written, one spelling for two classes, or
            a class for another, however it is spelled, but for bare numbers: 1 to 4 may be a laboratory's own code.
    """
    mapping: dict[str, str] = {}
    for item in items:
        # The last one: a spelling may hold "=", a class may not.
        spelling, equals, label = item.rpartition("=")
        spelling, label = _fold(spelling), label.strip()
        if not equals or not spelling or label not in CLASSES:
            expected = f'"spelling=class" with a class of {", ".join(CLASSES)}'
            raise OptionError("--label-map", expected, repr(item), 'Write for example "ultralow=0".')
        if _class_of(spelling, None) not in (None, label) and spelling not in ("1", "2", "3"):
            raise OptionError(
                f"--label-map {spelling}", "another spelling of a class", "a class", "Correct the labels."
            )
        if mapping.setdefault(spelling, label) != label:
            found = f"{mapping[spelling]} and {label}"
            raise OptionError(f"--label-map {spelling}", "one class", found, "Keep one of them.")
    return mapping


def folder_label(slide: Path, root: Path, label_map: Mapping[str, str] | None = None) -> Claim | None:
    """Return the class that the folders of a slide spell, None if none does.

    Every folder between `root` and the slide is read as by `parse_label`; names that spell no class ("WSI", "batch 7")
    say nothing. So is `root` itself (`WSI/3+`), unless its name is a bare number: a project's folder may well be called
    "2". What is above it says nothing.

    Args:
        slide: the slide's file, or the folder that it has for itself, under `root`.
        root: the folder that was given.
        label_map: as for `parse_label`.

    Raises:
        LabelError: two of the folders disagree.
        ValueError: the slide is not under `root`.
    """
    name = root.resolve().name
    folders = [*([] if name.isdigit() else [name]), *slide.relative_to(root).parts[:-1]]
    read = [(folder, _class_of(folder, label_map)) for folder in folders]
    claims = [Claim(label, f"folder {folder}") for folder, label in read if label is not None]
    agree(f"slide {slide.name}", "label", claims)
    return claims[0] if claims else None


def agree(subject: str, what: str, claims: Iterable[Claim | None]) -> str | None:
    """Return the one value that all sources give, None if none gives any.

    Args:
        subject: what it is about, e.g. "slide S1".
        what: the field's name.
        claims: what each source says; None says nothing.

    Raises:
        LabelError: two sources disagree; it names both and what each says.
    """
    first: Claim | None = None
    for claim in claims:
        if claim is None:
            continue
        first = first or claim
        if claim.value != first.value:
            found = f"{first.value} ({first.source}) and {claim.value} ({claim.source})"
            raise LabelError(subject, f"one {what}", found, "Correct one of the two.")
    return None if first is None else first.value


def read_labels(path: Path, label_map: Mapping[str, str] | None = None, wanted: Sequence[str] = FIELDS) -> LabelTable:
    """Read a table with `slide_id` and any of `label`, `case_id`, `mpp`, one slide a row.

    A slide may have several rows: they add to each other, and must not disagree. `mpp` may have a decimal comma.

    Args:
        path: the CSV file; see `read_table` for what is accepted.
        label_map: as for `parse_label`.
        wanted: of the three, those of which a table with rows must tell one.

    Raises:
        LabelError: the file is no such table, or tells nothing that is wanted, a row lacks `slide_id`, a label is no
            class, an mpp is no number from 0.01 to 100, or two rows of a slide disagree.
    """
    table = read_table(path, required=("slide_id",), known=FIELDS)
    rows: dict[str, list[SlideLabels]] = {}
    for row in table.rows:
        if "slide_id" not in row.cells:
            raise LabelError(row.source, "a slide_id", "none", "Fill it in, or remove the row.")
        rows.setdefault(row.cells["slide_id"], []).append(_labels(row, label_map))
    if table.rows and not any(row.cells.keys() & set(wanted) for row in table.rows):
        raise _untold(path, table.columns, wanted)
    return LabelTable({slide_id: _merge(slide_id, several) for slide_id, several in rows.items()}, table.ignored)


def _untold(path: Path, columns: Sequence[str], wanted: Sequence[str]) -> LabelError:
    """The error of a table that tells nothing that is wanted: a column is missing, or its cells are empty."""
    if empty := [column for column in columns if column in wanted]:
        expected, found = f"a value of {' or '.join(empty)}", "only empty cells"
        return LabelError(str(path), expected, found, "Fill in those that are known.")
    others = ", ".join(column for column in columns if column != "slide_id") or "no other"
    expected = f"a column {' or '.join(wanted)}"
    return LabelError(str(path), expected, f"{others} columns", "Name the columns in the first line.")


def _labels(row: Row, label_map: Mapping[str, str] | None) -> SlideLabels:
    label, case_id, mpp = (row.cells.get(column) for column in ("label", "case_id", "mpp"))
    return SlideLabels(
        None if label is None else Claim(parse_label(label, row.source, label_map), row.source),
        None if case_id is None else Claim(case_id, row.source),
        None if mpp is None else Claim(repr(_microns(mpp, row.source)), row.source),
    )


def _microns(text: str, source: str) -> float:
    least, most = MPP_RANGE
    try:
        # Two commas, or a comma and a point, could be thousands: float refuses both.
        microns = float(text.replace(",", ".")) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        microns = math.nan
    if not least <= microns <= most:
        expected = f"mpp as a number from {least:g} to {most:g}"
        raise LabelError(source, expected, repr(text[:40]), "Give micrometres a pixel at level 0, for example 0.25.")
    return microns


def _merge(slide_id: str, rows: list[SlideLabels]) -> SlideLabels:
    def one(what: str, claims: list[Claim | None]) -> Claim | None:
        agree(f"slide {slide_id}", what, claims)
        return next((claim for claim in claims if claim is not None), None)

    return SlideLabels(
        one("label", [row.label for row in rows]),
        one("case_id", [row.case_id for row in rows]),
        one("mpp", [row.mpp for row in rows]),
    )
