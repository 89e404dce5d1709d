"""What the benchmarks read: one part of the release, as its own zips, as loose files, as shards and as tars."""

from __future__ import annotations

import dataclasses
import io
import json
import random
import shutil
import tarfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from her2_ihc_40x import BLOCK_SIZE, CLASSES
from her2_ihc_40x_builder.demo.drawing import draw_patch
from her2_ihc_40x_builder.demo.release_twin import TwinPatch, plan_twin, write_twin
from her2_ihc_40x_builder.pack import PackOptions, pack_release
from her2_ihc_40x_builder.parallel import default_workers, run_tasks

REAL_SLIDES = Path(__file__).resolve().parents[2] / "shared" / "real" / "WSI"
_SIZE = 1024
_MARGIN = 0.125  # of a slide's side: a tissue core is round, its corners are glass
_GROUPS = (("0", "train"), ("3+", "test"), ("3+", "train"), ("1+", "train"), ("0", "test"))


@dataclass(frozen=True)
class Inputs:
    """The same images in every form, with one suffix.

    Args:
        root: folder of all of it.
        suffix: "png" or "jpg".
        patches: in the release's order.
        kind: what the pixels are.
    """

    root: Path
    suffix: str
    patches: tuple[TwinPatch, ...]
    kind: str

    @property
    def release(self) -> Path:
        """The two zips."""
        return self.root / "release"

    @property
    def shards(self) -> Path:
        """The release, packed."""
        return self.root / "shards"

    @property
    def default_groups(self) -> Path:
        """`wsi_split` train, written by `Dataset.to_parquet` with the row groups that it chooses."""
        return self.root / "default" / "train.parquet"

    @property
    def tar(self) -> Path:
        """`wsi_split` train as WebDataset keeps it."""
        return self.root / "tar" / "train.tar"

    @property
    def loose(self) -> Path:
        """`wsi_split` as a folder of <split>/<label>/<file>."""
        return self.root / "loose"


def choose_patches(count: int) -> list[TwinPatch]:
    """Part of the twin in whole blocks, so that shards have the size that the release's have."""
    groups: dict[tuple[str, str], list[TwinPatch]] = defaultdict(list)
    for patch in plan_twin():
        groups[patch.score, patch.side].append(patch)
    blocks = zip_longest(
        *([groups[key][at : at + BLOCK_SIZE] for at in range(0, len(groups[key]), BLOCK_SIZE)] for key in _GROUPS),
        fillvalue=[],
    )
    return [patch for turn in blocks for block in turn for patch in block][:count]


def make_inputs(root: Path, patches: list[TwinPatch], suffix: str) -> Inputs:
    """Make every form of the same images below `root`; what an earlier run with the same arguments made is kept."""
    slides = sorted(REAL_SLIDES.glob("*/*.svs"))
    named = tuple(dataclasses.replace(patch, suffix=suffix) for patch in patches)
    inputs = Inputs(root, suffix, named, f"cut from {len(slides)} real slides" if slides else "drawn")
    done = root / "done.json"
    state = [inputs.kind, suffix, len(patches)]
    if done.is_file() and json.loads(done.read_text()) == state:
        return inputs
    shutil.rmtree(root, ignore_errors=True)
    files = root / "files"
    files.mkdir(parents=True)
    tasks = [_Task(files / patch.file_name, patch.label, at, tuple(slides)) for at, patch in enumerate(named)]
    run_tasks(_make_image, tasks, workers=default_workers(), label=f"Making {suffix}", unit="patch")
    write_twin(inputs.release, named, lambda patch: (files / patch.file_name).read_bytes())
    for patch in named:
        if patch.wsi_side != "none":
            target = inputs.loose / patch.wsi_side / patch.label / patch.file_name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(files / patch.file_name)
    pack_release(inputs.release, inputs.shards, PackOptions(check="crc", subset=True))
    _write_default_groups(inputs)
    _write_tar(inputs)
    done.write_text(json.dumps(state))
    return inputs


def train_files(inputs: Inputs) -> list[Path]:
    """The loose files of `wsi_split` train, mixed as the shards are."""
    files = sorted((inputs.loose / "train").rglob(f"*.{inputs.suffix}"))
    random.Random(0).shuffle(files)
    return files


def train_shards(inputs: Inputs) -> list[Path]:
    """The shards of `wsi_split` train."""
    return sorted(inputs.shards.glob("data/wsi_train/*/*.parquet"))


def shard_rows(inputs: Inputs) -> Iterator[int]:
    """Rows of each shard of `wsi_split` train."""
    for path in train_shards(inputs):
        yield pq.read_metadata(path).num_rows


def _write_default_groups(inputs: Inputs) -> None:
    inputs.default_groups.parent.mkdir()
    cache = inputs.root / "cache"
    files = [str(path) for path in train_shards(inputs)]
    datasets.Dataset.from_parquet(files, cache_dir=str(cache)).to_parquet(inputs.default_groups)


def _write_tar(inputs: Inputs) -> None:
    # The layout of a WebDataset shard: the files of a sample are neighbours and share a stem without dots.
    inputs.tar.parent.mkdir()
    with tarfile.open(inputs.tar, "w") as tar:
        for path in train_files(inputs):
            label = str(CLASSES.index(path.parent.name)).encode()
            for suffix, data in ((inputs.suffix, path.read_bytes()), ("cls", label)):
                entry = tarfile.TarInfo(f"{path.stem}.{suffix}")
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))


# --- Images -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Task:
    path: Path
    label: str
    at: int
    slides: tuple[Path, ...]


def _make_image(task: _Task) -> None:
    pixels = _cut(task.slides, task.at) if task.slides else draw_patch(task.label, task.at)
    if task.path.suffix == ".png":
        Image.fromarray(pixels).save(task.path, compress_level=6)
    else:
        Image.fromarray(pixels).save(task.path, quality=95, subsampling=0)


def _cut(slides: tuple[Path, ...], at: int) -> np.typing.NDArray[np.uint8]:
    """The patch number `at` of a list that takes the slides in turn, each along a grid half a patch apart."""
    import openslide

    with openslide.OpenSlide(slides[at % len(slides)]) as slide:
        x, y = _nth(_grid(slide.dimensions), at // len(slides))
        return np.asarray(slide.read_region((x, y), 0, (_SIZE, _SIZE)).convert("RGB"))


def _grid(size: tuple[int, int]) -> list[tuple[int, int]]:
    columns, rows = (range(round(_MARGIN * side), round((1 - _MARGIN) * side) - _SIZE, _SIZE // 2) for side in size)
    return [(x, y) for y in rows for x in columns]


def _nth(places: list[tuple[int, int]], at: int) -> tuple[int, int]:
    """Past the end, the places again, a little further on, so that no image comes twice."""
    again, place = divmod(at, len(places))
    x, y = places[place]
    return x + 16 * again, y + 16 * again
