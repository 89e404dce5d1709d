"""Where two nested values first differ, shown in a line however large or deep the other one is."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_MOST_CHARACTERS = 120
# A few aliases in YAML can stand for more text than there is memory.
_SHORT = reprlib.Repr()
_SHORT.maxlevel = 2
_SHORT.maxstring = _MOST_CHARACTERS


@dataclass(frozen=True)
class Difference:
    """A place, as Python would index it, and what is on either side there; both can be printed."""

    place: str
    expected: str
    found: str


def differences(expected: dict[str, Any], found: dict[Any, Any]) -> Iterator[Difference]:
    """Yield the first place that differs below every key that does.

    The walk goes no deeper than `expected`, and a comparison ends where that does: `found` may hold itself.

    Args:
        expected: of mappings, lists and plain values, without cycles.
        found: may be anybody's.
    """
    for key in _keys(expected, found):
        if key not in expected or key not in found or expected[key] != found[key]:
            yield _first(short(key), *(side.get(key, _NOTHING) for side in (expected, found)))


def short(value: object) -> str:
    """Represent a value in a few hundred characters."""
    try:
        return _SHORT.repr(value)[: 2 * _MOST_CHARACTERS]
    except ValueError:  # an integer of more digits than Python writes
        return f"a large {type(value).__name__}"


class _Nothing:
    def __repr__(self) -> str:
        return "nothing there"


_NOTHING = _Nothing()


def _first(place: str, expected: Any, found: Any) -> Difference:
    while True:
        steps: list[tuple[Any, Any, Any]] = []
        if isinstance(expected, dict) and isinstance(found, dict):
            steps = [(k, expected.get(k, _NOTHING), found.get(k, _NOTHING)) for k in _keys(expected, found)]
        elif isinstance(expected, list) and isinstance(found, list):
            wanted, there = ([*side, _NOTHING] for side in (expected, found))
            steps = list(zip(range(len(wanted)), wanted, there, strict=False))
        step = next((step for step in steps if step[1] != step[2]), None)
        if step is None:
            break
        place, expected, found = f"{place}[{short(step[0])}]", step[1], step[2]
    if isinstance(expected, str) and isinstance(found, str) and max(len(expected), len(found)) > _MOST_CHARACTERS:
        # What is cut from the middle may be all that differs.
        pairs = enumerate(zip(expected, found, strict=False))
        parted = next((n for n, (one, other) in pairs if one != other), min(len(expected), len(found)))
        start = max(parted - 20, 0)
        wanted_text, found_text = (repr(text[start : start + 60]) for text in (expected, found))
        return Difference(f"{place}[{start}:{start + 60}]", wanted_text, found_text)
    return Difference(place, short(expected), short(found))


def _keys(expected: dict[Any, Any], found: dict[Any, Any]) -> list[Any]:
    return [*sorted(expected, key=str), *(key for key in found if key not in expected)]
