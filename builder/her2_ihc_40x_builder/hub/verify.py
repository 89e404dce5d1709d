"""Verify a data set: every file against the manifest, and manifest, card and files against each other."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import yaml

from her2_ihc_40x import CLASSES, ReleaseError, one_line

from ..card import card
from ..card.metadata import read_metadata
from ..hashing import checksum, sha256_of
from ..parallel import default_workers, run_tasks
from ..shards.files import Shard, Sides, is_file_of, open_shard
from ..shards.made import COMPANION, TOOLS, entries
from ..shards.manifest import FILE_NAME, Companion, Manifest, count_labels, read_manifest
from .difference import differences

#: Where a shard may lie.
SHARD = re.compile(r"data/wsi_(train|test|none)/patch_(train|test|none)/[A-Za-z0-9+_-][A-Za-z0-9+_.~-]*\.parquet")


@dataclass(frozen=True, order=True)
class Problem:
    """What is wrong with a file (its path from the data set's root), or with the manifest's word on it."""

    path: str
    expected: str
    found: str

    def __str__(self) -> str:
        return one_line(f"{self.path}: expected {self.expected}, found {self.found}")


@dataclass(frozen=True)
class Subset:
    """The n-th of t parts of the shards, in path order and dealt out in turn; all t parts are all shards."""

    n: int
    t: int

    def __post_init__(self) -> None:
        if not 1 <= self.n <= self.t:
            raise ValueError(f"{self.n}/{self.t}: expected n/t with 1 <= n <= t")

    @classmethod
    def parse(cls, text: str) -> Subset:
        """Read "n/t"."""
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        if match is None:
            raise ValueError(f"{text}: expected n/t, for example 1/4")
        return cls(int(match[1]), int(match[2]))


@dataclass(frozen=True)
class Verification:
    """What was found.

    Args:
        folder: the data set's root.
        manifest: None if it cannot be read; then nothing else was looked at.
        companions: the files beside shards and manifest, as paths from the root.
        checked: shards that were read in whole.
        problems: all of them, in path order.
        manifest_sha256: of the manifest's file; None if it was not compared with anything.
    """

    folder: Path
    manifest: Manifest | None
    companions: tuple[str, ...]
    checked: int
    problems: tuple[Problem, ...]
    manifest_sha256: str | None = None


def verify_folder(folder: Path, *, subset: Subset | None = None, workers: int | None = None) -> Verification:
    """Compare a data set with its manifest: presence, bytes, sha256, schema, rows, labels, card, and nothing besides.

    Args:
        folder: the data set's root; it is only read.
        subset: read only this part of the shards in whole; of the others the size is compared, and no labels counted.
        workers: threads.

    Raises:
        ReleaseError: there is no such folder.
    """
    try:
        manifest = read_manifest(folder)
    except ReleaseError as error:
        if not folder.is_dir():
            raise
        return Verification(folder, None, (), 0, (Problem(FILE_NAME, error.expected, error.found),))
    problems = list(check_entries(manifest))
    if problems:  # no path of this manifest is opened
        return Verification(folder, manifest, (), 0, tuple(sorted(problems)))
    shards = sorted(manifest.shards)
    companions, strays = _list_others(folder, {shard.path for shard in shards})
    problems += strays
    written = (folder / FILE_NAME).read_bytes()
    problems += _check_manifest(manifest, written)
    problems += _check_companions(folder, manifest, companions)
    problems += [Problem(path, "a file", "none") for path in [card.FILE_NAME] if path not in companions]
    chosen = shards if subset is None else shards[subset.n - 1 :: subset.t]
    read = run_tasks(
        _check_shard,
        [(folder, shard) for shard in chosen],
        workers=workers or default_workers(),
        label="Verifying",
        unit="B",
        weight=lambda task: task[1].bytes,
        threads=True,
    )
    problems += [problem for result in read for problem in result.problems]
    others = sorted(set(shards) - set(chosen))
    problems += [problem for shard in others for problem in _check_size(folder, shard)]
    if subset is None and all(not result.problems for result in read):
        problems += _check_counts(manifest, [result.labels for result in read])
    problems += _check_card(folder, manifest)
    named = hashlib.sha256(written).hexdigest()
    return Verification(folder, manifest, tuple(companions), len(chosen), tuple(sorted(set(problems))), named)


def check_entries(manifest: Manifest) -> Iterator[Problem]:
    """The manifest's list itself: paths stay below the root, differ on every file system, and fit their units."""
    seen: set[str] = set()
    for shard in manifest.shards:
        well_typed = isinstance(shard.path, str) and isinstance(shard.bytes, int) and isinstance(shard.rows, int)
        if not well_typed or not SHARD.fullmatch(shard.path):
            yield Problem(FILE_NAME, "paths of shards, with bytes and rows", repr(shard.path)[:200])
        elif shard.path.casefold() in seen:
            yield Problem(FILE_NAME, "each file once", shard.path)
        elif not is_file_of(shard.unit, shard.path.rpartition("/")[2]):
            yield Problem(FILE_NAME, f"the unit that {shard.path} is named after", repr(shard.unit)[:200])
        else:
            seen.add(shard.path.casefold())
    for companion in manifest.companions:
        if not isinstance(companion.path, str) or not COMPANION.fullmatch(companion.path):
            yield Problem(FILE_NAME, "paths of the card, croissant.json and figures", repr(companion.path)[:200])


def _check_manifest(manifest: Manifest, data: bytes) -> Iterator[Problem]:
    """The manifest's file: its sha256 of itself, and not a byte but what is read from it."""
    content = json.loads(data)  # as `read_manifest` has just done
    if content.get("sha256") != (found := checksum(content)):
        yield Problem(FILE_NAME, f"content with the sha256 {content.get('sha256')!r}"[:200], found)
        return
    made_by = content.get("made_by")
    version = made_by.get("her2-ihc-40x") if isinstance(made_by, dict) else None
    if data != manifest.to_json(str(version)).encode("utf-8", "surrogatepass"):
        yield Problem(FILE_NAME, "a manifest as this tool writes it", "other keys, or another layout")


def _list_others(folder: Path, listed: set[str]) -> tuple[list[str], list[Problem]]:
    """Companions, and what should not be there: unlisted files, and links, which may lead anywhere."""
    companions, problems = [], []

    def refuse(place: Path, why: str) -> None:
        path = place.relative_to(folder).as_posix()
        if not TOOLS.fullmatch(f"{path}/"):
            problems.append(Problem(path, "a folder that can be looked into", why))

    for path in entries(folder, refuse):
        if TOOLS.fullmatch(path):
            continue
        if (folder / path).is_symlink() or not (folder / path).is_file():
            problems.append(Problem(path, "a file", "a link or device"))
        elif COMPANION.fullmatch(path):
            companions.append(path)
        elif path not in listed and path != FILE_NAME:
            problems.append(Problem(path, "only files that the manifest lists, the card and figures", "a file"))
    return sorted(companions), problems


def _check_companions(folder: Path, manifest: Manifest, found: Sequence[str]) -> Iterator[Problem]:
    """Every file beside the shards against the manifest's list of them."""
    listed = {companion.path: companion for companion in manifest.companions}
    for path in sorted({*listed, *found}):
        if path not in found:
            yield Problem(path, "a file", "none")
        elif path not in listed:
            yield Problem(path, "a file that the manifest lists", "one that it does not")
        else:
            yield from _check_companion(folder, listed[path])


def _check_companion(folder: Path, listed: Companion) -> Iterator[Problem]:
    try:
        if (size := (folder / listed.path).stat().st_size) != listed.bytes:
            yield Problem(listed.path, f"{listed.bytes} bytes", f"{size} bytes")
        elif (sha256 := sha256_of(folder / listed.path)) != listed.sha256:
            yield Problem(listed.path, f"sha256 {listed.sha256}", sha256)
    except OSError as error:
        yield Problem(listed.path, "a readable file", error.strerror or repr(error))


# --- Shards -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _ReadShard:
    problems: tuple[Problem, ...]
    labels: tuple[tuple[Sides, str], ...] = ()


def _check_shard(task: tuple[Path, Shard]) -> _ReadShard:
    """Read a shard in whole; Parquet is parsed only once its hash is right."""
    folder, shard = task
    try:
        if problems := tuple(_check_size(folder, shard)):
            return _ReadShard(problems)
        found = sha256_of(folder / shard.path)
        if found != shard.sha256:
            return _ReadShard((Problem(shard.path, f"sha256 {shard.sha256}", found),))
        return _check_parquet(folder, shard)
    except (OSError, pa.ArrowException, ValueError) as error:
        return _ReadShard((Problem(shard.path, "a readable Parquet file", str(error).splitlines()[0][:300]),))


def _check_size(folder: Path, shard: Shard) -> Iterator[Problem]:
    path = folder / shard.path
    try:
        found = f"{path.stat().st_size} bytes" if path.is_file() else "no file"
    except OSError as error:
        found = error.strerror or repr(error)
    if found != f"{shard.bytes} bytes":
        yield Problem(shard.path, f"{shard.bytes} bytes", found)


def _check_parquet(folder: Path, shard: Shard) -> _ReadShard:
    with open_shard(folder / shard.path, shard.bytes) as file:
        if file.metadata.num_rows != shard.rows:
            return _ReadShard((Problem(shard.path, f"{shard.rows} rows", f"{file.metadata.num_rows} rows"),))
        labels = file.read(columns=["label"]).column("label").to_pylist()
    if wrong := Counter(label for label in labels if label not in range(len(CLASSES))):
        return _ReadShard((Problem(shard.path, f"labels 0 to {len(CLASSES) - 1}", f"{sorted(map(str, wrong))}"),))
    sides = sides_of(shard.path)
    return _ReadShard((), tuple((sides, CLASSES[label]) for label in labels))


def sides_of(path: str) -> Sides:
    """The sides that a shard's path says its patches are on."""
    _, wsi, patch, _ = path.split("/")
    return Sides(wsi.removeprefix("wsi_"), patch.removeprefix("patch_"))


# --- Manifest and card against the files --------------------------------------------------------------------------


def _check_counts(manifest: Manifest, labels: Sequence[Sequence[tuple[Sides, str]]]) -> Iterator[Problem]:
    counted = count_labels([row for rows in labels for row in rows])
    if counted != manifest.counts:
        yield Problem(FILE_NAME, f"the counts of the label columns, {counted}", str(manifest.counts)[:500])
    for unit in sorted({shard.unit for shard in manifest.shards} - set(manifest.units)):
        yield Problem(FILE_NAME, f"an entry for the unit {unit}", "none")


def _check_card(folder: Path, manifest: Manifest) -> Iterator[Problem]:
    path = folder / card.FILE_NAME
    if path.is_symlink() or not path.is_file():
        return
    try:
        expected = card.card_metadata(manifest)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        yield Problem(FILE_NAME, "what a card is made from", f"{error.__class__.__name__}: {error}")
        return
    try:
        found = read_metadata(path)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        yield Problem(card.FILE_NAME, "metadata in YAML", str(error)[:300] or error.__class__.__name__)
        return
    for one in differences(expected, found):
        yield Problem(card.FILE_NAME, f"{one.place}: {one.expected}", one.found)
