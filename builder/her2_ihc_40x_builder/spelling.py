"""Names that may be one name: alike but for case, blanks or the Unicode form, which hands and tools change."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable


def plain_name(name: str) -> str:
    """A name less what hands and tools change in it: its case, its blanks, and its Unicode form (NFC, NFD, width)."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(unicodedata.normalize("NFKC", folded).split())  # folding may take letters and accents apart


def spellings(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Plain name -> the names that are spelled so but for what `plain_name` takes away, in order."""
    found: dict[str, set[str]] = defaultdict(set)
    for name in names:
        found[plain_name(name)].add(name)
    return {plain: tuple(sorted(alike)) for plain, alike in sorted(found.items())}
