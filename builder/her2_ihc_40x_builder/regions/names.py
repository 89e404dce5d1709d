"""Which slide and which region a name means. Names are matched, never kept: they may identify a patient."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import PurePath, PureWindowsPath

from ..places import shown
from ..spelling import spellings, told_apart

__all__ = ["SlideNames", "is_number", "is_uuid", "shown", "slide_and_roi_of", "slide_of"]

#: What may stand in a region's id as it is: an annotation's number, or a UUID.
_NUMBER = re.compile(r"\d{1,18}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9+_.-]{0,63}")


def is_number(text: object) -> bool:
    """Whether `text` is an id as a database numbers things."""
    return isinstance(text, str) and _NUMBER.fullmatch(text) is not None


def is_uuid(text: object) -> bool:
    """Whether `text` is a UUID."""
    return isinstance(text, str) and _UUID.fullmatch(text) is not None


class SlideNames:
    """The slides that names are matched with, folded once for many names.

    Args:
        slides: ids of the slides there are.
    """

    def __init__(self, slides: Iterable[str]) -> None:
        self._known = frozenset(slides)
        self._folded: dict[str, list[str]] = {}
        for slide in self._known:
            self._folded.setdefault(slide.casefold(), []).append(slide)

    def find(self, name: str) -> str | None:
        """Return the slide that a file name means, as it is or less one or two suffixes; case counts only if it must.

        Args:
            name: `S1.svs`, `S1.svs.geojson`, a path in either manner of writing, or an id.
        """
        stems = _stems(name)
        for stem in stems:
            if stem in self._known:
                return stem
        for stem in stems:
            if len(same := self._folded.get(stem.casefold(), [])) == 1:
                return same[0]
        return None

    def near(self, *names: str, with_roi: bool = False) -> str:
        """Say which slide names of none may mean that are spelled otherwise; empty if none.

        Args:
            names: as for `find`.
            with_roi: each may be that of a slide and a region, `<slide>_<id>`.
        """
        stems = [stem for name in names for stem in _stems(name)]
        if with_roi:
            stems += [stem[:at] for stem in stems for at in range(len(stem) - 1, 0, -1) if stem[at] == "_"]
        told = next(filter(None, (told_apart([stem], self._spellings) for stem in stems)), "")
        return told and f"; {told}"

    @cached_property
    def _spellings(self) -> Mapping[str, tuple[str, ...]]:
        return spellings(self._known)


def _stems(name: str) -> list[str]:
    """A file's name as it is, and less one or two suffixes."""
    base = PureWindowsPath(name).name if "\\" in name else PurePath(name).name
    return [base, PurePath(base).stem, PurePath(PurePath(base).stem).stem]


def slide_of(name: str, slides: Iterable[str]) -> str | None:
    """Return the slide that one file name means; see `SlideNames.find`."""
    return SlideNames(slides).find(name)


def slide_and_roi_of(stem: str, slides: Iterable[str]) -> tuple[str, str] | None:
    """Slide and region that `<slide>_<id>` means: the longest slide id that fits; None if none does."""
    fitting = [slide for slide in slides if stem.startswith(f"{slide}_") and _SAFE.fullmatch(stem[len(slide) + 1 :])]
    if not fitting:
        return None
    slide = max(fitting, key=len)
    return slide, stem[len(slide) + 1 :]
