"""The slides of a folder: which files they are, and what they are called."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import openslide

from ..errors import SlideError
from ..parallel import Processes, run_tasks
from ..places import shown, walk, why_not_a_file
from .beside import files_beside
from .series import SERIES_SUFFIX, find_series
from .slide import killed_by

#: What may be a slide by its name.
SLIDE_SUFFIXES = frozenset(
    {".bif", ".czi", SERIES_SUFFIX, ".mrxs", ".ndpi", ".scn", ".svs", ".svslide", ".tif", ".tiff", ".vms", ".vmu"}
)

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class SlideFile:
    """A slide found in a folder.

    Attributes:
        slide_id: its file's name without the suffix, or the name of the folder that a DICOM series has for itself.
        place: that file or folder.
        files: what it is in, first the one to open.
    """

    slide_id: str
    place: Path
    files: tuple[Path, ...]

    @property
    def path(self) -> Path:
        """The file to open; OpenSlide finds the others."""
        return self.files[0]


@dataclass(frozen=True)
class SlideListing:
    """What a folder holds.

    Attributes:
        slides: in the order of their ids.
        refused: files that look like slides but cannot be taken, and why, in path order; for a person to see.
    """

    slides: tuple[SlideFile, ...]
    refused: tuple[SlideError, ...]


def find_slides(root: Path, workers: Processes | None = None) -> SlideListing:
    """List the slides under a folder, whatever order the file system gives.

    A file counts by its suffix (`SLIDE_SUFFIXES`) and by OpenSlide's own detection, which reads only its head; the
    files of a DICOM series are one slide. Of several slides of one id none is taken. Hidden files are left out. Links
    to outside of `root` are refused; folders that are links are not entered.

    Args:
        root: the folder.
        workers: that look into files; None looks here.

    Raises:
        SlideError: no such folder, or one that cannot be looked into; one below it is refused.
    """
    if not root.is_dir():
        raise SlideError(str(root), "a folder of slides", "no folder", "Check the path.")
    refused: list[SlideError] = []
    found: list[SlideFile] = []
    of_series: list[Path] = []
    candidates = [(path, _problem(root, path)) for path in _candidates(root, refused)]
    fit = [path for path, problem in candidates if problem is None]
    unknown = run_tasks(_unknown, fit, workers=workers, label="Slides' formats", unit="file", killed=killed_by)
    problems = {**dict(candidates), **dict(zip(fit, unknown, strict=True))}
    for path, _ in candidates:
        if problem := problems[path]:
            refused.append(problem)
        elif path.suffix.lower() == SERIES_SUFFIX:
            of_series.append(path)
        else:
            found.append(SlideFile(path.stem, path, (path, *files_beside(path, root))))
    for series in find_series(of_series, root, workers):
        if isinstance(series, SlideError):
            refused.append(series)
        elif problem := _unfit_name(series.place):
            refused.append(problem)
        else:
            slide_id = series.place.stem if series.place.is_file() else series.place.name
            found.append(SlideFile(slide_id, series.place, series.files))
    by_id: dict[str, list[SlideFile]] = {}
    for one in found:
        by_id.setdefault(one.slide_id, []).append(one)
    refused += [problem for same in by_id.values() if len(same) > 1 for problem in _of_one_id(same)]
    slides = tuple(same[0] for _, same in sorted(by_id.items()) if len(same) == 1)
    return SlideListing(slides, tuple(sorted(refused, key=lambda problem: problem.subject)))


def is_file_name(name: str) -> bool:
    """Whether what is in trouble is called by the place of a file that gave no slide, and not by a slide's id."""
    return "/" in name or _is_slide_name(name)


def _candidates(root: Path, refused: list[SlideError]) -> list[Path]:
    """What a person may take for a slide, also where it is none: it is then refused by name, not passed over.

    These are entries with a slide's suffix (folders only where no slide is in them), and links to folders outside.
    Folders that cannot be looked into are added to `refused`.
    """

    def refuse(folder: Path, why: str) -> None:
        # The slash tells it from a slide's id.
        problem = SlideError(
            f"{shown(folder)}/", "a folder that can be looked into", why, "Check its permissions, or move it elsewhere."
        )
        if folder == root:
            raise problem
        refused.append(problem)

    found: list[Path] = []
    named: list[Path] = []
    for here, folders, files in walk(root, refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = [here / name for name in folders if (here / name).is_symlink()]
        found += [link for link in links if why_not_a_file(link, root) != "a folder"]
        named += [here / name for name in folders if _is_slide_name(name)]
        found += [here / name for name in files if not name.startswith(".") and _is_slide_name(name)]
    parents = {parent for path in found for parent in path.parents}
    return sorted({*found, *(folder for folder in named if folder not in parents)})


def _is_slide_name(name: str) -> bool:
    return Path(name).suffix.lower() in SLIDE_SUFFIXES


def _problem(root: Path, path: Path) -> SlideError | None:
    name = shown(path)
    if reason := why_not_a_file(path, root):
        return SlideError(name, "a slide's file inside the folder", reason, "Copy the slide in, or remove the entry.")
    try:
        files_beside(path, root)
    except SlideError as error:
        return error
    return _unfit_name(path)


def _of_one_id(slides: Sequence[SlideFile]) -> Iterator[SlideError]:
    for one in slides:
        others = " and ".join(shown(other.place) for other in slides if other is not one)
        expected, found = "an id of its own", f"{others}, which is {one.slide_id} as well"
        yield SlideError(shown(one.place), expected, found, "Rename or remove one of them.")


def _unknown(path: Path) -> SlideError | None:
    if openslide.OpenSlide.detect_format(path) is None:
        if reason := _why_unreadable(path):
            return SlideError(shown(path), "a readable file", reason, "Check the disk and the file's permissions.")
        return SlideError(
            shown(path),
            "a slide that OpenSlide knows",
            "an unknown or damaged file",
            "Copy it again from the scanner; if it is no slide, move it elsewhere.",
        )
    return None


def _why_unreadable(path: Path) -> str | None:
    """Say why a file cannot be read, which OpenSlide does not tell; None if it can be."""
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        return error.strerror or repr(error)
    return None


def _unfit_name(path: Path) -> SlideError | None:
    if os.fsencode(path.name).decode("utf-8", "replace") == path.name and not _CONTROL.search(path.name):
        return None
    found, remedy = "other bytes, or control characters", "Rename it: its name is the slide's id."
    return SlideError(shown(path), "a name in UTF-8", found, remedy)
