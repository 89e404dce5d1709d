"""The figures of a data set, made from its own files: what the patches look like, and how they are spread."""

from __future__ import annotations

import io
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from PIL import Image

from her2_ihc_40x import CLASSES

from ..parallel import default_workers
from ..patches.dab import dab_density
from ..patches.pixels import White
from ..shards.manifest import Manifest
from .charts import Bar, Colour, draw_bars, draw_columns, draw_strips
from .contact_sheet import draw_contact_sheet
from .contents import Row, patches_per_slide, read_images

FOLDER = "figures"
#: Of each class so many row groups are read, of as many files as can be, and of each so many patches.
SAMPLE_GROUPS = 8
SAMPLE_ROWS = 3
SHEET_PATCHES = 8
_TILE = 176

#: Counterstain alone, then ever more brown.
COLOURS: Mapping[str, Colour] = {"0": (150, 176, 208), "1+": (222, 184, 140), "2+": (184, 122, 64), "3+": (104, 56, 20)}
#: A release tells no white point; this is the brightest level there is.
_NO_WHITE = White(255, 255, 255)


@dataclass(frozen=True)
class Figure:
    """A picture, and the facts that its caption needs.

    Args:
        name: of the file, below `FOLDER`.
        caption: which of the captions in dataset_card/captions.yaml.
        png: the file.
        facts: for the places in the caption.
    """

    name: str
    caption: str
    png: bytes = field(repr=False)
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """From the data set's root."""
        return f"{FOLDER}/{self.name}"


def draw_figures(folder: Path, manifest: Manifest, rows: Sequence[Row]) -> list[Figure]:
    """Draw every figure that the data set's files give; what is not known is left out, not drawn empty.

    A sample of patches is read, drawn by the hash of their bytes: the same data gives the same figures. At most one row
    group a thread is in memory.

    Args:
        folder: the data set's root.
        manifest: of its shards.
        rows: of all shards, from `read_rows`.
    """
    # A build has measured the density of every patch already: then only what is shown is read.
    a_group = 1 if manifest.source["kind"] == "slides" else SAMPLE_ROWS
    seen = {label: _look_at(folder, sample_rows(rows, label, a_group)) for label in CLASSES}
    figures = [_sheet(label, looks) for label, looks in seen.items() if looks]
    figures.append(_figure("classes.png", "classes", draw_bars(_class_bars(manifest), "patches by class")))
    if counts := patches_per_slide(list(rows)):
        by_score = {score: sorted((n for (s, _), n in counts.items() if s == score), reverse=True) for score in CLASSES}
        by_score = {score: values for score, values in by_score.items() if values}
        picture = draw_columns(by_score, COLOURS, "patches per slide, by the slide's score (number of slides)")
        figures.append(_figure("slides.png", "slides", picture, slides=f"{len(counts):,}"))
    figures.extend(_density(manifest, seen))
    return figures


def sample_rows(rows: Sequence[Row], label: str, a_group: int) -> list[list[Row]]:
    """Some patches of a class, a list a row group: spread over files first, else by the hash of their bytes.

    Args:
        rows: of all shards.
        label: the class.
        a_group: patches of a row group; more, if a sheet would not be full.
    """
    groups: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in rows:
        if row.label == label:
            groups[row.shard, row.group].append(row)
    members = sorted(
        (sorted(group, key=lambda row: row.sha256) for group in groups.values()), key=lambda m: m[0].sha256
    )
    taken: dict[str, int] = defaultdict(int)
    ranked = []
    for at, group in enumerate(members):
        ranked.append((taken[group[0].shard], at))
        taken[group[0].shard] += 1
    chosen = [members[at] for _, at in sorted(ranked)[:SAMPLE_GROUPS]]
    enough = max(a_group, math.ceil(SHEET_PATCHES / max(1, len(chosen))))
    return [group[:enough] for group in chosen]


@dataclass(frozen=True)
class _Look:
    """What is kept of a patch that was read."""

    tile: Image.Image
    density: float


def _look_at(folder: Path, groups: Sequence[Sequence[Row]]) -> list[_Look]:
    """The sample's patches, the first of every row group before the second of any."""

    def look(group: Sequence[Row]) -> list[_Look]:
        looks = []
        for _, pixels in read_images(folder, group):
            tile = Image.fromarray(pixels).resize((_TILE, _TILE), Image.Resampling.LANCZOS, reducing_gap=2.0)
            looks.append(_Look(tile, dab_density(pixels, _NO_WHITE).p99))
        return looks

    with ThreadPoolExecutor(default_workers()) as pool:
        rounds = zip_longest(*pool.map(look, groups))
    return [look for a_round in rounds for look in a_round if look is not None]


def _sheet(label: str, looks: Sequence[_Look]) -> Figure:
    tiles = [look.tile for look in looks[:SHEET_PATCHES]]
    name = f"patches-{label.replace('+', 'plus')}.png"
    sheet = draw_contact_sheet({label: tiles}, tile=_TILE)
    return _figure(name, "sheet", sheet, label=label, patches=str(len(tiles)))


def _class_bars(manifest: Manifest) -> dict[str, list[Bar]]:
    return {
        f"{config}, {split} ({sum(labels.values()):,})": [
            Bar(label, labels[label], COLOURS[label]) for label in CLASSES
        ]
        for config in sorted(manifest.counts, reverse=True)
        for split, labels in sorted(manifest.counts[config].items(), reverse=True)
    }


def _density(manifest: Manifest, seen: Mapping[str, Sequence[_Look]]) -> Iterator[Figure]:
    """Optical density of DAB by class: of slides, as the build measured it, else of the sample's patches."""
    if manifest.source["kind"] == "slides":
        medians = [unit.get("dab_p99_median", {}) for unit in manifest.units.values()]
        values = {label: [float(found[label]) for found in medians if label in found] for label in CLASSES}
        normalised = manifest.parameters.get("intensity") in ("reinhard", "macenko")
        caption = "density_scanned" if normalised else "density_slides"
    else:
        values = {label: [look.density for look in looks] for label, looks in seen.items()}
        caption = "density_patches"
    values = {label: found for label, found in values.items() if found}
    if values:
        picture = draw_strips(values, COLOURS, "DAB, 99th percentile of optical density (base 10)")
        yield _figure("dab.png", caption, picture, points=f"{sum(map(len, values.values())):,}")


def _figure(name: str, caption: str, picture: Image.Image, **facts: str) -> Figure:
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return Figure(name, caption, file.getvalue(), facts)
