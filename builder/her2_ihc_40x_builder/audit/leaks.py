"""Checks across the sides of a split: slides, patients, windows, and what names tell."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence

from ..geometry import Box
from ..spelling import plain_name, spellings
from ..windows.overlap import overlapping_pairs
from .findings import Finding, Pair, Subject, groups_found, names_found, pairs_found, patches_found
from .prints import Print


def check_slides(subject: Subject) -> Iterator[Finding]:
    """Slides with patches on both sides, and names on two sides that may be of one slide."""
    yield _shared(subject, "slides", "slide", "slide_id", _slide)
    yield _alike(subject, "slide_names", "slide", "slide_id", _slide)


def check_patients(subject: Subject) -> Iterator[Finding]:
    """Patients as slides are checked, by the column case_id, and by the table if one was given."""
    yield _shared(subject, "patients", "patient", "case_id", _case)
    yield _alike(subject, "patient_names", "patient", "case_id", _case)
    if subject.cases:
        listed = "a slide that --patients lists"
        by_table = _listed(subject)
        yield _shared(subject, "patients_listed", "patient", listed, by_table)
        yield _alike(subject, "patient_names_listed", "patient", listed, by_table)


def _slide(patch: Print) -> str | None:
    return patch.slide_id


def _case(patch: Print) -> str | None:
    return patch.case_id


def _listed(subject: Subject) -> Callable[[Print], str | None]:
    return lambda patch: subject.cases.get(patch.slide_id or "")


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
        unknown=_unknown(subject, column, sum(map(len, named.values()))),
        **groups_found(sorted(alike)),
    )


def _shared(subject: Subject, check: str, what: str, column: str, key: Callable[[Print], str | None]) -> Finding:
    counts = {side: Counter(filter(None, map(key, prints))) for side, prints in subject.split.items()}
    both = counts["train"].keys() & counts["test"].keys()
    leaked = sum(counts["test"][name] for name in both)
    known = sum(sum(each.values()) for each in counts.values())
    notes = [_share(leaked, subject, f"come from {what}s with training patches")] if both else []
    notes += [_partly(known, len(subject.prints), column)] if 0 < known < len(subject.prints) else []
    return Finding(
        subject.config,
        check,
        f"No {what} has patches on both sides.",
        len(both),
        len(counts["train"].keys() | counts["test"].keys()),
        unit=f"{what}s",
        binding=subject.by_slide,
        unknown=_unknown(subject, column, known),
        note="; ".join(notes),
        **names_found(both),
    )


def check_names(subject: Subject) -> Iterator[Finding]:
    """Patches of a release whose names tell that their slide is on the other side of the slide split."""
    told = [patch for patch in subject.prints if patch.slide_side is not None]
    if subject.regenerated and not told:
        return
    wrong = [patch for patch in told if patch.slide_side != subject.side(patch)]
    leaked = sum(subject.side(patch) == "test" for patch in wrong)
    yield patches_found(
        subject,
        "names",
        "A patch is on the side of the slide split that its name tells.",
        wrong,
        binding=subject.by_slide,
        unknown=None if told else "no patch has slide_side",
        note=_share(leaked, subject, "come from slides on the training side") if wrong else "",
    )


def check_windows(subject: Subject) -> Iterator[Finding]:
    """Windows of one slide that share pixels across the sides, by their coordinates."""
    slides: dict[str, list[Print]] = defaultdict(list)
    for patch in subject.prints:
        if patch.slide_id and patch.box:
            slides[patch.slide_id].append(patch)
    shared = sorted((entry for name in sorted(slides) for entry in _crossing(subject, slides[name])), key=_worst)
    leaked = {pair.left.place for _, pair in shared}
    known = sum(map(len, slides.values()))
    notes = [_partly(known, len(subject.prints), "slide_id, x, y")] if 0 < known < len(subject.prints) else []
    if subject.manifest.parameters.get("resample"):
        notes.append("windows of resampled slides are larger than their patches: some overlaps are not seen")
    yield Finding(
        subject.config,
        "windows",
        "No two windows of a slide share a pixel across the sides.",
        len(leaked),
        len(subject.split["test"]),
        unit="test patches",
        binding=subject.by_pixel,
        unknown=_unknown(subject, "slide_id, x, y", known),
        note="; ".join(notes),
        **pairs_found([pair for _, pair in shared]),
    )


def _crossing(subject: Subject, prints: Sequence[Print]) -> Iterator[tuple[int, Pair]]:
    boxes = [_box(patch) for patch in prints]
    for one, other in overlapping_pairs(boxes):
        pair = sorted((prints[one], prints[other]), key=lambda patch: (subject.side(patch), patch.place))
        if subject.side(pair[0]) != subject.side(pair[1]):
            first, second = boxes[one], boxes[other]
            width = min(first.right, second.right) - max(first.x, second.x)
            height = min(first.bottom, second.bottom) - max(first.y, second.y)
            share = width * height / min(first.area, second.area)
            yield width * height, Pair(pair[0], pair[1], f"windows of {pair[0].slide_id} share {share:.0%}")


def _worst(entry: tuple[int, Pair]) -> tuple[int, str, str]:
    return -entry[0], entry[1].left.patch_id, entry[1].right.patch_id


def _box(patch: Print) -> Box:
    x, y = patch.box or (0, 0)
    return Box(y, x, max(1, patch.image.width), max(1, patch.image.height))


def _unknown(subject: Subject, columns: str, known: int) -> str | None:
    """Why a check says nothing, if it does."""
    if known or not subject.prints:
        return None
    return f"no patch has {columns}"


def _partly(known: int, of: int, column: str) -> str:
    return f"{column} is known of {known:,} of {of:,} patches"


def _share(leaked: int, subject: Subject, how: str) -> str:
    test = len(subject.split["test"])
    return f"{leaked:,} of {test:,} test patches {how}"
