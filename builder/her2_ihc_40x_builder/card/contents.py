"""What the rows of a data set say of themselves: every column that the figures and the card count, no image."""

from __future__ import annotations

import io
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from her2_ihc_40x import CLASSES, IMAGE_ERRORS, ReleaseError

from ..patches.pixels import Rgb
from ..shards.files import Shard, open_shard
from ..shards.manifest import Manifest

logger = logging.getLogger(__name__)

_MAX_SIDE = 8192
_COLUMNS = ["label", "slide_id", "slide_score", "slide_side", "sha256"]


@dataclass(frozen=True)
class Row:
    """A patch, and where it is stored.

    Args:
        shard: path of its file.
        group: row group in the file.
        place: row in the row group.
        label: its class.
        slide_id: None if unknown.
        slide_score: None if unknown.
        slide_side: the side that a release's file name gives its slide; None if there is none.
        sha256: of the image's bytes.
    """

    shard: str
    group: int
    place: int
    label: str
    slide_id: str | None
    slide_score: str | None
    slide_side: str | None
    sha256: str

    @property
    def wsi_side(self) -> str:
        """The side of `wsi_split` that it is on."""
        return self.shard.split("/")[1].removeprefix("wsi_")

    @property
    def patch_side(self) -> str:
        """The side of `patch_split` that it is on."""
        return self.shard.split("/")[2].removeprefix("patch_")


@dataclass(frozen=True)
class Leak:
    """How far the sides of `patch_split` share slides.

    Args:
        test: test patches of `patch_split`.
        shared: those of them whose slide is known to be on the training side as well.
        known_by: "slide_id", or "slide_side", which tells only a part.
    """

    test: int
    shared: int
    known_by: str


def read_rows(folder: Path, manifest: Manifest) -> list[Row]:
    """Read the columns that are counted from every shard, in path order.

    Raises:
        ReleaseError: a shard is missing, has another size than the manifest says, or cannot be read.
    """
    return [row for shard in sorted(manifest.shards) for row in _read_shard(folder, shard)]


def read_images(folder: Path, rows: Sequence[Row]) -> Iterator[tuple[Row, Rgb]]:
    """Decode the images of rows of one row group, of which only these are kept; what cannot be decoded is warned of."""
    path = folder / rows[0].shard
    try:
        with open_shard(path, path.stat().st_size) as file:
            one_by_one = file.iter_batches(batch_size=1, row_groups=[rows[0].group], columns=["image"])
            until_last = islice(one_by_one, max(row.place for row in rows) + 1)
            wanted = {row.place for row in rows}
            images = {place: one["image"][0] for place, one in enumerate(until_last) if place in wanted}
            found = [(row, images[row.place]) for row in rows]
    except (OSError, ValueError, LookupError, pa.ArrowException) as error:
        raise _unfit(path, error) from error
    for row, image_cell in found:
        try:
            with Image.open(io.BytesIO(image_cell.as_py()["bytes"]), formats=("PNG", "JPEG", "WEBP")) as image:
                if max(image.size) > _MAX_SIDE:
                    raise ValueError(f"{image.width} x {image.height} pixels")
                pixels = np.asarray(image.convert("RGB"))
        except IMAGE_ERRORS as error:
            logger.warning("%s, row %d of row group %d is not shown: %s", row.shard, row.place, row.group, error)
            continue
        yield row, pixels


def measure_leak(rows: list[Row]) -> Leak | None:
    """Count the test patches of `patch_split` from slides on its training side; None if nothing can be known."""
    test = [row for row in rows if row.patch_side == "test"]
    if not test:
        return None
    if all(row.slide_id is not None for row in rows):
        trained = {row.slide_id for row in rows if row.patch_side == "train"}
        return Leak(len(test), sum(row.slide_id in trained for row in test), "slide_id")
    if any(row.slide_side is not None for row in test):
        return Leak(len(test), sum(row.slide_side == "train" for row in test), "slide_side")
    return None


def count_strays(rows: Sequence[Row]) -> int:
    """The patches of `wsi_split` that are on another side than their names tell."""
    return sum(row.wsi_side != "none" and row.slide_side not in (None, row.wsi_side) for row in rows)


def patches_per_slide(rows: list[Row]) -> Counter[tuple[str, str]]:
    """(score, slide) -> patches; empty unless the slide of every patch is known."""
    if any(row.slide_id is None for row in rows):
        return Counter()
    return Counter((row.slide_score or row.label, str(row.slide_id)) for row in rows)


def _read_shard(folder: Path, shard: Shard) -> Iterator[Row]:
    parts = PurePosixPath(shard.path).parts
    if parts[0] != "data" or len(parts) != 4 or ".." in parts:
        raise ReleaseError(shard.path, "data/<side>/<side>/<file>", "another path", "Make the folder again.")
    try:
        size = (folder / shard.path).stat().st_size
        if size != shard.bytes:
            raise ValueError(f"{size} bytes, not {shard.bytes}")
        with open_shard(folder / shard.path, size) as file:
            for group in range(file.num_row_groups):
                columns: dict[str, list[Any]] = file.read_row_group(group, columns=_COLUMNS).to_pydict()
                values = zip(*(columns[name] for name in _COLUMNS), strict=True)
                for place, (label, slide_id, score, side, sha256) in enumerate(values):
                    yield Row(
                        shard=shard.path,
                        group=group,
                        place=place,
                        label=class_of(label),
                        slide_id=slide_id,
                        slide_score=None if score is None else class_of(score),
                        slide_side=side,
                        sha256=sha256,
                    )
    except (OSError, ValueError, KeyError, IndexError, TypeError, pa.ArrowException) as error:
        raise _unfit(folder / shard.path, error) from error


def _unfit(path: Path, error: Exception) -> ReleaseError:
    found = str(error)[:300] or type(error).__name__
    return ReleaseError(str(path), "the shard that the manifest lists", found, "Make or copy the folder again.")


def class_of(value: int) -> str:
    """The class that a label's number means; a ValueError if it means none."""
    if value not in range(len(CLASSES)):
        raise ValueError(f"class {value}")
    return CLASSES[value]
