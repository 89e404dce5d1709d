"""The demo: a small twin of the release is drawn, packed, loaded and looked at, with every step checked."""

from __future__ import annotations

import io
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
from PIL import Image

from her2_ihc_40x import CONFIGS

from ..card.contact_sheet import draw_contact_sheet
from ..pack import PackOptions, pack_release
from ..parallel import default_workers, run_tasks
from ..shards.manifest import Manifest
from ..shards.staging import staged_folder
from .checks import check_load, example_patches
from .drawing import draw_patch
from .mark import made_demo, write_mark
from .release_twin import TwinPatch, plan_twin, write_twin

SHARDS = "her2-ihc-40x"
RELEASE = "release"
SHEET = "contact-sheet.png"
SCALE = 0.006


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
        folder: made anew; replaced if it holds an earlier demo and nothing else.
        scale: of the twin, as a part of the real release.
        workers: processes.
        say: is told each step.

    Raises:
        DemoError: what was loaded is not what was drawn.
        OutputError: the folder is taken by something else, or holds anything else.
    """
    workers = workers or default_workers()
    with staged_folder(folder, overwrite=True, made_in=made_demo) as tree:
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
            check_load(tree / SHARDS, config, _expected(plan, config), cache)
        stream = datasets.load_dataset(str(tree / SHARDS), "wsi_split", split="train", streaming=True)
        batch = next(iter(stream.batch(batch_size=4)))
        draw_contact_sheet(example_patches(tree / SHARDS)).save(tree / SHEET)
        write_mark(tree)
    return Demo(manifest, batch)


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


def _expected(plan: list[TwinPatch], config: str) -> Counter[tuple[str, str]]:
    sides = [(patch.patch_side if config == "patch_split" else patch.wsi_side, patch.label) for patch in plan]
    return Counter((side, label) for side, label in sides if side != "none")
