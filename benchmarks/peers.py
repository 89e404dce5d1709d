"""What else cuts a slide into patches: `python peers.py WAY SLIDE OUT OPTION`; prints how many it made.

Each imports what it needs and nothing of this project, so that it may run in a Python of its own: some of these
packages pin old libraries. All take the whole slide in squares of 1024 pixels; OPTION is processes, or a suffix.
"""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

WINDOW = 1024


def script(slide: str, out: str, processes: str) -> int:
    """The script that people write: read each window, save it with Pillow, let `datasets` write Parquet."""
    import datasets

    with importlib.import_module("openslide").OpenSlide(slide) as opened:
        corners = _corners(*opened.dimensions)
    made = datasets.Dataset.from_generator(
        _rows,
        features=datasets.Features({"image": datasets.Image(), "x": datasets.Value("int64")}),
        gen_kwargs={"slides": [slide] * len(corners), "corners": corners},
        num_proc=int(processes),
        cache_dir=str(Path(out, "cache")),
    )
    made.to_parquet(str(Path(out, "patches.parquet")))
    return len(made)


def _rows(slides: list[str], corners: list[tuple[int, int]]) -> Iterator[dict[str, Any]]:
    import openslide

    with openslide.OpenSlide(slides[0]) as opened:
        for corner in corners:
            file = io.BytesIO()
            opened.read_region(corner, 0, (WINDOW, WINDOW)).convert("RGB").save(file, "PNG")
            yield {"image": {"bytes": file.getvalue(), "path": None}, "x": corner[0]}


def histolab(slide: str, out: str, _option: str) -> int:
    """The package histolab: its GridTiler, less its tissue check; it leaves out windows that touch the far edges."""
    import numpy
    from histolab.masks import BinaryMask
    from histolab.slide import Slide
    from histolab.tiler import GridTiler

    class Everything(BinaryMask):  # type: ignore[misc]  # mypy cannot see the package
        def _mask(self, slide: Any) -> Any:
            return numpy.ones(slide.thumbnail.size[::-1], bool)

    tiler = GridTiler(tile_size=(WINDOW, WINDOW), check_tissue=False, suffix=".png")
    tiler.extract(Slide(slide, out), Everything(), log_level="WARNING")
    return _files(out, ".png")


def dzsave(slide: str, out: str, suffix: str) -> int:
    """The library libvips: `dzsave` of one layer, on all cores; bare files, no columns."""
    import pyvips

    image = pyvips.Image.new_from_file(slide, access="sequential")
    image.dzsave(str(Path(out, "tiles")), tile_size=WINDOW, overlap=0, depth="one", suffix=suffix)
    return _files(str(Path(out, "tiles_files")), suffix.split("[")[0])


def cucim(slide: str, out: str, _option: str) -> int:
    """The package cuCIM on the processor: it reads in two threads, and Pillow saves in two more."""
    import numpy
    from cucim import CuImage
    from PIL import Image

    opened = CuImage(slide)
    corners = _corners(*opened.resolutions["level_dimensions"][0])

    def save(at: int, pixels: Any) -> None:
        Image.fromarray(pixels).save(Path(out, f"{at}.png"))

    with ThreadPoolExecutor(2) as pool:
        patches = opened.read_region(corners, (WINDOW, WINDOW), num_workers=2)
        saved = [pool.submit(save, at, numpy.array(patch)) for at, patch in enumerate(patches)]
        for future in saved:
            future.result()
    return _files(out, ".png")


def tiatoolbox(slide: str, out: str, _option: str) -> int:
    """The package tiatoolbox: `save_tiles`."""
    from tiatoolbox.wsicore.wsireader import WSIReader

    size = (WINDOW, WINDOW)
    WSIReader.open(slide).save_tiles(out, tile_objective_value=40, tile_read_size=size, tile_format=".png")
    return len(list(Path(out).rglob("Tile_*.png")))


def _corners(width: int, height: int) -> list[tuple[int, int]]:
    return [(x, y) for y in range(0, height, WINDOW) for x in range(0, width, WINDOW)]


def _files(folder: str, suffix: str) -> int:
    return len(list(Path(folder).rglob("*" + suffix)))


if __name__ == "__main__":
    way, slide, out, option = sys.argv[1:]
    if option == "?":
        importlib.import_module({"script": "datasets", "dzsave": "pyvips"}.get(way, way))
        sys.exit()
    Path(out).mkdir()
    print({one.__name__: one for one in (script, histolab, dzsave, cucim, tiatoolbox)}[way](slide, out, option))
