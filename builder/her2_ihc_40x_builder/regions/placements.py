"""Where crops were found, kept from run to run: only a crop, or slides, that are others are searched again.

A note is named by a digest of all that the place hangs on: the crop's bytes, its own slide, every other slide, since it
must not fit there too, and the code that searches. It holds numbers alone, no name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import cv2
import openslide
import shapely

from ..errors import SlideError
from ..geometry import Size
from ..hashing import sha256_of
from ..notes import notes_folder, write_note
from ..parallel import Processes, run_tasks
from ..placing.search import Place
from ..slides.fingerprint import fingerprint
from .model import Area

#: Rooms whose code finds places and outlines: a change of it makes every search anew.
_ROOMS = ("placing", "regions")


@dataclass(frozen=True)
class Placement:
    """Where a crop lies, and its outline in its own pixels; None where that is its box."""

    place: Place
    outline: Area | None


@dataclass(frozen=True)
class Sought:
    """A crop that has to be placed.

    Attributes:
        crop: its file.
        slide_id: the slide that it is named after.
        extent: its size at level 0, where an annotation tells.
    """

    crop: Path
    slide_id: str
    extent: Size | None


class KeptPlacements:
    """Placements of earlier runs.

    Args:
        slides: slide -> its files.
        folder: of the notes, made when there is something to keep; None for one in the cache of `datasets`. It may be
            deleted at any time.
    """

    def __init__(self, slides: Mapping[str, tuple[Path, ...]], folder: Path | None = None) -> None:
        self._slides = slides
        self._folder = folder

    @cached_property
    def folder(self) -> Path:
        """Where the notes are."""
        return self._folder or notes_folder("places")

    def keys(self, sought: Sequence[Sought], workers: Processes | None = None) -> list[str | None]:
        """What placements of crops are known by; None where a file cannot be read: it is searched, and says so.

        Args:
            sought: the crops, of these slides.
            workers: as many threads read; None reads here.
        """
        marks = dict(zip(self._slides, _read(_mark, list(self._slides.values()), workers), strict=True))
        crops = _read(_crop_mark, [one.crop for one in sought], workers)
        if None in marks.values():
            return [None] * len(sought)
        return [crop and self._key(one, crop, marks) for one, crop in zip(sought, crops, strict=True)]

    def _key(self, sought: Sought, crop: str, marks: Mapping[str, str | None]) -> str:
        others = sorted(mark for name, mark in marks.items() if mark and name != sought.slide_id)
        size = None if sought.extent is None else [sought.extent.width, sought.extent.height]
        return _digest([self._search, crop, marks[sought.slide_id], others, size])

    def find(self, key: str, slide_id: str) -> Placement | None:
        """The placement that a key stands for; None if there is none, or it is damaged."""
        try:
            note = json.loads((self.folder / f"{key}.json").read_bytes())
            content = note["placement"]
            if note["digest"] != _digest([key, content]):
                return None
            place = Place(content["score"], slide_id, content["x"], content["y"], content["scale"])
            outline = None if content["outline"] is None else shapely.from_wkb(content["outline"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return Placement(place, outline)

    def keep(self, key: str, placement: Placement) -> None:
        """Note a placement; the note appears whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        place, outline = placement.place, placement.outline
        wkb = None if outline is None else shapely.to_wkb(outline, hex=True)
        content = {"score": place.score, "x": place.x, "y": place.y, "scale": place.scale, "outline": wkb}
        write_note(self.folder / f"{key}.json", json.dumps({"placement": content, "digest": _digest([key, content])}))

    @cached_property
    def _search(self) -> list[str]:
        """What searches: our code, and the libraries whose arithmetic decides."""
        modules = [path for room in _ROOMS for path in sorted((Path(__file__).parents[1] / room).glob("*.py"))]
        code = hashlib.sha256(b"\0".join(path.read_bytes() for path in modules)).hexdigest()
        return [code, cv2.__version__, openslide.__library_version__]


_Task = TypeVar("_Task")


def _read(
    function: Callable[[_Task], str | None], tasks: Sequence[_Task], workers: Processes | None
) -> list[str | None]:
    return run_tasks(function, tasks, workers=workers, label="Known crops", unit="file", threads=True)


def _mark(files: tuple[Path, ...]) -> str | None:
    try:
        return fingerprint(*files)
    except SlideError:
        return None


def _crop_mark(crop: Path) -> str | None:
    try:
        return sha256_of(crop)
    except OSError:
        return None


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
