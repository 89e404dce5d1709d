"""Which units of a build are finished: known by what they were made of and the hashes of their files."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from her2_ihc_40x import ReleaseError

from .manifest import read_manifest
from .shards import Shard, file_stem


@dataclass(frozen=True)
class Finished:
    """A unit that is done.

    Args:
        root: the folder that its files are in.
        shards: its files.
        entry: what the manifest says of it; `inputs` is the digest of all that it was made of.
    """

    root: Path
    shards: tuple[Shard, ...]
    entry: Mapping[str, Any]


def record(journal: Path, unit: str, finished: Finished) -> None:
    """Note that a unit is done; the note appears whole or not at all."""
    journal.mkdir(parents=True, exist_ok=True)
    target = journal / f"{file_stem(unit)}.json"
    part = target.with_suffix(".part")
    content = {"unit": unit, "shards": [asdict(shard) for shard in finished.shards], "entry": finished.entry}
    with part.open("w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(target)


def finished_units(journal: Path, tree: Path, earlier: Path) -> dict[str, Finished]:
    """Units that an interrupted run noted in `journal`, with files in `tree`, and those of a data set `earlier`.

    A note or a manifest that cannot be read counts as none: its units are made again.
    """
    found: dict[str, Finished] = {}
    try:
        manifest = read_manifest(earlier)
    except ReleaseError:
        manifest = None
    if manifest is not None:
        for unit, entry in manifest.units.items():
            found[unit] = Finished(earlier, tuple(s for s in manifest.shards if s.unit == unit), entry)
    for note in sorted(journal.glob("*.json")):
        try:
            content = json.loads(note.read_bytes())
            shards = tuple(Shard(**shard) for shard in content["shards"])
            found[content["unit"]] = Finished(tree, shards, content["entry"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def adopt(finished: Finished, inputs: str, tree: Path) -> bool:
    """Take over a unit's files into `tree` if it was made of the same inputs and every file has its hash."""
    if finished.entry.get("inputs") != inputs:
        return False
    for shard in finished.shards:
        if not _is_whole(finished.root / shard.path, shard):
            return False
    if finished.root != tree:
        for shard in finished.shards:
            target = tree / shard.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            _link(finished.root / shard.path, target)
    return True


def _is_whole(path: Path, shard: Shard) -> bool:
    try:
        if path.is_symlink() or path.stat().st_size != shard.bytes:
            return False
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError:
        return False
    return digest.hexdigest() == shard.sha256


def _link(source: Path, target: Path) -> None:
    """A second name for the same bytes, which nobody writes to again; a copy where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
        with target.open("rb") as file:
            os.fsync(file.fileno())
