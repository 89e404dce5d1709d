"""What a region's class means: a label, no label, something to take away, or something to ask about."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from her2_ihc_40x import CLASSES

from ..errors import LabelError, OptionError

_SCORE = re.compile(r"(?:(?:class|score|her-?2|ihc)[ _:-]*)*(?:(0)|([123]) ?\+?)", re.IGNORECASE)
_TUMOUR = frozenset({"tumor", "tumour"})
_TERM = re.compile(r"term \d+")


class Meaning(Enum):
    """What is done with a region of a class, where that is not a label."""

    REGION = "a region with the slide's label"
    SUBTRACT = "taken away from the other regions"
    UNKNOWN = "nobody said"


def score_of(name: str) -> str | None:
    """Return the label that a spelling means ("3+", "3", "class_3+", "HER2 3+"); None for the rest, "0+" too."""
    match = _SCORE.fullmatch(name.strip())
    if match is None:
        return None
    return "0" if match[1] else f"{match[2]}+"


@dataclass(frozen=True)
class ClassRules:
    """What the user says of classes that have no plain meaning; names match whatever their case.

    Attributes:
        include: classes that are regions with the slide's label.
        exclude: classes that are taken away from the regions.
        labels: class to label, for other spellings.

    Raises:
        OptionError: a class is named twice, or a label is none of the four.
    """

    include: frozenset[str] = frozenset()
    exclude: frozenset[str] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        named = [_key(name) for names in (self.include, self.exclude, self.labels) for name in names]
        twice = sorted(name for name, count in Counter(named).items() if count > 1)
        if twice:
            remedy = "Name a class in one of --include-class, --exclude-class and --label-map."
            raise OptionError("class rules", "each class once", ", ".join(twice), remedy)
        for name, label in self.labels.items():
            if label not in CLASSES:
                remedy = "Map each class to one of the four labels."
                raise OptionError(f"--label-map {name}", f"one of {', '.join(CLASSES)}", label, remedy)

    def meaning(self, name: str | None) -> str | Meaning:
        """Return the label of a class, or what else is done with its regions."""
        if name is None:
            return Meaning.REGION
        key = _key(name)
        for mapped, label in self.labels.items():
            if _key(mapped) == key:
                return label
        if key in {_key(n) for n in self.exclude}:
            return Meaning.SUBTRACT
        if key in _TUMOUR or key in {_key(n) for n in self.include}:
            return Meaning.REGION
        return score_of(name) or Meaning.UNKNOWN

    def mentions(self, name: str) -> bool:
        """Whether a rule of the user's speaks of a class."""
        return _key(name) in {_key(n) for names in (self.include, self.exclude, self.labels) for n in names}

    def unnamed(self, names: Iterable[str | None]) -> str | None:
        """Return the only term that is a bare number, if the names have just one and no rule mentions it.

        An export may give a class by a number alone. One number on everything says nothing; two say that there are two
        kinds of region, and which to keep is not ours to guess.
        """
        terms = {name for name in names if name and _TERM.fullmatch(name)}
        open_terms = sorted(term for term in terms if self.meaning(term) is Meaning.UNKNOWN)
        return open_terms[0] if len(terms) == 1 and open_terms else None

    def check(self, names: Iterable[str | None]) -> None:
        """Raise a LabelError that lists every class whose meaning nobody said, with how many regions have it."""
        unknown = Counter(name for name in names if name and self.meaning(name) is Meaning.UNKNOWN)
        if unknown:
            listed = ", ".join(f"{name!r} ({count})" for name, count in sorted(unknown.items()))
            expected = f"classes {', '.join(CLASSES)}, tumour, none, or named by an option"
            remedy = "Give each to --include-class, --exclude-class or --label-map."
            raise LabelError("region classes", expected, listed, remedy)


def _key(name: str) -> str:
    return " ".join(name.split()).casefold()
