"""Check that plain `datasets` loads a data set: from a folder or a revision of the Hub, both configs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import datasets

from her2_ihc_40x import FEATURES, ReleaseError

from ..shards.manifest import Manifest

_REMEDY = "Make the folder again; if it stays, tell the maintainers of this package."


def check_loading(source: str, manifest: Manifest, revision: str | None = None) -> None:
    """Resolve every config as a user's `load_dataset` does, and stream the first row of every split.

    Args:
        source: an absolute path, or a Hub id.
        manifest: what should be found.
        revision: of a Hub id.

    Raises:
        ReleaseError: other files, columns or numbers of rows than the manifest's would be read.
    """
    for config, counts in manifest.counts.items():
        builder = datasets.load_dataset_builder(source, config, revision=revision)
        subject = f"{config} of {source}" + (f"@{revision}" if revision else "")
        if builder.info.features != FEATURES:
            raise ReleaseError(subject, "the columns of every shard", "other columns or types", _REMEDY)
        found = {name: split.num_examples for name, split in (builder.info.splits or {}).items()}
        expected = {split: sum(labels.values()) for split, labels in counts.items()}
        if found != expected:
            raise ReleaseError(subject, f"rows {expected}", str(found), _REMEDY)
        for split in expected:
            _check_files(
                f"{subject}, {split}",
                (builder.config.data_files or {}).get(split, []),
                manifest.files_of(config, split),
            )
            next(iter(builder.as_streaming_dataset(split=split)))["image"].load()


def _check_files(subject: str, resolved: Iterable[Any], listed: Iterable[Any]) -> None:
    found = {"/".join(str(path).replace("\\", "/").split("/")[-4:]) for path in resolved}
    expected = {shard.path for shard in listed}
    if found != expected:
        first = min(found ^ expected)
        raise ReleaseError(
            subject,
            f"the {len(expected)} files that the manifest lists",
            f"{len(found)}, with a difference at {first}",
            _REMEDY,
        )
