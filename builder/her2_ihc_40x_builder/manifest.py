"""The manifest of a data set: what its files are, what they were made from, and how."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from her2_ihc_40x import CLASSES, CONFIGS, MANIFEST_FORMAT, MANIFEST_VERSION, SPLITS, ReleaseError, __version__

from .shards import Shard, Sides, digest

FILE_NAME = "manifest.json"

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
        source: what they were made from: at least its "kind", "release" or "slides".
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

    def to_json(self) -> str:
        """The text of the file: sorted keys, two spaces, a newline at the end."""
        content: dict[str, Any] = {
            "format": MANIFEST_FORMAT,
            "format_version": MANIFEST_VERSION,
            "made_by": {"her2-ihc-40x": __version__},
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
        return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def read_manifest(folder: Path) -> Manifest:
    """Read a data set's manifest.

    Raises:
        ReleaseError: there is none, or it is not one of ours, or damaged.
    """
    path = folder / FILE_NAME
    try:
        content = json.loads(path.read_bytes())
        if content["format"] != MANIFEST_FORMAT or content["format_version"] != MANIFEST_VERSION:
            raise ValueError(f"format {content['format']!r}, version {content['format_version']!r}")
        manifest = Manifest(
            shards=[Shard(**entry) for entry in content["files"]],
            counts=_counts(content["counts"]),
            parameters=content["parameters"],
            source=dict(content["source"]),
            units=content["units"],
            report=content["report"],
            hue_references=content["hue_references"],
            companions=[Companion(**entry) for entry in content["companions"]],
        )
        if manifest.digest != content["digest"]:
            raise ValueError("a digest that does not fit its files")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ReleaseError(
            str(path), "a manifest of this format", f"{error.__class__.__name__}: {error}", "Make the folder again."
        ) from error
    return manifest


def _counts(content: Any) -> Counts:
    """Counts as they were read, in the shape of counts, or an error that `read_manifest` knows."""
    return {
        str(config): {
            str(split): {str(label): int(number) for label, number in labels.items()}
            for split, labels in splits.items()
        }
        for config, splits in content.items()
    }


def checksum(content: Mapping[str, Any]) -> str:
    """The sha256 of all that a manifest says but for itself: one that was edited or damaged is known by it."""
    told = {key: value for key, value in content.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def is_ours(folder: Path) -> bool:
    """Whether a folder holds a data set that this project wrote."""
    try:
        read_manifest(folder)
    except ReleaseError:
        return False
    return True


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
