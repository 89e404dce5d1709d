"""The manifest of a data set: what its files are, what they were made from, and how."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from her2_ihc_40x import (
    CLASSES,
    CONFIGS,
    MANIFEST_FORMAT,
    MANIFEST_VERSION,
    MAX_MANIFEST_BYTES,
    SPLITS,
    ReleaseError,
    __version__,
)

from ..hashing import checksum
from .files import Shard, Sides, digest

FILE_NAME = "manifest.json"
#: What a data set can be made from: each has its texts for the card.
KINDS = ("release", "slides")

#: config -> split -> label -> patches
Counts = Mapping[str, Mapping[str, Mapping[str, int]]]


@dataclass(frozen=True, order=True)
class Companion:
    """A file beside the shards: the card, a figure, or croissant.json.

    Args:
        path: from the data set's root, with "/".
        sha256: of the file.
        bytes: its size.
    """

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """What a folder of shards holds; a function of the inputs and parameters alone, without times or paths.

    Args:
        shards: every Parquet file.
        counts: patches by config, split and class; a config or split without any is left out.
        parameters: how the patches were made.
        source: what they were made from: at least its "kind", one of `KINDS`.
        units: unit -> a digest of its inputs, by which an unchanged one is known.
        report: what a reader should know about the input: format mismatches, duplicates, and so on.
        hue_references: class -> {patch_ids, histogram}: what the hue filter compared with; empty for a release.
        companions: the other files, but for the manifest itself; they are not in the digest.
    """

    shards: Sequence[Shard]
    counts: Counts
    parameters: Mapping[str, Any]
    source: Mapping[str, Any]
    units: Mapping[str, Mapping[str, Any]]
    report: Mapping[str, Any] = field(default_factory=dict)
    hue_references: Mapping[str, Any] = field(default_factory=dict)
    companions: Sequence[Companion] = ()

    @property
    def digest(self) -> str:
        """A digest of all shards; it is in the card's YAML, by which `datasets` knows a changed folder."""
        return digest(self.shards)

    @property
    def rows(self) -> int:
        """Patches in the data set, each counted once."""
        return sum(shard.rows for shard in self.shards)

    def files_of(self, config: str, split: str) -> list[Shard]:
        """The files that a split of a config reads."""
        parts = ("data", f"wsi_{split}") if config == "wsi_split" else (f"patch_{split}",)
        at = slice(0, 2) if config == "wsi_split" else slice(2, 3)
        return [shard for shard in self.shards if tuple(shard.path.split("/")[at]) == parts]

    def to_json(self, made_by: str = __version__) -> str:
        """The text of the file, the one way to write it: sorted keys, two spaces, a newline at the end.

        Args:
            made_by: the version of this package that it names.
        """
        content: dict[str, Any] = {
            "format": MANIFEST_FORMAT,
            "format_version": MANIFEST_VERSION,
            "made_by": {"her2-ihc-40x": made_by},
            "digest": self.digest,
            "files": [asdict(shard) for shard in sorted(self.shards)],
            "companions": [asdict(companion) for companion in sorted(self.companions)],
            "counts": self.counts,
            "parameters": self.parameters,
            "source": self.source,
            "units": self.units,
            "report": self.report,
            "hue_references": self.hue_references,
        }
        content["sha256"] = checksum(content)
        return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


class EditedManifestError(ReleaseError):
    """A manifest says something else than what its own sha256 was made of: what is made from it would pass for true."""


def read_manifest(folder: Path) -> Manifest:
    """Read a data set's manifest to look at it: whether anybody edited what does not concern the shards is not asked.

    Raises:
        ReleaseError: there is no such folder, or no manifest, or it is not one of ours, or damaged.
    """
    return _parse(folder)[0]


def read_whole_manifest(folder: Path) -> Manifest:
    """Read a data set's manifest to make something from it, which writes what it says anew, with a sha256 that fits.

    Raises:
        EditedManifestError: its own sha256 is of something else.
        ReleaseError: as `read_manifest`.
    """
    manifest, is_whole = _parse(folder)
    if not is_whole:
        raise EditedManifestError(
            str(folder / FILE_NAME),
            "what its own sha256 was made of",
            "something else: it was edited or damaged",
            "Put the file back as it was made, or make the folder again.",
        )
    return manifest


