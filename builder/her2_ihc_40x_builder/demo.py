"""The demo: a small twin of the release is drawn, packed, loaded and looked at, with every step checked."""

from __future__ import annotations

import io
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
from PIL import Image
from tqdm.auto import tqdm

from her2_ihc_40x import CLASSES, CONFIGS, Her2Error

from .contact_sheet import draw_contact_sheet
from .drawing import draw_patch
from .manifest import Manifest, is_ours
from .pack import PackOptions, pack_release
from .parallel import default_workers, run_tasks
from .release_twin import TwinPatch, plan_twin, write_twin
from .staging import staged_folder

SHARDS = "her2-ihc-40x"
RELEASE = "release"
SHEET = "contact-sheet.png"
SCALE = 0.006
_SHEET_COLUMNS = 6


class DemoError(Her2Error, RuntimeError):
    """A step of the demo gave something else than it had to."""


@dataclass(frozen=True)
class Demo:
    """What the demo made.

    Args:
        manifest: of the shards.
        batch: column -> values of the first batch of the streamed `wsi_split`.
    """

    manifest: Manifest
    batch: dict[str, list[Any]]


def run_demo(folder: Path, *, scale: float = SCALE, workers: int | None = None, say: Callable[[str], None]) -> Demo:
    """Draw a twin of the release, pack it, load both configs with plain `datasets`, and draw a contact sheet.

    Args:
        folder: made anew; replaced if it holds an earlier demo.
        scale: of the twin, as a part of the real release.
        workers: processes.
        say: is told each step.

    Raises:
        DemoError: what was loaded is not what was drawn.
        OutputError: the folder is taken by something else.
    """
    workers = workers or default_workers()
    with staged_folder(folder, overwrite=True, is_ours=_is_demo) as tree:
        plan = plan_twin(scale)
        say(f"Drawing {len(plan)} patches like those of the release")
        drawn = dict(zip(plan, run_tasks(_draw, plan, workers=workers, label="Drawing", unit="patch"), strict=True))
        write_twin(tree / RELEASE, plan, drawn.__getitem__)
        say("Packing the two zips into shards")
        options = PackOptions(subset=True, workers=workers)
        manifest = pack_release(tree / RELEASE, tree / SHARDS, options)
        cache = tree.parent / "scratch" / "cache"
        for config in CONFIGS:
            say(f"Loading {config}: map-style and streaming")
            _check_load(tree / SHARDS, config, plan, cache)
        stream = datasets.load_dataset(str(tree / SHARDS), "wsi_split", split="train", streaming=True)
        batch = next(iter(stream.batch(batch_size=4)))
        draw_contact_sheet(_examples(tree / SHARDS)).save(tree / SHEET)
    return Demo(manifest, batch)


def _is_demo(folder: Path) -> bool:
    return is_ours(folder / SHARDS) and {entry.name for entry in folder.iterdir()} <= {SHARDS, RELEASE, SHEET}


def _draw(patch: TwinPatch) -> bytes:
    seed = zlib.crc32(patch.file_name.encode())
    pixels = draw_patch(patch.label, seed)
    file = io.BytesIO()
    image = Image.fromarray(pixels)
    if patch.suffix == "png":
        image.save(file, "PNG", compress_level=1)
    else:
        image.save(file, "JPEG", quality=95, subsampling=0)
    return file.getvalue()


def _check_load(shards: Path, config: str, plan: list[TwinPatch], cache: Path) -> None:
    """Load a config both ways and compare the counts, and that no patch is lost or doubled, with the plan."""
    sides = [(patch.patch_side if config == "patch_split" else patch.wsi_side, patch.label) for patch in plan]
    expected = Counter((side, label) for side, label in sides if side != "none")
    mapped = datasets.load_dataset(str(shards), config, cache_dir=str(cache))
    streamed = datasets.load_dataset(str(shards), config, streaming=True)
    for name, loaded in (("map-style", mapped), ("streaming", streamed)):
        seen = list(_rows(loaded))
        found = Counter((split, CLASSES[row["label"]]) for split, row in seen)
        if found != expected or len({row["patch_id"] for _, row in seen}) != len(seen):
            raise DemoError(f"{config}, {name}", f"the patches that were drawn, {expected}", str(found), "Report this.")


def _rows(loaded: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for split, dataset in loaded.items():
        for row in tqdm(dataset, desc=f"Reading {split}", unit="patch", disable=None):
            if row["image"].convert("RGB").size != (1024, 1024):
                raise DemoError(row["patch_id"], "1024 x 1024 pixels", str(row["image"].size), "Report this.")
            yield split, row


def _examples(shards: Path) -> dict[str, list[Image.Image]]:
    rows: dict[str, list[Image.Image]] = defaultdict(list)
    for split in datasets.load_dataset(str(shards), "wsi_split", streaming=True).values():
        for row in split:
            images = rows[CLASSES[row["label"]]]
            if len(images) < _SHEET_COLUMNS:
                images.append(row["image"])
    return {label: rows[label] for label in CLASSES}
