"""An earlier data set that was built from slides: the one that a build replaces, and the one whose sides it keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from her2_ihc_40x import ReleaseError

from .errors import OutputError
from .places import shown
from .privacy.pseudonyms import Key, sealed
from .shards.made import Made, made_data_set
from .shards.manifest import EditedManifestError, Manifest, read_manifest, read_whole_manifest
from .slide_plan import SlidePlan
from .windows.splits import Side


def earlier_build(
    out: Path, *, overwrite: bool = False, say: Callable[[str], None] = lambda line: None
) -> Manifest | None:
    """The manifest of a data set at `out` that was built from slides, to go on from.

    Args:
        out: where it may be.
        overwrite: of an edited manifest nothing is taken over, and that is said; else it is refused.
        say: is told.

    Raises:
        OutputError: the manifest was edited.
    """
    try:
        return _of_slides(read_whole_manifest(out))
    except EditedManifestError as error:
        if _of_slides(read_manifest(out)) is None:
            return None
        if overwrite:
            say(f"{error.subject} was edited or damaged: nothing is taken over from this data set, all is made anew")
            return None
        remedy = "Put the file back as it was made, give --overwrite to make all anew, or give another --out."
        raise OutputError(error.subject, error.expected, error.found, remedy) from error
    except ReleaseError:
        return None


def made_build(folder: Path) -> Made | None:
    """What is ours in a data set that was built from slides; None of any other folder."""
    try:
        return made_data_set(folder) if _of_slides(read_manifest(folder)) else None
    except ReleaseError:
        return None


def _of_slides(manifest: Manifest) -> Manifest | None:
    return manifest if manifest.source.get("kind") == "slides" else None


def moved_slides(earlier: Manifest | None, manifest: Manifest) -> tuple[str, ...]:
    """Slides that are on another side of `wsi_split` than before; one of unknown content is known by its name."""
    units = earlier.units if earlier else {}
    sides = {key: _text(unit, "wsi_side") for unit in units.values() if (key := _text(unit, "content_key"))}
    named = {slide: _text(unit, "wsi_side") for slide, unit in units.items()}
    before = {slide: sides.get(unit["content_key"]) or named.get(slide) for slide, unit in manifest.units.items()}
    return tuple(slide for slide, unit in manifest.units.items() if before[slide] not in (None, unit["wsi_side"]))


def gone_slides(earlier: Manifest | None, manifest: Manifest) -> tuple[str, ...]:
    """Slides of before that are not there any more, under any name."""
    still = {unit["content_key"] for unit in manifest.units.values()}
    before = earlier.units.items() if earlier else ()
    # What is there already may be of another version, or written by anybody: of a slide without a key its name counts.
    return tuple(
        slide for slide, unit in before if _text(unit, "content_key") not in still and slide not in manifest.units
    )


def changed_slides(earlier: Manifest, keys: Mapping[str, str]) -> tuple[str, ...]:
    """Slides whose content the earlier data set does not know, while it has one of other content under their name.

    Args:
        earlier: the data set of before.
        keys: slide -> content key, both as they would be published.
    """
    there = {slide: key for slide, unit in earlier.units.items() if (key := _text(unit, "content_key"))}
    known = set(there.values())
    return tuple(slide for slide, key in keys.items() if slide in there and key not in known)


def change_warnings(
    slides: Iterable[SlidePlan], folders: Mapping[Path, Manifest | None], *, drawn: bool, key: Key | None = None
) -> tuple[str, ...]:
    """Sentences that tell which slides have the name of an earlier one alone, so that its side says nothing of theirs.

    Args:
        slides: what is to be made.
        folders: earlier data sets.
        drawn: sides are not given by a table.
        key: of the pseudonyms in them, if `slides` go by their own names.
    """
    names = {(key.slide(slide.slide_id) if key else slide.slide_id): slide for slide in slides}
    keys = {name: sealed(slide.content_key, key or slide.key) for name, slide in names.items()}
    end = ": its side was drawn anew" if drawn else ""
    return tuple(
        f"Slide {names[name].slide_id} is of other content than in {shown(folder)}{end}."
        for folder, earlier in folders.items()
        for name in (changed_slides(earlier, keys) if earlier else ())
    )


def previous_sides(folder: Path, key: Key | None = None) -> dict[str, Side]:
    """Content key, sealed if there is a key -> side of an earlier data set.

    Raises:
        ReleaseError: the folder is none of ours, its manifest was edited, it was not built from slides, or its slides
            go by names of another key.
    """
    manifest = read_whole_manifest(folder)
    if manifest.source.get("kind") != "slides":
        raise ReleaseError(
            str(folder), "a data set built from slides", str(manifest.source.get("kind")), "Give another --previous."
        )
    made_with, wanted = manifest.parameters.get("pseudonyms"), key.id if key else None
    if made_with != wanted:
        expected, found = (
            f"pseudonyms of key {one}" if one else "slides by their names" for one in (wanted, made_with)
        )
        raise ReleaseError(str(folder), expected, found, "Give both builds the same --pseudonymize.")
    sides: dict[str, Side] = {}
    for unit, entry in manifest.units.items():
        mark, side = _text(entry, "content_key"), _text(entry, "wsi_side")
        if mark is None or side not in ("train", "test"):
            raise ReleaseError(f"{folder}, unit {unit}", "a content key and a side", "none", "Give another --previous.")
        sides[mark] = "train" if side == "train" else "test"
    return sides


def unsealed_sides(sides: Mapping[str, Side], content_keys: Iterable[str], key: Key | None) -> dict[str, Side]:
    """The sides that `previous_sides` gave, by content keys as they are."""
    marks = {content_key: sealed(content_key, key) for content_key in content_keys}
    return {content_key: sides[mark] for content_key, mark in marks.items() if mark in sides}


def _text(unit: Mapping[str, Any], name: str) -> str | None:
    """A value of a unit; None where it is no text: an earlier manifest may be of another version, or by anybody."""
    value = unit.get(name)
    return value if isinstance(value, str) else None
