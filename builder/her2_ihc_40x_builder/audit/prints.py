"""Read a data set once, patch by patch, and keep of each what its row says and what its image is."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from her2_ihc_40x import CLASSES

from ..hub.diff import Edition, reading
from ..hub.verify import sides_of
from ..parallel import run_tasks
from ..patches.pixels import Rgb
from ..patches.tissue import GLASS_DENSITY
from ..shards.files import SCHEMA, Shard, Sides, open_shard
from ..variants import WSI_MARK
from .images import ImageFile, in_turn, look_at
from .texture import darkest, describe, shrink
from .texture_file import StoredTexture, TextureFile

#: Of a row group: more is refused before it is read.
MAX_GROUP_BYTES = 256 << 20
_MAX_TEXT = 1000
_CLASSES = range(len(CLASSES))
_SOURCES = ("region", "slide", "release")
_COLUMNS = [name for name in SCHEMA.names if name != "roi_id"]
#: In levels: without more, an overview shows nothing.
_BLANK = 2.0
#: Where nothing in a patch is as bright, none of it can be told to be glass.
_DARKEST_GLASS = 190.0
#: In micrometres: a pixel at 10x, which no patch of 40x has.
_COARSEST_MPP = 1.0


@dataclass(frozen=True, order=True, slots=True)
class Place:
    """Where a patch is stored: path of its file, row group, row in the group."""

    shard: str
    group: int
    row: int


@dataclass(frozen=True, slots=True)
class Print:
    """What is kept of a patch: its row without the image, and what was seen of that.

    Args:
        place: where it is stored.
        sides: its sides in both configs.
        label, slide_score: classes, or in words what is there instead; the score None if unknown.
        box: x, y of the window in level-0 pixels; None if unknown.
        tissue: the row's tissue fraction; None if unknown.
        impossible: columns of the row whose values cannot be.
        stated_sha256: the row's word on the image's bytes.
        sha256: of the image's bytes.
        image: what the file is.
        stored_as: the file name that the row gives the image; None if it gives none.
        look: "constant", "blank" (nothing to be seen), or "".
        glass: the share of pixels that look like bare glass, by the patch's own brightest colour; 0 if unreadable.
        texture: to find it elsewhere, as long as its file is open; None if unreadable.
    """

    place: Place
    sides: Sides
    patch_id: str
    label: str
    label_source: str | None
    slide_id: str | None
    case_id: str | None
    slide_score: str | None
    slide_side: str | None
    box: tuple[int, int] | None
    tissue: float | None
    impossible: tuple[str, ...]
    stated_sha256: str | None
    sha256: str
    image: ImageFile
    stored_as: str | None
    look: str
    glass: float
    texture: StoredTexture | None = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """The stem of the file that the patch was in the release: its id, but for the mark of a variant."""
        return self.patch_id.removesuffix(WSI_MARK)

    @property
    def pixels(self) -> str:
        """What two patches of the same pixels share: the hash of pixels, of an unreadable image that of its bytes."""
        return self.image.pixels_hash or self.sha256


def read_prints(edition: Edition, textures: TextureFile, workers: int) -> list[Print]:
    """Read every patch once, in path order; no more than a row group a worker is in memory.

    Args:
        edition: the data set.
        textures: where the textures are put.
        workers: threads.

    Raises:
        ReleaseError: a shard cannot be read, or is none of ours.
        HubError: no answer.
        OutputError: there is no room for the textures.
    """
    tasks = [(edition, textures, shard) for shard in sorted(edition.manifest.shards)]
    read = run_tasks(
        _read_shard,
        tasks,
        workers=workers,
        label="Auditing",
        unit="patch",
        weight=lambda task: task[2].rows,
        threads=True,  # decoding and hashing leave Python
    )
    return [found for prints in read for found in prints]


def read_slide_ids(edition: Edition) -> set[str]:
    """The slides of a data set, from their column alone; errors as of `read_prints`."""
    found: set[str | None] = set()
    for shard in sorted(edition.manifest.shards):
        with reading(edition, shard):
            for _, rows in _read_groups(edition, shard, ["slide_id"]):
                found |= {_text(row["slide_id"]) for row in rows}
    return {slide for slide in found if slide}


def read_image(edition: Edition, place: Place) -> Rgb | None:
    """The pixels of one patch that was read before; None if they cannot be decoded."""
    shard = next(shard for shard in edition.manifest.shards if shard.path == place.shard)
    with reading(edition, shard):
        _, rows = next(_read_groups(edition, shard, ["image"], only=place.group))
        return look_at(_bytes(next(itertools.islice(rows, place.row, None))))[1]


def _read_shard(task: tuple[Edition, TextureFile, Shard]) -> list[Print]:
    edition, textures, shard = task
    with reading(edition, shard):
        return [
            take_print(Place(shard.path, group, at), row, textures)
            for group, rows in _read_groups(edition, shard, _COLUMNS)
            for at, row in enumerate(rows)
        ]


def _read_groups(
    edition: Edition, shard: Shard, columns: list[str], only: int | None = None
) -> Iterator[tuple[int, Iterator[dict[str, Any]]]]:
    with edition.open(shard) as stored, open_shard(stored, shard.bytes) as file:
        for group in range(file.num_row_groups) if only is None else [only]:
            if (size := file.metadata.row_group(group).total_byte_size) > MAX_GROUP_BYTES:
                raise ValueError(f"a row group of {size} bytes")
            table = file.read_row_group(group, columns=columns, use_threads=False)
            # A row at a time: a list of all would hold every image twice.
            yield group, (table.slice(at, 1).to_pylist()[0] for at in range(table.num_rows))


# --- One patch ----------------------------------------------------------------------------------------------------


def take_print(place: Place, row: Mapping[str, Any], textures: TextureFile) -> Print:
    """Look at one patch.

    Raises:
        ValueError: the row has texts that are none.
    """
    data = _bytes(row)
    sides = sides_of(place.shard)
    image, overview, grey, look = in_turn(_see, data)
    return Print(
        place=place,
        sides=sides,
        patch_id=_text(row["patch_id"]) or "",
        label=_class(row["label"]),
        label_source=_text(row["label_source"]),
        slide_id=_text(row["slide_id"]),
        case_id=_text(row["case_id"]),
        slide_score=None if row["slide_score"] is None else _class(row["slide_score"]),
        slide_side=_text(row["slide_side"]),
        box=None if row["x"] is None or row["y"] is None else (row["x"], row["y"]),
        tissue=row["tissue_fraction"],
        impossible=tuple(_impossible(row)),
        stated_sha256=_text(row["sha256"]),
        sha256=hashlib.sha256(data).hexdigest(),
        image=image,
        stored_as=_text((row["image"] or {}).get("path")),
        look=look,
        glass=0.0 if overview is None else glass_share(overview),
        texture=None if grey is None else textures.put(describe(grey, mirror="test" in (sides.wsi, sides.patch))),
    )


def _see(data: bytes) -> tuple[ImageFile, Rgb | None, NDArray[np.uint8] | None, str]:
    """What an image file is, its overview, the darkest channel of that, and its look; of its pixels no more is kept."""
    image, pixels = look_at(data)
    if pixels is None:
        return image, None, None, ""
    overview = shrink(pixels)
    grey = darkest(overview)
    return image, overview, grey, _look(grey, pixels)


def _impossible(row: Mapping[str, Any]) -> Iterator[str]:
    """Columns whose value is none that there can be; NaN is within no range."""
    label, score = row["label"], row["slide_score"]
    if label not in _CLASSES:
        yield "label"
    if score is not None and score not in _CLASSES:
        yield "slide_score"
    if row["label_source"] not in _SOURCES:
        yield "label_source"
    tissue, mpp, hue = row["tissue_fraction"], row["mpp"], row["hue_similarity"]
    if tissue is not None and not 0 <= tissue <= 1:
        yield "tissue_fraction"
    if mpp is not None and not 0 < mpp < _COARSEST_MPP:
        yield "mpp"
    if hue is not None and not -1 <= hue <= 1:
        yield "hue_similarity"
    yield from (axis for axis in ("x", "y") if row[axis] is not None and row[axis] < 0)
    if (row["x"] is None) != (row["y"] is None):
        yield "x without y"


def glass_share(overview: Rgb) -> float:
    """The share of an overview that is as bright as its brightest colour, if that can be glass.

    A release tells no white point; the 98th percentile of each channel stands for it.
    """
    white = np.percentile(overview.reshape(-1, 3), 98, axis=0)
    if white.min() < _DARKEST_GLASS:
        return 0.0
    return float((overview >= white * 10**-GLASS_DENSITY).all(axis=2).mean())


def _look(grey: NDArray[np.uint8], pixels: Rgb) -> str:
    if float(grey.std()) >= _BLANK:
        return ""
    return "constant" if bool((pixels == pixels[0, 0]).all()) else "blank"


def _bytes(row: Mapping[str, Any]) -> bytes:
    return (row["image"] or {}).get("bytes") or b""


def _text(value: str | None) -> str | None:
    if value is not None and len(value) > _MAX_TEXT:
        raise ValueError(f"a text of {len(value)} characters")
    return value


def _class(value: int | None) -> str:
    if value is None:
        return "no class"
    return CLASSES[value] if value in _CLASSES else f"class {value}"
