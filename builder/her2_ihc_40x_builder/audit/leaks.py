"""Checks across the sides of a split: slides, patients, windows, and what names tell."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TypeAlias

from her2_ihc_40x import ReleaseError, parse_patch_name

from ..geometry import Box
from ..spelling import plain_name, spellings
from ..windows.overlap import crossing, crossing_pairs
from .findings import MAX_EXAMPLES, Finding, Pair, Subject, groups_found, names_found, pairs_found, patches_found
from .prints import Print

#: Pairs of windows across the sides of which the worst are shown; more are of a data set that has no order.
MAX_PAIRS = 1_000_000
#: Pixels that two windows share, the patch on the test side, the other, and the share of the smaller.
_Shared: TypeAlias = tuple[int, Print, Print, float]


def check_slides(subject: Subject) -> Iterator[Finding]:
    """Slides with patches on both sides, and names on two sides that may be of one slide."""
    yield _shared(subject, "slides", "slide", "slide_id", _slide)
    yield _alike(subject, "slide_names", "slide", "slide_id", _slide)


def check_patients(subject: Subject) -> Iterator[Finding]:
    """Patients as slides are checked, by the column case_id, and by the table before it if one was given."""
    yield _shared(subject, "patients", "patient", "case_id", _case)
    yield _alike(subject, "patient_names", "patient", "case_id", _case)
    if subject.cases:
        listed = "a patient by --patients, else by case_id"
        by_table = _listed(subject)
        yield _shared(subject, "patients_listed", "patient", listed, by_table, _contradictions(subject))
        yield _alike(subject, "patient_names_listed", "patient", listed, by_table)


def _slide(patch: Print) -> str | None:
    return patch.slide_id


def _case(patch: Print) -> str | None:
    return patch.case_id


def _listed(subject: Subject) -> Callable[[Print], str | None]:
    """By the table, else by the column: one patient may be known of one slide here and of another there."""
    return lambda patch: subject.cases.get(patch.slide_id or "") or patch.case_id


def _contradictions(subject: Subject) -> str:
    """Of how many slides the table and the column name two patients, in words."""
    other = {
        patch.slide_id
        for patch in subject.prints
        if patch.case_id and subject.cases.get(patch.slide_id or "", patch.case_id) != patch.case_id
    }
    return f"of {len(other):,} slides the table names another patient than case_id does" if other else ""


def _alike(subject: Subject, check: str, what: str, column: str, key: Callable[[Print], str | None]) -> Finding:
    """Names of the test side that the training side spells otherwise, be they there as they are or not."""
    named = {side: set(filter(None, map(key, prints))) for side, prints in subject.split.items()}
    train = spellings(named["train"])
    others = {name: [other for other in train.get(plain_name(name), ()) if other != name] for name in named["test"]}
    alike = [(name, *spelled) for name, spelled in others.items() if spelled]
    return Finding(
        subject.config,
        check,
        f"No {what} of the test side has a name of the training side but for case, blanks or Unicode form.",
        len(alike),
        len(named["test"]),
        unit=f"{what}s",
        binding=False,
        unknown=_unknown(subject, column, lambda patch: bool(key(patch))),
        **groups_found(sorted(alike)),
    )


def _shared(
    subject: Subject, check: str, what: str, column: str, key: Callable[[Print], str | None], note: str = ""
) -> Finding:
    counts = {side: Counter(filter(None, map(key, prints))) for side, prints in subject.split.items()}
    both = counts["train"].keys() & counts["test"].keys()
    leaked = sum(counts["test"][name] for name in both)
    known = sum(sum(each.values()) for each in counts.values())
    notes = [_share(leaked, subject, f"come from {what}s with training patches")] if both else []
    notes += [_partly(known, len(subject.prints), column)] if 0 < known < len(subject.prints) else []
    notes += [note] if note else []
    return Finding(
        subject.config,
        check,
        f"No {what} has patches on both sides.",
        len(both),
        len(counts["train"].keys() | counts["test"].keys()),
        unit=f"{what}s",
        binding=subject.by_slide,
        unknown=_unknown(subject, column, lambda patch: bool(key(patch))),
        note="; ".join(notes),
        **names_found(both),
    )


def check_names(subject: Subject) -> Iterator[Finding]:
    """Patches of a release whose names tell that their slide is on the other side of the slide split."""
    sides = {patch.place: _sides_told(subject, patch) for patch in subject.prints}
    told = [patch for patch in subject.prints if sides[patch.place]]
    if subject.regenerated and not told:
        return
    wrong = [patch for patch in told if sides[patch.place] != {subject.side(patch)}]
    leaked = sum(subject.side(patch) == "test" for patch in wrong)
    notes = [_share(leaked, subject, "come from slides on the training side")] if wrong else []
    known, of = len(told), len(subject.prints)
    notes += [_partly(known, of, "a side, by slide_side or name,")] if 0 < known < of else []
    yield patches_found(
        subject,
        "names",
        "A patch is on the side of the slide split that its name tells.",
        wrong,
        binding=subject.by_slide,
        unknown=None if told else "no patch has slide_side",
        note="; ".join(notes),
    )


def _sides_told(subject: Subject, patch: Print) -> set[str]:
    """The side of the slide split that a patch's row tells, and in a release its name."""
    told = {patch.slide_side} if patch.slide_side is not None else set()
    if not subject.regenerated:
        with suppress(ReleaseError):
            told.add(parse_patch_name(f"{patch.name}.png")[1])
    return told


