"""Where crops were found, kept from run to run: only a crop, or slides, that are others are searched again.

A note is named by a digest of all that the place hangs on: the crop's bytes, its own slide, every other slide, since it
must not fit there too, and the code that searches. It holds numbers alone, no name.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import openslide
import shapely

from ..errors import SlideError
from ..geometry import Size
from ..placing.search import Place
from ..slides.fingerprint import fingerprint, sha256_of
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
        from datasets import config

        return self._folder or Path(config.HF_DATASETS_CACHE) / "her2-ihc-40x-places"

    def key(self, sought: Sought) -> str | None:
        """What a placement of a crop is known by; None where a file cannot be read: it is searched, and says so."""
        try:
            pixels = sha256_of(sought.crop)
            own = self._marks[sought.slide_id]
        except (OSError, SlideError):
            return None
        others = sorted(mark for name, mark in self._marks.items() if name != sought.slide_id)
        size = None if sought.extent is None else [sought.extent.width, sought.extent.height]
        return _digest([self._search, pixels, own, others, size])

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
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f".{key}.{os.getpid()}.part"
        try:
            part.write_text(json.dumps({"placement": content, "digest": _digest([key, content])}), encoding="ascii")
            part.replace(self.folder / f"{key}.json")
        finally:
            part.unlink(missing_ok=True)

    @cached_property
    def _marks(self) -> dict[str, str]:
        return {name: fingerprint(*files) for name, files in self._slides.items()}

    @cached_property
    def _search(self) -> list[str]:
        """What searches: our code, and the libraries whose arithmetic decides."""
        modules = [path for room in _ROOMS for path in sorted((Path(__file__).parents[1] / room).glob("*.py"))]
        code = hashlib.sha256(b"\0".join(path.read_bytes() for path in modules)).hexdigest()
        return [code, cv2.__version__, openslide.__library_version__]


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
