"""Names that may be one name: alike but for case, blanks or the Unicode form, which hands and tools change."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache

#: What takes no room: it is pasted along from web pages and office documents, and nobody sees it.
_UNSEEN = re.compile("[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")
#: Hyphens, dashes and the minus, into which programs change what was typed.
_DASHES = re.compile("[\u2010-\u2015\u2212]")
#: Names that a sentence tells.
_NAMED = 10


@lru_cache(maxsize=1 << 14)
def plain_name(name: str) -> str:
    """A name less what hands and tools change in it: its case, its blanks, and its Unicode form.

    The form is NFC or NFD, width, characters that take no room, and which of the dashes it is.
    """
    seen = _DASHES.sub("-", _UNSEEN.sub("", unicodedata.normalize("NFKC", name)))
    # Folding may take letters and accents apart, and what took no room may have kept them so.
    folded = unicodedata.normalize("NFKC", seen).casefold()
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
