"""The files in which the pixels of a slide are when the one that is opened only tells of them."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import SlideError
from ..places import shown, why_not_a_file

#: OpenSlide reads no longer index.
_INDEX_BYTES = 1 << 20
#: The lines of an index by which OpenSlide opens files: Hamamatsu's, and those of 3DHISTECH's Slidat.ini.
_NAMING = re.compile(r"\s*(ImageFile|MapFile|OptimisationFile|MacroImage|INDEXFILE|FILE_\d)[^=]*=(?P<name>.*)")


def files_beside(slide: Path, root: Path) -> tuple[Path, ...]:
    """The files that OpenSlide opens beside a slide's own, by name.

    For 3DHISTECH (`x.mrxs`) all that is in the folder `x`, for Hamamatsu (`.vms`, `.vmu`) what the index names; none
    for the others (https://openslide.org/formats/).

    Args:
        slide: the file to open.
        root: the folder that was given.

    Raises:
        SlideError: one is no plain file in its place below `root`.
    """
    try:
        found, named = _entries(slide)
        unsafe = [(entry, why_not_a_file(entry, root)) for entry in found]
    except OSError as error:
        told, remedy = error.strerror or repr(error), "Check the disk and the permissions."
        raise SlideError(shown(slide), "readable files beside it", told, remedy) from error
    reasons = [f"{entry.name!a}, {reason}" for entry, reason in unsafe if reason not in (None, "a folder")]
    reasons += [f"{name!a}, a file elsewhere" for name in named if re.search(r"[/\\]", name)]
    if reasons:
        raise SlideError(shown(slide), "plain files beside it", reasons[0], "Copy the slide's own files in.")
    return tuple(entry for entry, reason in unsafe if reason is None)


def _entries(slide: Path) -> tuple[list[Path], list[str]]:
    """What is beside a file for OpenSlide to open, whatever it is, and what its index names."""
    suffix, folder = slide.suffix.lower(), slide.with_suffix("")
    if suffix == ".mrxs" and (folder.is_dir() or folder.is_symlink()):
        index = folder / "Slidat.ini"
        return [folder, *sorted(folder.iterdir())], _named(index) if index.is_file() else []
    if suffix in {".vms", ".vmu"}:
        named = _named(slide)
        beside = [slide.with_name(name) for name in named if Path(name).name == name]
        return [entry for entry in beside if entry.is_symlink() or entry.exists()], named
    return [], []


def _named(index: Path) -> list[str]:
    with index.open("rb") as file:
        lines = file.read(_INDEX_BYTES).decode("utf-8", "replace").splitlines()
    names = {line["name"].strip() for text in lines if (line := _NAMING.match(text))}
    return sorted(name for name in names if name and "\0" not in name)
