"""DICOM slides: the files of one series in one folder, which OpenSlide opens as one slide from any of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import openslide

from ..errors import SlideError
from ..parallel import Processes, run_tasks
from ..places import shown, why_not_a_file
from .labels import spells_class
from .slide import killed_by

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


def find_series(files: Iterable[Path], root: Path, workers: Processes | None = None) -> list[Series | SlideError]:
    """Group the DICOM slides' files below a folder, or say which cannot be taken, and why.

    A series of one file goes by that file's name, one of several by its folder's: their names are numbers or UIDs.

    Args:
        files: each a slide's for OpenSlide.
        root: the folder that was given.
        workers: that open files; None opens them here.
    """
    ordered = sorted(files)
    unsafe = {folder: _unsafe_neighbour(folder, root) for folder in sorted({file.parent for file in ordered})}
    found: list[Series | SlideError] = [
        SlideError(shown(file), "a folder of plain files", reason, "Move the entry away.")
        for file in ordered
        if (reason := unsafe[file.parent])
    ]
    safe = [file for file in ordered if not unsafe[file.parent]]
    keys = run_tasks(_key, safe, workers=workers, label="DICOM series", unit="file", killed=killed_by)
    series: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for file, key in zip(safe, keys, strict=True):
        if isinstance(key, SlideError):
            found.append(key)
        else:
            series[file.parent, key].append(file)
    several = Counter(folder for (folder, _), members in series.items() if len(members) > 1)
    return found + [_named(folder, members, root, several[folder]) for (folder, _), members in series.items()]


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


def _key(file: Path) -> str | SlideError:
    """What files of one series have in common: OpenSlide hashes the series' UID and nothing else."""
    try:
        with openslide.OpenSlide(file) as slide:
            return str(slide.properties[openslide.PROPERTY_NAME_QUICKHASH1])
    except (openslide.OpenSlideError, UnicodeDecodeError, LookupError) as error:  # as in `open_slide`
        expected, remedy = "a DICOM slide that OpenSlide can open", "Export its series again, or leave it out."
        return SlideError(shown(file), expected, str(error), remedy)