def check_windows(subject: Subject) -> Iterator[Finding]:
    """Windows of one slide that share pixels across the sides, by their coordinates."""
    slides: dict[str, list[Print]] = defaultdict(list)
    for patch in subject.prints:
        if patch.slide_id and patch.box:
            slides[patch.slide_id].append(patch)
    found = [_crossing(subject, slides[name]) for name in sorted(slides)]
    leaked = sum(count for count, _ in found)
    shared, left_out, more = _worst(pairs for _, pairs in found)
    known = sum(map(len, slides.values()))
    notes = [_partly(known, len(subject.prints), "slide_id, x, y")] if 0 < known < len(subject.prints) else []
    if subject.manifest.parameters.get("resample"):
        notes.append("windows of resampled slides are larger than their patches: some overlaps are not seen")
    if more:
        notes.append(f"more than {MAX_PAIRS:,} pairs of windows share pixels: not all were compared for the examples")
    yield Finding(
        subject.config,
        "windows",
        "No two windows of a slide share a pixel across the sides.",
        leaked,
        len(subject.split["test"]),
        unit="test patches",
        binding=subject.by_pixel,
        unknown=_unknown(subject, "slide_id, x, y", lambda patch: bool(patch.slide_id and patch.box)),
        note="; ".join(notes),
        **{**pairs_found(shared), "left_out": left_out},
    )


def _crossing(subject: Subject, prints: Sequence[Print]) -> tuple[int, Iterator[_Shared]]:
    """How many of a slide's test patches share a pixel with a training patch, and each such pair, in blocks."""
    test, train = ([patch for patch in prints if subject.side(patch) == side] for side in ("test", "train"))
    ones, others = [_box(patch) for patch in test], [_box(patch) for patch in train]
    leaked = len({test[at].place for at in crossing(ones, others)[0]})
    return leaked, _shared_pixels(test, train, ones, others)


def _shared_pixels(
    test: Sequence[Print], train: Sequence[Print], ones: Sequence[Box], others: Sequence[Box]
) -> Iterator[_Shared]:
    for first, second in crossing_pairs(ones, others):
        for i, j in zip(first.tolist(), second.tolist(), strict=True):
            one, other = ones[i], others[j]
            width = min(one.right, other.right) - max(one.x, other.x)
            height = min(one.bottom, other.bottom) - max(one.y, other.y)
            share = width * height / min(one.area, other.area)
            yield width * height, test[i], train[j], share


def _worst(slides: Iterable[Iterator[_Shared]]) -> tuple[list[Pair], int, bool]:
    """The pairs of windows that share most, how many more there are, and whether some were not compared."""
    pairs = itertools.chain.from_iterable(slides)
    worst: list[_Shared] = []
    count = 0
    while block := list(itertools.islice(pairs, min(MAX_EXAMPLES, MAX_PAIRS - count))):
        count += len(block)
        worst = heapq.nsmallest(MAX_EXAMPLES, [*worst, *block], key=_order)
    found = [Pair(one, other, f"windows of {one.slide_id} share {share:.0%}") for _, one, other, share in worst]
    return found, count - len(found), next(pairs, None) is not None


def _order(shared: _Shared) -> tuple[int, str, str]:
    area, one, other, _ = shared
    return -area, one.patch_id, other.patch_id


def _box(patch: Print) -> Box:
    x, y = patch.box or (0, 0)
    return Box(y, x, max(1, patch.image.width), max(1, patch.image.height))


def _unknown(subject: Subject, columns: str, is_known: Callable[[Print], bool]) -> str | None:
    """Why a check of one side against the other says nothing, if it does: of one of them nothing is known."""
    known = {side: sum(map(is_known, prints)) for side, prints in subject.split.items()}
    if not any(known.values()):
        return f"no patch has {columns}"
    if subject.one_sided:
        return subject.one_sided
    return next((f"no patch of the {side} side has {columns}" for side, count in known.items() if not count), None)


def _partly(known: int, of: int, column: str) -> str:
    return f"{column} is known of {known:,} of {of:,} patches"


def _share(leaked: int, subject: Subject, how: str) -> str:
    test = len(subject.split["test"])
    return f"{leaked:,} of {test:,} test patches {how}"
