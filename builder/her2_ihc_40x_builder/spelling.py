"""Names that may be one name: alike but for case, blanks or the Unicode form, which hands and tools change."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache

#: What takes no room beside the characters of formats (Cf): a joiner of marks, and selectors of variants.
_UNSEEN = frozenset(map(chr, (0x034F, *range(0xFE00, 0xFE10))))
#: Dashes that Unicode counts among signs: minus, raised minus, the bullet of a list.
_DASHES = "\u2212\u02d7\u2043"
#: Names that a sentence tells.
_NAMED = 10


def as_seen(text: str) -> str:
    """A text with one form of each letter, digit, dash and blank, and without what nobody sees in it.

    Programs change what was typed into dashes of print, and characters that take no room are pasted along.
    """
    kinds = [(char, unicodedata.category(char)) for char in unicodedata.normalize("NFKC", text)]
    seen = [(char, kind) for char, kind in kinds if kind != "Cf" and char not in _UNSEEN]
    return "".join("-" if kind == "Pd" or char in _DASHES else char for char, kind in seen)


@lru_cache(maxsize=1 << 14)
def plain_name(name: str) -> str:
    """A name less what hands and tools change in it: its case, its blanks, and its Unicode form.

    The form is NFC or NFD, width, characters that take no room, and which of the dashes it is.
    """
    # Folding may take letters and accents apart, and what took no room may have kept them so.
    folded = unicodedata.normalize("NFKC", as_seen(name)).casefold()
    return "".join(unicodedata.normalize("NFKC", folded).split())


def spellings(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Plain name -> the names that are spelled so but for what `plain_name` takes away, in order."""
    found: dict[str, set[str]] = defaultdict(set)
    for name in names:
        found[plain_name(name)].add(name)
    return {plain: tuple(sorted(alike)) for plain, alike in sorted(found.items())}


def told_apart(names: Iterable[str], there: Mapping[str, tuple[str, ...]], what: str = "slide") -> str:
    """Say of names that are not there which one that is there each may be; empty if none may.

    They are told as ASCII, for they may look the same.

    Args:
        names: in the order to tell them in.
        there: the `spellings` of those that are there.
        what: they are names of.
    """
    pairs = [(name, " and ".join(map(ascii, alike))) for name in names if (alike := there.get(plain_name(name)))]
    if not pairs:
        return ""
    (first, other), *others = pairs
    told = f"{first!a} differs from the {what} {other} only in case, blanks or Unicode form"
    rest = [f"{name!a} from {other}" for name, other in others[: _NAMED - 1]]
    rest += [f"{len(pairs) - _NAMED} more"] if len(pairs) > _NAMED else []
    return f"{told} (so do {', '.join(rest)})" if rest else told
