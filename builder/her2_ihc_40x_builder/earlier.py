"""An earlier data set that was built from slides: the one that a build replaces, and the one whose sides it keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from her2_ihc_40x import ReleaseError

from .errors import OutputError
from .privacy.pseudonyms import Key, sealed
from .shards.made import Made, made_data_set
from .shards.manifest import EditedManifestError, Manifest, read_manifest, read_whole_manifest
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
    if _built(out) is None:
        return None
    try:
        return read_whole_manifest(out)
    except EditedManifestError as error:
        if overwrite:
            say(f"{error.subject} was edited or damaged: nothing is taken over from this data set, all is made anew")
            return None
        remedy = "Put the file back as it was made, give --overwrite to make all anew, or give another --out."
        raise OutputError(error.subject, error.expected, error.found, remedy) from error


def _built(folder: Path) -> Manifest | None:
    try:
        manifest = read_manifest(folder)
    except ReleaseError:
        return None
    return manifest if manifest.source.get("kind") == "slides" else None


def made_build(folder: Path) -> Made | None:
    """What is ours in a data set that was built from slides; None of any other folder."""
    return made_data_set(folder) if _built(folder) else None


def moved_slides(earlier: Manifest | None, manifest: Manifest) -> tuple[str, ...]:
    """Slides that are on another side of `wsi_split` than before."""
    before = {unit.get("content_key"): unit.get("wsi_side") for unit in (earlier.units.values() if earlier else ())}
    return tuple(
        slide_id
        for slide_id, unit in manifest.units.items()
        if before.get(unit["content_key"], unit["wsi_side"]) != unit["wsi_side"]
    )


def gone_slides(earlier: Manifest | None, manifest: Manifest) -> tuple[str, ...]:
    """Slides of before that are not there any more, under any name."""
    still = {unit["content_key"] for unit in manifest.units.values()}
    before = earlier.units.items() if earlier else ()
    # What is there already may be of another version, or written by anybody: of a slide without a key its name counts.
    return tuple(
        slide for slide, unit in before if unit.get("content_key") not in still and slide not in manifest.units
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
        mark, side = entry.get("content_key"), entry.get("wsi_side")
        if not isinstance(mark, str) or side not in ("train", "test"):
            raise ReleaseError(f"{folder}, unit {unit}", "a content key and a side", "none", "Give another --previous.")
        sides[mark] = "train" if side == "train" else "test"
    return sides


def unsealed_sides(sides: Mapping[str, Side], content_keys: Iterable[str], key: Key | None) -> dict[str, Side]:
    """The sides that `previous_sides` gave, by content keys as they are."""
    marks = {content_key: sealed(content_key, key) for content_key in content_keys}
    return {content_key: sides[mark] for content_key, mark in marks.items() if mark in sides}
