"""What both demos check of a data set that they made, and what they show of it; with plain `datasets` throughout."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import datasets
from PIL import Image
from tqdm.auto import tqdm

from her2_ihc_40x import CLASSES, Her2Error

_EXAMPLES = 6


class DemoError(Her2Error, RuntimeError):
    """A step of a demo gave something else than it had to."""


def check_load(
    shards: Path, config: str, expected: Mapping[tuple[str, str], int], cache: Path, patch_size: int = 1024
) -> None:
    """Load a config map-style and streaming; compare the counts, and that no patch is doubled.

    Args:
        shards: the data set's folder.
        config: `wsi_split` or `patch_split`.
        expected: (split, class) -> patches; a pair without a patch is left out.
        cache: where the map-style copy goes.
        patch_size: pixels of a side of every patch.

    Raises:
        DemoError: what was loaded is something else.
    """
    mapped = datasets.load_dataset(str(shards), config, cache_dir=str(cache))
    streamed = datasets.load_dataset(str(shards), config, streaming=True)
    for name, loaded in (("map-style", mapped), ("streaming", streamed)):
        found: Counter[tuple[str, str]] = Counter()
        ids = set()
        for split, row in _rows(loaded, patch_size):
            found[split, CLASSES[row["label"]]] += 1
            ids.add(row["patch_id"])
        if found != expected or len(ids) != found.total():
            raise DemoError(f"{config}, {name}", f"the patches that were drawn, {expected}", str(found), "Report this.")


def example_patches(shards: Path) -> dict[str, list[Image.Image]]:
    """Class -> the first patches of it in the streamed `wsi_split`, for a contact sheet."""
    rows: dict[str, list[Image.Image]] = defaultdict(list)
    decoder = datasets.Image()
    for split in datasets.load_dataset(str(shards), "wsi_split", streaming=True).values():
        for row in split.cast_column("image", datasets.Image(decode=False)):
            images = rows[CLASSES[row["label"]]]
            if len(images) < _EXAMPLES:
                images.append(decoder.decode_example(row["image"]))
    return {label: rows[label] for label in CLASSES}


def _rows(loaded: Any, patch_size: int) -> Iterator[tuple[str, dict[str, Any]]]:
    for split, dataset in loaded.items():
        for row in tqdm(dataset, desc=f"Reading {split}", unit="patch", disable=None):
            size = row["image"].size
            if size != (patch_size, patch_size):
                raise DemoError(row["patch_id"], f"{patch_size} x {patch_size} pixels", str(size), "Report this.")
            yield split, row
