"""How well an audit finds planted leaks, and how long it takes, on windows of 1024 x 1024 cut from real slides.

    python benchmarks/audit.py [--count 100] [--patches 300]

Without slides in ../shared the windows are drawn. Copies are planted on the test side of a data set in which the
training side holds the originals; windows beside each other, which share nothing, are what must not be found. Where
ImageHash is installed, its hashes are asked for the same copies, with the threshold that 1 % of the others pass.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import cv2
import numpy as np
from fresh import in_fresh_process
from inputs import REAL_SLIDES
from numpy.typing import NDArray
from PIL import Image

from her2_ihc_40x_builder.audit.near import find_near
from her2_ihc_40x_builder.audit.prints import glass_share
from her2_ihc_40x_builder.audit.texture import OVERVIEW, Texture, darkest, describe, shrink
from her2_ihc_40x_builder.demo.drawing import draw_patch
from her2_ihc_40x_builder.patches.encode import Encoding
from her2_ihc_40x_builder.patches.pixels import Rgb
from planted import COPIES, MARKS, TEST, TRAIN, Spot, row, write_rows

SIZE = 1024
RELEASE = (2_200, 8_797)  # patches of patch_split


def main(arguments: Sequence[str]) -> int:
    """Print what was found, and how long it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="leaks of each kind (%(default)s)")
    parser.add_argument("--patches", type=int, default=300, help="of the data set that is timed (%(default)s)")
    options = parser.parse_args(arguments)
    spots = find_spots()
    print(f"{len(spots)} windows that share no pixel, {'real' if REAL_SLIDES.is_dir() else 'drawn'}")
    near(spots, options.count)
    with tempfile.TemporaryDirectory() as folder:
        seconds(spots, options.patches, Path(folder))
    return 0


def find_spots() -> list[Spot]:
    """Windows with tissue, side by side."""
    fields = list(_real_fields()) if REAL_SLIDES.is_dir() else [draw_patch("3+", seed, 3 * SIZE) for seed in range(12)]
    return [spot for field in fields for spot in _grid(field, SIZE)]


def _real_fields() -> Iterator[Rgb]:
    import openslide

    for path in sorted(REAL_SLIDES.glob("*/*.svs")):
        with openslide.OpenSlide(path) as slide:
            yield np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"))


