"""DICOM slides: the files of one series in one folder, which OpenSlide opens as one slide from any of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import openslide

from ..errors import SlideError
from ..places import shown, why_not_a_file
from .labels import spells_class

SERIES_SUFFIX = ".dcm"


@dataclass(frozen=True)
class Series:
    """A slide in DICOM.

    Args:
        place: what it is named after: its file, or the folder of its files if there are several.
        files: of its levels and whatever else is in the series, by name.
    """

    place: Path
    files: tuple[Path, ...]


def find_series(files: Iterable[Path], root: Path) -> list[Series | SlideError]:
    """Group the DICOM slides' files below a folder, or say which cannot be taken, and why.

    A series of one file goes by that file's name, one of several by its folder's: their names are numbers or UIDs.

    Args:
        files: each a slide's for OpenSlide.
        root: the folder that was given.
    """
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    for file in sorted(files):
        by_folder[file.parent].append(file)
    return [found for folder in sorted(by_folder) for found in _of_folder(folder, by_folder[folder], root)]


def _of_folder(folder: Path, files: list[Path], root: Path) -> list[Series | SlideError]:
    if unsafe := _unsafe_neighbour(folder, root):
        return [SlideError(shown(file), "a folder of plain files", unsafe, "Move the entry away.") for file in files]
    by_key: dict[str, list[Path]] = defaultdict(list)
    refused: list[SlideError] = []
    for file in files:
        try:
            by_key[_key(file)].append(file)
        except openslide.OpenSlideError as error:
            expected, remedy = "a DICOM slide that OpenSlide can open", "Export its series again, or leave it out."
            refused.append(SlideError(shown(file), expected, str(error), remedy))
    several = sum(len(members) > 1 for members in by_key.values())
    found = [_named(folder, members, root, several) for members in by_key.values()]
    return [*refused, *found]


def _named(folder: Path, files: list[Path], root: Path, several: int) -> Series | SlideError:
    if len(files) == 1:
        return Series(files[0], tuple(files))
    if folder != root and several == 1 and not spells_class(folder.name):
        return Series(folder, tuple(files))
    found = f"{len(files)} files of one series, and no folder of their own"
    remedy = "Put them into a folder that has the slide's name, which is no class."
    return SlideError(shown(files[0]), "a folder for each series", found, remedy)


def _unsafe_neighbour(folder: Path, root: Path) -> str | None:
    """An entry that OpenSlide, in search of the files of a series, would wait at or leave the folder by."""
    for entry in sorted(folder.iterdir()):
        reason = why_not_a_file(entry, root)
        if reason not in (None, "a folder"):
            return f"{entry.name!a}, {reason}"
    return None


def _key(file: Path) -> str:
    """What files of one series have in common: OpenSlide hashes the series' UID and nothing else."""
    with openslide.OpenSlide(file) as slide:
        return str(slide.properties[openslide.PROPERTY_NAME_QUICKHASH1])
