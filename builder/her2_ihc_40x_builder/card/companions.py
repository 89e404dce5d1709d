"""The files beside the shards: figures, card and croissant.json, and the manifest that lists them all."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from her2_ihc_40x import ReleaseError

from ..errors import Her2Error, OutputError
from ..shards import manifest
from ..shards.manifest import Companion, Manifest, read_whole_manifest
from ..shards.staging import link_or_copy, sync_folder
from . import card, croissant
from .contents import count_strays, measure_leak, read_rows
from .figures import FOLDER, draw_figures

_PARTIAL, _OLD = ".partial", ".old"


def write_companions(folder: Path, described: Manifest) -> Manifest:
    """Write figures, card, croissant.json and, last, the manifest of the shards in a folder.

    Each file appears whole. They are a function of the shards and the manifest. If this is cut short, the manifest is
    still the old one, which does not fit the new files: do it again.

    Args:
        folder: the data set's root.
        described: the manifest; a figure that it lists and that is not drawn any more is removed.

    Returns:
        The manifest as written, with its companions.

    Raises:
        ReleaseError: a shard is missing, has another size than the manifest says, or cannot be read; its hash is not
            compared: `verify` does.
        OutputError: a folder of figures that is a link.
    """
    if (folder / FOLDER).is_symlink():
        raise OutputError(str(folder / FOLDER), "a folder", "a link, which may lead anywhere", "Remove the link.")
    files = _render(folder, described)
    companions = [Companion(path, hashlib.sha256(data).hexdigest(), len(data)) for path, data in files.items()]
    whole = replace(described, companions=sorted(companions))
    _write(folder, {**files, manifest.FILE_NAME: whole.to_json().encode()})
    for companion in described.companions:
        if companion.path not in files and re.fullmatch(rf"{FOLDER}/[A-Za-z0-9_-]+\.png", companion.path):
            (folder / companion.path).unlink(missing_ok=True)
    return whole


def refresh_companions(folder: Path, licence: str | None = None) -> Manifest:
    """Write the companions of a data set anew; its shards are only read.

    Args:
        folder: the root of a data set of ours.
        licence: the data's licence, as an id of the Hub; None to keep what the manifest says.

    Raises:
        ReleaseError: the folder is no data set of ours, or its manifest was edited, or as `write_companions`.
        OutputError: a file cannot be written.
    """
    found = read_whole_manifest(folder)
    source = {**found.source, "licence": licence} if licence else found.source
    try:
        return write_companions(folder, replace(found, source=source))
    except Her2Error:
        raise
    except OSError as error:
        raise OutputError(
            str(error.filename or folder),
            "to write the card and its figures",
            error.strerror or repr(error),
            "Free disk space or permissions, then run it again.",
        ) from error
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError) as error:
        raise ReleaseError(
            str(folder / manifest.FILE_NAME), "what a card is made from", repr(error), "Make the folder again."
        ) from error


def _render(folder: Path, described: Manifest) -> dict[str, bytes]:
    """Path -> content, in the order in which they are written."""
    rows = read_rows(folder, described)
    figures = draw_figures(folder, described, rows)
    return {
        **{figure.path: figure.png for figure in figures},
        card.FILE_NAME: card.render_card(described, figures, measure_leak(rows), count_strays(rows)).encode(),
        croissant.FILE_NAME: croissant.render_croissant(described, card.summary(described)).encode(),
    }


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put every file on the disk beside its place, then rename all in order, or none: the last is the manifest."""
    places = [folder / path for path in files]
    try:
        for place, data in zip(places, files.values(), strict=True):
            place.parent.mkdir(exist_ok=True)
            partial = _beside(place, _PARTIAL)
            partial.unlink(missing_ok=True)  # what has that name may be a link or a pipe
            with partial.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if place.exists():
                link_or_copy(place, _beside(place, _OLD))
        renamed = []
        try:
            for place in places:
                _beside(place, _PARTIAL).replace(place)
                renamed.append(place)
            for parent in sorted({place.parent for place in places}):
                sync_folder(parent)
        except OSError:
            for place in renamed:
                if _beside(place, _OLD).exists():
                    _beside(place, _OLD).replace(place)
                else:
                    place.unlink()
            raise
    finally:
        for place in places:
            for suffix in (_PARTIAL, _OLD):
                _beside(place, suffix).unlink(missing_ok=True)


def _beside(place: Path, suffix: str) -> Path:
    return place.with_name(f".{place.name}{suffix}")
