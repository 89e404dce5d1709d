"""Which slide and which region a name means. Names are matched, never kept: they may identify a patient."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePath, PureWindowsPath

from ..places import shown

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
        base = PureWindowsPath(name).name if "\\" in name else PurePath(name).name
        stems = [base, PurePath(base).stem, PurePath(PurePath(base).stem).stem]
        for stem in stems:
            if stem in self._known:
                return stem
        for stem in stems:
            if len(same := self._folded.get(stem.casefold(), [])) == 1:
                return same[0]
        return None


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
