"""Which units of a build are finished: known by what they were made of and the hashes of their files."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..hashing import sha256_of
from ..notes import read_checked, with_checksum
from .files import Shard, file_stem
from .manifest import Manifest
from .staging import link_or_copy


@dataclass(frozen=True)
class Finished:
    """A unit that is done.

    Args:
        unit: its name.
        root: the folder that its files are in.
        shards: its files.
        entry: what the manifest says of it; `inputs` is the digest of all that it was made of.
    """

    unit: str
    root: Path
    shards: tuple[Shard, ...]
    entry: Mapping[str, Any]


def record(journal: Path, finished: Finished) -> None:
    """Note that a unit is done; the note appears whole or not at all."""
    journal.mkdir(parents=True, exist_ok=True)
    target = journal / f"{file_stem(finished.unit)}.json"
    part = target.with_suffix(".part")
    shards = [asdict(shard) for shard in finished.shards]
    content = {"unit": finished.unit, "shards": shards, "entry": finished.entry}
    with part.open("w", encoding="utf-8") as file:
        json.dump(with_checksum(content), file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(target)


def noted(journal: Path, tree: Path) -> Iterator[Finished]:
    """Units that an interrupted run noted in `journal`, with files in `tree`; a note that is not whole is none."""
    for note in sorted(journal.glob("*.json")):
        try:
            content = read_checked(note)
            shards = tuple(Shard(**shard) for shard in content["shards"])
            yield Finished(str(content["unit"]), tree, shards, dict(content["entry"]))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue


def published(manifest: Manifest, root: Path) -> Iterator[Finished]:
    """Units of a data set that is there already."""
    of_unit: dict[str, list[Shard]] = defaultdict(list)
    for shard in manifest.shards:
        of_unit[shard.unit].append(shard)
    for unit, entry in manifest.units.items():
        yield Finished(unit, root, tuple(of_unit.get(unit, ())), entry)


def adopt(candidates: Iterable[Finished], inputs: Mapping[str, str], tree: Path) -> dict[str, Finished]:
    """Take over into `tree` the files of each unit that was made of the same inputs, if every file has its hash.

    Args:
        candidates: the first that fits is taken.
        inputs: unit -> digest of what it is to be made of.
        tree: the new data set's root.
    """
    adopted: dict[str, Finished] = {}
    for one in candidates:
        wanted = inputs.get(one.unit)
        if wanted is None or one.unit in adopted or one.entry.get("inputs") != wanted:
            continue
        if not all(_is_own(shard, one.unit) and _is_whole(one.root / shard.path, shard) for shard in one.shards):
            continue
        if one.root != tree:
            for shard in one.shards:
                link_or_copy(one.root / shard.path, tree / shard.path)
        adopted[one.unit] = one
    return adopted


def _is_own(shard: Shard, unit: str) -> bool:
    """Whether a path is one that the unit's files have: nothing else is read or written, whatever a manifest says."""
    name = rf"data/wsi_\w+/patch_\w+/{re.escape(file_stem(unit))}(\.part-\d+)?\.parquet"
    return re.fullmatch(name, shard.path) is not None


def _is_whole(path: Path, shard: Shard) -> bool:
    try:
        return not path.is_symlink() and path.stat().st_size == shard.bytes and sha256_of(path) == shard.sha256
    except OSError:
        return False
