"""The least that cutting can take: `python limit.py SLIDE FORMAT PROCESSES` prints its seconds.

Every tile is decoded once and every patch encoded once, by the codecs that `build` uses, on as many processes; nothing
is looked at or written. The clock starts when all processes are ready.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import cast

import numpy as np
import simplejpeg
import tifffile
from numpy.typing import NDArray

from her2_ihc_40x_builder.patches.encode import Encoding, ImageFormat

WINDOW = 1024


def main(slide: str, image_format: str, processes: int) -> None:
    """Share the rows of patches among the processes, and print what it took."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(processes + 1)
    shares = [
        context.Process(target=_work, args=(slide, image_format, number, processes, ready))
        for number in range(processes)
    ]
    for process in shares:
        process.start()
    ready.wait()
    start = time.perf_counter()
    for process in shares:
        process.join()
    seconds = time.perf_counter() - start
    if any(process.exitcode for process in shares):
        raise SystemExit("a process failed")
    print(seconds)


def _work(slide: str, image_format: str, number: int, processes: int, ready: Barrier) -> None:
    encoding = Encoding(cast(ImageFormat, image_format))
    with tifffile.TiffFile(slide) as tiff:
        page = tiff.pages.first
        tile, columns, rows = page.tilewidth, -(-page.imagewidth // page.tilewidth), page.imagelength // WINDOW
        places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
        width = page.imagewidth
    first, last = rows * number // processes, rows * (number + 1) // processes
    ready.wait()
    with Path(slide).open("rb") as file:
        kept: dict[int, NDArray[np.uint8]] = {}
        for row in range(first, last):
            needed = range(row * WINDOW // tile, ((row + 1) * WINDOW - 1) // tile + 1)
            for line in set(needed) - set(kept):
                kept[line] = np.empty((tile, columns * tile, 3), np.uint8)
                for column in range(columns):
                    offset, length = places[line * columns + column]
                    file.seek(offset)
                    pixels = simplejpeg.decode_jpeg(file.read(length))
                    kept[line][:, column * tile : (column + 1) * tile] = pixels
            kept = {line: kept[line] for line in needed}
            top = row * WINDOW - needed[0] * tile
            band = np.concatenate(list(kept.values()))[top : top + WINDOW]
            for x in range(0, width - WINDOW + 1, WINDOW):
                encoding.encode(band[:, x : x + WINDOW])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
