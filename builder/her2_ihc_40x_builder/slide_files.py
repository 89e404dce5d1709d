"""The slides of a folder: which files they are, and what they are called."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import openslide

from .errors import SlideError

#: What may be a slide by its name. A DICOM series is one slide in many files, so that `.dcm` is not listed here.
SLIDE_SUFFIXES = frozenset(
    {".bif", ".czi", ".mrxs", ".ndpi", ".scn", ".svs", ".svslide", ".tif", ".tiff", ".vms", ".vmu"}
)


@dataclass(frozen=True)
class SlideFile:
    """A slide found in a folder.

    Attributes:
        slide_id: the file's name without its suffix.
        path: the file.
    """

    slide_id: str
    path: Path


@dataclass(frozen=True)
class SlideListing:
    """What a folder holds.

    Attributes:
        slides: in the order of their ids.
        refused: files that look like slides but cannot be taken, and why, in path order; for a person to see.
    """

    slides: tuple[SlideFile, ...]
    refused: tuple[SlideError, ...]


def find_slides(root: Path) -> SlideListing:
    """List the slides under a folder, whatever order the file system gives.

    A file counts by its suffix (`SLIDE_SUFFIXES`) and by OpenSlide's own detection, which reads only its head. Hidden
    files are left out. Links to outside of `root` are refused; folders that are links are not entered.

    Args:
        root: the folder.

    Raises:
        SlideError: no such folder, or two slides of one id.
    """
    if not root.is_dir():
        raise SlideError(str(root), "a folder of slides", "no folder", "Check the path.")
    slides: dict[str, SlideFile] = {}
    refused: list[SlideError] = []
    for path in _candidates(root):
        problem = _problem(root, path)
        if problem:
            refused.append(problem)
        elif path.is_file():
            found = SlideFile(path.stem, path)
            earlier = slides.setdefault(found.slide_id, found)
            if earlier is not found:
                raise SlideError(
                    f"slide {found.slide_id}", "one file", f"{earlier.path} and {path}", "Rename or remove one of them."
                )
    return SlideListing(tuple(slides[slide_id] for slide_id in sorted(slides)), tuple(refused))


def _candidates(root: Path) -> list[Path]:
    """Files with a slide's suffix, and links to folders outside (which are refused by name, not passed over)."""
    found: list[Path] = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        here = Path(folder)
        found += [here / name for name in folders if (here / name).is_symlink() and not _stays_in(root, here / name)]
        found += [
            here / name for name in files if not name.startswith(".") and Path(name).suffix.lower() in SLIDE_SUFFIXES
        ]
    return sorted(found)


def _problem(root: Path, path: Path) -> SlideError | None:
    shown = os.fsencode(path).decode("utf-8", "backslashreplace")
    if path.is_symlink() and not _stays_in(root, path):
        return SlideError(
            shown, "slides inside the folder", "a link to outside of it", "Copy the slide in, or give its own folder."
        )
    if os.fsencode(path.name).decode("utf-8", "replace") != path.name:
        return SlideError(shown, "a file name in UTF-8", "other bytes", "Rename the file: its name is the slide's id.")
    if path.is_file() and openslide.OpenSlide.detect_format(path) is None:
        return SlideError(
            shown,
            "a slide that OpenSlide knows",
            "an unknown or damaged file",
            "Copy it again from the scanner; if it is no slide, move it elsewhere.",
        )
    return None


def _stays_in(root: Path, path: Path) -> bool:
    return path.resolve().is_relative_to(root.resolve())
