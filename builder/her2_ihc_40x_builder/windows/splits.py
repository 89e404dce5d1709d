"""Which side of each split a slide or a patch is on, so that the same slides are always split the same way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Literal

from her2_ihc_40x import CLASSES

from ..errors import LabelError, OptionError, SlideError
from ..geometry import Box
from ..spelling import plain_name, spellings, told_apart
from ..tables import Row, read_table
from .order import draw
from .overlap import first_joined

Side = Literal["train", "test"]
PatchSplit = Literal["overlap", "authors"]


@dataclass(frozen=True)
class SplitSlide:
    """What the split of slides looks at.

    Attributes:
        slide_id: its name, for messages alone: nothing is drawn or ordered by it.
        key: its content key.
        score: its HER2 score, one of the four classes.
        case_id: its patient, or None where unknown: then the slide stands for itself.
    """

    slide_id: str
    key: str
    score: str
    case_id: str | None = None


@dataclass(frozen=True)
class SlideSides:
    """The side of each slide in `wsi_split`.

    Attributes:
        sides: content key -> side, sorted by key.
        warnings: what a person should know, as sentences.
    """

    sides: Mapping[str, Side]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class GivenSides:
    """The sides that a CSV gives, each empty where it has no such columns.

    Attributes:
        wsi: slide id -> side.
        patch: patch id -> side.
        ignored: columns that mean nothing here, for a warning.
    """

    wsi: Mapping[str, Side]
    patch: Mapping[str, Side]
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Unit:
    """What is never divided: the slides of a patient, or one slide of no known patient."""

    slides: tuple[SplitSlide, ...]
    order: tuple[float, str] = field(compare=False)

    @property
    def score(self) -> str:
        return max((slide.score for slide in self.slides), key=CLASSES.index)

    @property
    def name(self) -> str:
        case = self.slides[0].case_id
        return ", ".join(sorted(slide.slide_id for slide in self.slides)) if case is None else f"patient {case}"


def wsi_sides(
    slides: Iterable[SplitSlide],
    fraction: float = 0.2,
    seed: int = 0,
    previous: Mapping[str, Side] | None = None,
) -> SlideSides:
    """Split slides, or patients where known, stratified by score.

    A unit is a patient's slides, or one slide of no known patient; its score is the highest of its slides. Within a
    score, n units come in the order of a hash of the seed and their content keys (of a patient's, the least hash), and
    the first of them go to test: fraction x n, halves rounded up, at least 1 and at most n - 1. A single unit goes to
    train, with a warning.

    So names, patients' names, and the order of `slides` move nothing. A slide that comes or goes moves at most one
    other unit, and that in its own score; one that joins a known patient may move this patient, and at most one other
    unit in each of the scores that it had and has. With `previous`, slides that it holds stay, a new slide of a known
    patient joins it, and other new units fill the test side up to the number above: nothing else moves.

    Args:
        slides: all slides of the build.
        fraction: the share of units to test, above 0 and below 1.
        seed: the build's seed.
        previous: content key -> side of an earlier build; keys that are no longer there are ignored.

    Raises:
        Her2Error: a fraction out of range.
        SlideError: two slides of one content key.
        LabelError: a score that is no class, or a patient whom `previous` has on both sides.
    """
    share = _fraction(fraction)
    units = _units(slides, seed)
    kept = {unit: _known_side(unit, previous or {}) for unit in units}
    sides: dict[str, Side] = {}
    warnings = []
    for score in CLASSES:
        stratum = [unit for unit in units if unit.score == score]
        wanted = _test_count(len(stratum), share)
        new = [unit for unit in stratum if kept[unit] is None]
        missing = max(0, wanted - sum(kept[unit] == "test" for unit in stratum))
        to_test = set(new[:missing])
        for unit in stratum:
            side: Side = kept[unit] or ("test" if unit in to_test else "train")
            sides.update((slide.key, side) for slide in unit.slides)
        if len(stratum) == 1:
            side = sides[stratum[0].slides[0].key]
            warnings.append(f"score {score} has one slide or patient only ({stratum[0].name}): it is in {side}.")
    return SlideSides(dict(sorted(sides.items())), tuple(warnings))


def given_wsi_sides(slides: Iterable[SplitSlide], given: Mapping[str, Side]) -> SlideSides:
    """Split slides as a CSV says.

    Args:
        slides: all slides of the build.
        given: slide id -> side; ids of slides that are not there become a warning.

    Raises:
        SlideError: two slides of one content key.
        LabelError: a slide that it does not name, or a patient on both sides.
    """
    units = _units(slides, 0)
    everything = [slide for unit in units for slide in unit.slides]
    for slide in everything:
        if slide.slide_id not in given:
            alike = spellings(given).get(plain_name(slide.slide_id), ())
            near = told_apart(alike, spellings([slide.slide_id]))
            found, remedy = (f"none; {near}", "Write both alike.") if near else ("none", "Add a row for it.")
            raise LabelError(f"slide {slide.slide_id}", "a side in --splits", found, remedy)
    sides = {slide.key: given[slide.slide_id] for slide in everything}
    for unit in units:
        _known_side(unit, sides)
    unknown = sorted(set(given) - {slide.slide_id for slide in everything})
    warnings = []
    if unknown:
        near = told_apart(unknown, spellings(slide.slide_id for slide in everything))
        some = ", ".join(unknown[:10])
        warnings.append(f"--splits names {len(unknown)} slides that are not there: {some}{near and '; '}{near}.")
    return SlideSides(dict(sorted(sides.items())), tuple(warnings))


def read_splits(path: Path) -> GivenSides:
    """Read sides from a CSV with `slide_id` and `wsi_split`, `patch_id` and `patch_split`, or all four.

    Args:
        path: the file; see `read_table` for what is accepted. A slide or patch may be named in many rows.

    Raises:
        LabelError: it has neither pair of columns, a side that is neither train nor test, a side without an id, or two
            sides of one id.
    """
    table = read_table(path, required=(), known=("slide_id", "wsi_split", "patch_id", "patch_split"))
    wsi: dict[str, Side] = {}
    patch: dict[str, Side] = {}
    for row in table.rows:
        _take(row, "slide_id", "wsi_split", wsi)
        _take(row, "patch_id", "patch_split", patch)
    if not wsi and not patch:
        expected = "columns slide_id and wsi_split, or patch_id and patch_split, and a row"
        if {"wsi_split", "patch_split"}.intersection(table.columns) and table.rows:
            raise LabelError(str(path), expected, "only empty cells of a side", "Fill in the sides that are known.")
        raise LabelError(str(path), expected, "none", "Name the columns in the first line.")
    return GivenSides(wsi, patch, table.ignored)


def _take(row: Row, id_column: str, side_column: str, sides: dict[str, Side]) -> None:
    name, side = row.cells.get(id_column), row.cells.get(side_column, "").casefold()
    if not side:
        return
    if name is None or side not in ("train", "test"):
        found = f"{side!r} for {name!r}"
        raise LabelError(row.source, f"train or test for a {id_column}", found, "Correct the row.")
    known: Side = "train" if side == "train" else "test"
    if sides.setdefault(name, known) != known:
        raise LabelError(row.source, f"one side for {name}", "train and test", "Correct one of its rows.")


def patch_sides(
    slide_key: str,
    windows: Sequence[Box],
    fraction: float = 0.2,
    seed: int = 0,
    mode: PatchSplit = "overlap",
) -> tuple[Side, ...]:
    """Split the windows of one slide; other slides have no part in it.

    A window goes to test if a hash of the seed, the slide's content key and the window, spread over 0 to 1, is below
    the fraction. With "overlap", windows that share a pixel, directly or by way of others, go where the first of them
    (by y, then x) goes, so that no pixel is on both sides; with "authors" each goes its own way, and pixels leak.

    Args:
        slide_key: the slide's content key.
        windows: in level-0 pixels, in any order.
        fraction: the expected share of patches to test, above 0 and below 1; of a few windows it is seldom met.
        seed: the build's seed.
        mode: "overlap" or "authors".

    Returns:
        A side for each window, in the order of `windows`.

    Raises:
        Her2Error: a fraction out of range, or an unknown mode.
    """
    share = float(_fraction(fraction))
    if mode not in ("overlap", "authors"):
        raise OptionError("--patch-split", "overlap or authors", str(mode), "Choose one of these.")
    decisive = first_joined(windows) if mode == "overlap" else windows
    return tuple("test" if draw(seed, "patch_split", slide_key, window) < share else "train" for window in decisive)


def _fraction(fraction: float) -> Decimal:
    if not 0 < fraction < 1:
        raise OptionError("--test-fraction", "a number above 0 and below 1", f"{fraction:g}", "0.2 is usual.")
    # A decimal, so that 0.29 x 50 is 14.5 and rounds up; as binary fractions it is 14.499...
    return Decimal(repr(float(fraction)))


def _test_count(units: int, share: Decimal) -> int:
    if units < 2:
        return 0
    return min(units - 1, max(1, int((share * units).to_integral_value(ROUND_HALF_UP))))


def _units(slides: Iterable[SplitSlide], seed: int) -> list[_Unit]:
    """Gather slides by patient, in the order in which the units are drawn."""
    groups: dict[tuple[str, str], list[SplitSlide]] = {}
    by_key: dict[str, SplitSlide] = {}
    for slide in slides:
        twin = by_key.setdefault(slide.key, slide)
        if twin is not slide:
            subject = f"slides {twin.slide_id} and {slide.slide_id}"
            raise SlideError(subject, "different slides", "the same content", "Remove one of the two.")
        if slide.score not in CLASSES:
            raise LabelError(f"slide {slide.slide_id}", " or ".join(CLASSES), slide.score, "Use --label-map.")
        group = ("slide", slide.key) if slide.case_id is None else ("case", slide.case_id)
        groups.setdefault(group, []).append(slide)
    units = [
        _Unit(
            tuple(sorted(group, key=lambda slide: slide.key)),
            # The key settles the order should two hashes ever be equal.
            min((draw(seed, "wsi_split", slide.key), slide.key) for slide in group),
        )
        for group in groups.values()
    ]
    return sorted(units, key=lambda unit: unit.order)


def _known_side(unit: _Unit, sides: Mapping[str, Side]) -> Side | None:
    """Return the side that a unit's slides have, None if none has one; refuse both."""
    first: dict[Side, SplitSlide] = {}
    for slide in unit.slides:
        if slide.key in sides:
            first.setdefault(sides[slide.key], slide)
    if len(first) == 2:
        raise LabelError(
            unit.name,
            "one side for all slides of a patient",
            f"{first['train'].slide_id} in train and {first['test'].slide_id} in test",
            "Correct --splits, or build without --previous.",
        )
    return next(iter(first), None)