def _parse(folder: Path) -> tuple[Manifest, bool]:
    """A manifest, and whether its own sha256 fits it."""
    if not folder.is_dir():
        found = "a file" if folder.is_file() else "no such folder"
        raise ReleaseError(str(folder), "the folder of a data set", found, "Check the path.")
    path = folder / FILE_NAME
    try:
        content = json.loads(_read(path), object_pairs_hook=_each_once, parse_constant=_finite, parse_float=_finite)
        if content["format"] != MANIFEST_FORMAT or content["format_version"] != MANIFEST_VERSION:
            raise ValueError(f"format {content['format']!r}, version {content['format_version']!r}")
        manifest = Manifest(
            shards=[Shard(**entry) for entry in _list(content["files"])],
            counts=content["counts"],
            parameters=content["parameters"],
            source=content["source"],
            units=content["units"],
            report=content["report"],
            hue_references=content["hue_references"],
            companions=[Companion(**entry) for entry in _list(content["companions"])],
        )
        _check_types(manifest)
        if manifest.digest != content["digest"]:
            raise ValueError("a digest that does not fit its files")
        is_whole = content.get("sha256") == checksum(content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ReleaseError(
            str(path), "a manifest of this format", f"{error.__class__.__name__}: {error}", "Make the folder again."
        ) from error
    return manifest, is_whole


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A mapping of JSON; of a key that is there twice readers take one or the other."""
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a key that is there twice")
    return content


def _finite(text: str) -> float:
    """A number of JSON; NaN, which is not equal to itself, and what is too large are none."""
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text:.80} in place of a number")
    return number


def _read(path: Path) -> bytes:
    """The bytes of a plain file of a size that a manifest has: a pipe would be waited for without end."""
    if not path.is_file():
        raise ValueError("no file")
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        raise ValueError(f"{path.stat().st_size} bytes, more than {MAX_MANIFEST_BYTES}")
    return path.read_bytes()


def _check_types(manifest: Manifest) -> None:
    """Refuse what no manifest of ours holds, so that nobody who uses one need ask again.

    Raises:
        ValueError: it says which part.
    """
    for entry in (*manifest.shards, *manifest.companions):
        for name, value in vars(entry).items():
            if type(value) is not (int if name in ("bytes", "rows") else str):
                raise ValueError(f"{name} {value!r:.80} of a file")
    parts = {name: getattr(manifest, name) for name in ("parameters", "source", "report", "hue_references", "units")}
    for name, part in {**parts, **{f"unit {unit!r}": entry for unit, entry in _items(parts["units"])}}.items():
        if not isinstance(part, dict):
            raise ValueError(f"{name} that is no mapping")
    for config, splits in _items(manifest.counts):
        for split, labels in _items(splits):
            of_classes = all(label in CLASSES and type(count) is int for label, count in _items(labels))
            if config not in CONFIGS or split not in SPLITS or not of_classes:
                raise ValueError(f"counts of {config!r:.40}, {split!r:.40}")
    if (kind := manifest.source.get("kind")) not in KINDS:
        raise ValueError(f"a data set of the kind {kind!r:.80}")
    licence, record = (manifest.source.get(name) for name in ("licence", "record"))
    if not isinstance(licence, str | None) or not isinstance(record, dict | None):
        raise ValueError("a licence or record of another type")


def _list(content: Any) -> list[Any]:
    if not isinstance(content, list):
        raise ValueError(f"{type(content).__name__} in place of a list")
    return content


def _items(mapping: Any) -> Iterable[tuple[Any, Any]]:
    if not isinstance(mapping, dict):
        raise ValueError(f"{type(mapping).__name__} in place of a mapping")
    return mapping.items()


def count_labels(rows: Sequence[tuple[Sides, str]]) -> dict[str, dict[str, dict[str, int]]]:
    """Patches by config, split and class; every class of a split that has any is there, with 0 if need be."""
    found = Counter(
        (config, split, label)
        for sides, label in rows
        for config, split in (("wsi_split", sides.wsi), ("patch_split", sides.patch))
        if split != "none"
    )
    splits = [(config, split) for config in CONFIGS for split in SPLITS]
    return {
        config: {
            split: {label: found[config, split, label] for label in CLASSES}
            for name, split in splits
            if name == config and any(found[config, split, label] for label in CLASSES)
        }
        for config in CONFIGS
        if any(key[0] == config for key in found)
    }
