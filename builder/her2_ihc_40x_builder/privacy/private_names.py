"""What a build may tell of its inputs: all, or pseudonyms alone, while a file of the owner's keeps what they hide."""

from __future__ import annotations

import json
import os
import re
import secrets
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from ..errors import Her2Error, OutputError
from ..places import SPECIAL, is_special
from ..regions import Region
from ..shards.manifest import Manifest
from ..slide_plan import BuildPlan, SlidePlan
from ..slides.files import is_file_name
from ..streams import UnwritableError
from .key_file import read_key, read_or_make_key, write_private
from .pseudonyms import Key

FORMAT, VERSION = "her2-ihc-40x names", 1


class OpenNames:
    """Names, errors and warnings as they are."""

    key: Key | None = None

    def renamed(self, plan: BuildPlan) -> BuildPlan:
        """The plan under the names that may be told."""
        return plan

    def told(self, subject: str, error: Her2Error) -> Her2Error:
        """What may be told of an error with a slide."""
        return error

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Let no error pass that tells more than may be told."""
        yield


class PrivateNames(OpenNames):
    """Pseudonyms of slides, patients, regions and files; the names and all free text stay in `path`.

    Messages quote paths, table rows and annotations, so that no search for names would clean them surely: what is told
    is which kind of trouble a pseudonym is in, and the number of the note in `path` that has the message. A text keeps
    its number for good, whatever other runs with the key note, before, after or meanwhile.

    Args:
        key: of the pseudonyms.
        path: the file of names; what earlier runs wrote in it stays, names and notes.
    """

    def __init__(self, key: Key, path: Path) -> None:
        self.key: Key = key
        self.path = path
        self._names: dict[str, dict[str, Any]] = {"slides": {}, "cases": {}, "regions": {}, "files": {}}
        self._is_tidy = False
        self._save()  # before the work: a file of another key, or no room, stops it

    def renamed(self, plan: BuildPlan) -> BuildPlan:
        """The plan under pseudonyms, in their order; names and warnings go to the file."""
        slides = sorted((self._slide(slide) for slide in plan.slides), key=lambda slide: slide.slide_id)
        quarantined = {}
        for name, error in plan.quarantined.items():
            pseudonym = self._file(name) if is_file_name(name) else self._slide_id(name)
            quarantined[pseudonym] = self.told(pseudonym, error)
        warnings: tuple[str, ...] = ()
        numbers = self._save(*plan.warnings)
        if numbers:
            found = f"{len(plan.warnings)} warnings may name slides or patients"
            warnings = (f"{found}: see {_listed(numbers)} in {self.path}.",)
        return replace(plan, slides=tuple(slides), quarantined=dict(sorted(quarantined.items())), warnings=warnings)

    def told(self, subject: str, error: Her2Error) -> Her2Error:
        """The kind of an error, and where its message is."""
        return type(error)(
            subject, "no trouble", f"the error {type(error).__name__}", self._note(f"{subject}: {error}")
        )

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Replace every error, and the traceback of one that nobody expected, by a note of it."""
        try:
            yield
        except UnwritableError:  # which names nothing
            raise
        except Her2Error as error:
            raise self.told("the build", error) from None
        except OSError as error:
            found = error.strerror or type(error).__name__
            remedy = self._note(traceback.format_exc())
            raise OutputError("the build", "room and permission to read and write", found, remedy) from None
        except Exception as error:  # whatever it is, its traceback may hold names
            found, remedy = f"an unexpected {type(error).__name__}", self._note(traceback.format_exc())
            raise Her2Error("the build", "an end without it", found, remedy) from None

    def _note(self, text: str) -> str:
        (number,) = self._save(text)
        return f"Note {number} in {self.path} has the message, with names."

    # --- Names ------------------------------------------------------------------------------------------------------

    def _slide(self, slide: SlidePlan) -> SlidePlan:
        patches = (replace(patch, roi_id=self._roi_id(slide.slide_id, patch.roi_id)) for patch in slide.patches)
        return replace(
            slide,
            slide_id=self._slide_id(slide.slide_id),
            case_id=None if slide.case_id is None else self._case_id(slide.case_id),
            regions=tuple(sorted(map(self._region, slide.regions), key=lambda region: region.roi_id)),
            patches=tuple(sorted(patches, key=lambda patch: (patch.roi_id, patch.box))),
            key=self.key,
        )

    def _region(self, region: Region) -> Region:
        roi_id = self._roi_id(region.slide_id, region.roi_id)
        return replace(region, slide_id=self._slide_id(region.slide_id), roi_id=roi_id, class_name=None, source=Path())

    def _slide_id(self, name: str) -> str:
        return self._keep("slides", self.key.slide(name), name)

    def _case_id(self, name: str) -> str:
        return self._keep("cases", self.key.case(name), name)

    def _roi_id(self, slide_id: str, roi_id: str) -> str:
        return self._keep("regions", self.key.region(slide_id, roi_id), {"slide": slide_id, "region": roi_id})

    def _file(self, name: str) -> str:
        return self._keep("files", self.key.file(name), name)

    def _keep(self, kind: str, pseudonym: str, name: Any) -> str:
        if self._names[kind].setdefault(pseudonym, name) != name:
            raise OutputError(str(self.path), "a name for each pseudonym", pseudonym, "Use another key.")
        return pseudonym

    # --- The file ---------------------------------------------------------------------------------------------------

    def _save(self, *texts: str) -> list[int]:
        """Write the file with what is in it already; it appears whole, and is never readable by others.

        Args:
            texts: to be noted; one that is there already stays where it is.

        Returns:
            The number of the note of each.
        """
        part = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.part")
        try:
            with FileLock(self.path.with_name(f".{self.path.name}.lock")):
                there, notes = self._read()
                for kind, names in there.items():
                    self._names[kind] = {**names, **self._names[kind]}
                numbers = [_number(text, notes) for text in texts]
                if not self._is_tidy:
                    self._remove_leftovers()
                    self._is_tidy = True
                content = {"format": FORMAT, "format_version": VERSION, "key_id": self.key.id, **self._names}
                written = json.dumps({**content, "notes": notes}, indent=1, sort_keys=True)
                try:
                    write_private(part, written + "\n")
                    part.replace(self.path)
                finally:
                    part.unlink(missing_ok=True)
        except OSError as error:
            if isinstance(error, Her2Error):
                raise
            found, remedy = error.strerror or repr(error), "Free disk space or permissions: names would be lost."
            raise OutputError(str(self.path), "a place to keep names", found, remedy) from error
        return numbers

    def _remove_leftovers(self) -> None:
        """Remove what runs that were killed as they wrote left beside the file, names and all; the lock is held."""
        name = re.compile(rf"\.{re.escape(self.path.name)}\.[0-9a-f]{{8}}\.part")
        for one in list(self.path.parent.iterdir()):
            if name.fullmatch(one.name) and one.is_file() and not one.is_symlink():
                with suppress(PermissionError):  # in a folder that many write, somebody else's
                    one.unlink()

    def _read(self) -> tuple[Mapping[str, dict[str, Any]], list[str]]:
        """The names and the notes that the file holds."""
        if is_special(self.path):
            raise OutputError(str(self.path), "a file of names", SPECIAL, "Move it elsewhere.")
        try:
            content = json.loads(self.path.read_bytes())
            if content["format"] != FORMAT or content["format_version"] != VERSION:
                raise ValueError("another format")
            key_id, names = str(content["key_id"]), {kind: dict(content[kind]) for kind in self._names}
            if not isinstance(notes := content["notes"], list):
                raise ValueError("no list of notes")
        except FileNotFoundError:
            return {}, []
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            found, remedy = type(error).__name__, "Move it elsewhere."
            raise OutputError(str(self.path), "a file of names", found, remedy) from None
        if key_id != self.key.id:
            remedy = "Give the key that it was made with, or move it elsewhere and keep it with its key."
            raise OutputError(str(self.path), f"the names of key {self.key.id}", f"those of {key_id}", remedy)
        return names, notes