def _grid(field: Rgb, size: int) -> Iterator[Spot]:
    height, width = field.shape[:2]
    for y, x in itertools.product(range(height % size // 2, height - size + 1, size), repeat=2):
        spot = Spot(field, x, y, size)
        if x + size <= width and glass_share(shrink(spot.pixels)) < 0.85:
            yield spot


# --- What is found ------------------------------------------------------------------------------------------------


def near(spots: Sequence[Spot], count: int) -> None:
    """Planted copies that are found, and windows that are taken for one."""
    originals = [_texture(spot.pixels) for spot in spots]
    rng = np.random.default_rng(0)
    chosen = [int(at) for at in rng.choice(len(spots), count, replace=count > len(spots))]
    hashes = {name: Hashes(spots, name) for name in ("phash", "dhash", "whash")} if _has_imagehash() else {}
    print(f"\n{'copies found':<24}{'audit':>10}" + "".join(f"{name:>10}" for name in hashes))
    for kind, alter in COPIES.items():
        copies = [np.ascontiguousarray(alter(spots[at], rng)) for at in chosen]
        matches = {(match.query, match.pool) for match in find_near([_texture(copy) for copy in copies], originals)}
        found = [sum(pair in matches for pair in enumerate(chosen))]
        found += [each.find(copies, chosen) for each in hashes.values()]
        print(f"{kind:<24}" + "".join(f"{n / count:>10.0%}" for n in found), flush=True)
    _false_alarms(spots, originals)
    fields = {id(spot.field): spot.field for spot in spots}.values()
    small = [spot for field in fields for spot in _grid(field, SIZE // 2)]
    _false_alarms(small, [_texture(spot.pixels) for spot in small])
    for mark, put in MARKS.items():
        print(f"each with {mark}: ", end="")
        _false_alarms(small, [_texture(put(spot.pixels, rng)) for spot in small])


def _false_alarms(spots: Sequence[Spot], textures: Sequence[Texture]) -> None:
    """Every window against every other: none shows what another does."""
    wrong = {match.query for match in find_near(textures, textures) if match.query != match.pool}
    pairs = len(spots) * (len(spots) - 1)
    print(f"false alarms: {len(wrong)} of {len(spots)} windows of {spots[0].size}, in {pairs:,} comparisons")


def _texture(pixels: Rgb) -> Texture:
    return describe(darkest(shrink(pixels)), mirror=True)


def _has_imagehash() -> bool:
    return importlib.util.find_spec("imagehash") is not None


class Hashes:
    """A hash of ImageHash over the eight orientations of a window, and the distance that 1 % of others pass."""

    def __init__(self, spots: Sequence[Spot], name: str) -> None:
        import imagehash  # type: ignore[import-not-found, unused-ignore]  # optional, and without types

        self._hash: Any = getattr(imagehash, name)
        self._known = np.array([self._bits(shrink(spot.pixels)) for spot in spots])
        turned = [self._turned(spot.pixels) for spot in spots]
        nearest = [np.delete(self._distances(bits), at).min() for at, bits in enumerate(turned)]
        self._limit = float(np.quantile(nearest, 0.01))

    def find(self, copies: Sequence[Rgb], chosen: Sequence[int]) -> int:
        """How many copies are nearer to their original than the limit."""
        pairs = zip(copies, chosen, strict=True)
        return sum(bool(self._distances(self._turned(copy))[at] < self._limit) for copy, at in pairs)

    def _bits(self, pixels: Rgb) -> NDArray[np.bool_]:
        return np.asarray(self._hash(Image.fromarray(np.ascontiguousarray(pixels))).hash).ravel()

    def _turned(self, pixels: Rgb) -> NDArray[np.bool_]:
        small = shrink(pixels)
        return np.array([self._bits(np.rot90(side, turn)) for side in (small, small[:, ::-1]) for turn in range(4)])

    def _distances(self, turned: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.asarray((turned[:, None] != self._known[None]).sum(axis=2).min(axis=0))


# --- How long it takes --------------------------------------------------------------------------------------------


def seconds(spots: Sequence[Spot], patches: int, folder: Path) -> None:
    """Time and memory of whole audits, and the search of the release's size."""
    encoding = Encoding()
    for count in (patches // 4, patches // 2, patches):
        rows = (
            (TEST if at % 5 == 0 else TRAIN, row(f"p{at}", f"slide-{at // 16}", encoding.encode(image)))
            for at in range(count)
            for image in [_stretched(spots[at % len(spots)], at, SIZE)]
        )
        found = in_fresh_process("audit", write_rows(folder / str(count), rows))
        shutil.rmtree(folder / str(count))
        times = f"{found['seconds']:.1f} s, of the processor {found['cpu']:.1f} s"
        print(f"{count:,} patches: {times}, peak memory {found['bytes'] / 2**20:.0f} MB", flush=True)
    textures = [_like(spots[at % len(spots)], at) for at in range(sum(RELEASE))]
    start = time.process_time()
    find_near(textures[: RELEASE[0]], textures[RELEASE[0] :])
    search = time.process_time() - start
    print(f"search of {RELEASE[0]:,} among {RELEASE[1]:,}: {search:.1f} s of the processor")
    # Reading uses two cores, the search of each config one.
    whole = found["cpu"] / patches * sum(RELEASE) / 2 + 2 * search
    print(f"the release in both configs on 2 cores of one's own: {whole / 60:.1f} min")


def _like(spot: Spot, seed: int) -> Texture:
    return describe(darkest(_stretched(spot, seed, OVERVIEW)), mirror=True)


def _stretched(spot: Spot, seed: int, size: int) -> Rgb:
    """As of another window: a part of this one, so that it has the statistics of real ones but not their corners."""
    rng = np.random.default_rng(seed)
    side = int(rng.uniform(0.3, 0.7) * spot.size)
    x, y = (int(rng.integers(0, spot.size - side)) for _ in range(2))
    part = spot.pixels[y : y + side, x : x + side]
    return np.asarray(cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