def _number(text: str, notes: list[str]) -> int:
    """The number of a note, which is added if it is new."""
    if text not in notes:
        notes.append(text)
    return notes.index(text) + 1


def _listed(numbers: Iterable[int]) -> str:
    """Numbers of notes in words: note 4, or notes 1 to 3, 7."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    words = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    return f"{'note' if sum(map(len, runs)) == 1 else 'notes'} {', '.join(words)}"


def check_key(key_file: Path, out: Path, earlier: Manifest) -> None:
    """Refuse another key than the one that a data set was built with, before anything is made.

    Args:
        key_file: the key; one that is not there would be a new one.
        out: where the data set is.
        earlier: its manifest.

    Raises:
        OutputError: it is another key, or no key can be read.
    """
    there = read_key(key_file).id if os.path.lexists(key_file) else None
    built = earlier.parameters.get("pseudonyms")
    if there is None or there != built:
        expected = f"key {built}, which it was built with" if built else "no --pseudonymize, as it was built"
        found = f"key {there}" if there else f"no key in {key_file}, so a new one"
        raise OutputError(str(out), expected, found, "Give that, --overwrite to replace it, or another --out.")


def check_not_read(key_file: Path, regions: Path) -> None:
    """Refuse a key in the folder of regions, where the file of names beside it would be read as annotations.

    Raises:
        OutputError: it lies there.
    """
    if _lies_in(key_file, regions):
        remedy = "Keep it elsewhere, with its file of names: all JSON there is read as annotations."
        raise OutputError(str(key_file), "a key outside the folder of regions", f"{regions}", remedy)


def _lies_in(key_file: Path, folder: Path) -> bool:
    """Whether a key, or the file of names beside it, is below a folder; a link to the key may be elsewhere than it."""
    return any(place.is_relative_to(folder.resolve()) for place in (key_file.resolve(), key_file.parent.resolve()))


def open_names(key_file: Path, *outputs: Path) -> tuple[PrivateNames, bool]:
    """Read the key in a file, or make one, and open the file of names beside it, `<key file>.names.json`.

    Args:
        key_file: the key.
        outputs: folders that may be published or shown, in which neither may lie.

    Returns:
        The names, and whether the key was made.

    Raises:
        OutputError: the key is refused, or lies in an output, or the names are of another key.
    """
    for output in outputs:
        if _lies_in(key_file, output):
            raise OutputError(str(key_file), "a key outside the output", f"{output}", "Keep it where nobody publishes.")
    book = key_file.with_name(f"{key_file.name}.names.json")
    if book.exists() and not os.path.lexists(key_file):
        remedy = "Put the key back, move the names elsewhere, or name another key file."
        raise OutputError(str(key_file), f"the key of {book}", "no file", remedy)
    key, made = read_or_make_key(key_file)
    return PrivateNames(key, book), made
