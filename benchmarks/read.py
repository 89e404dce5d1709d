"""How fast windows of 1024 x 1024 are read from one slide: the fast path against OpenSlide, in one run, one core.

    python benchmarks/read.py [SLIDE.svs]

Without a slide it draws one of 8192 x 8192. Both engines read the same windows in turn; the best of each counts.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from her2_ihc_40x_builder.demo.drawing import draw_patch
from her2_ihc_40x_builder.demo.synthetic import write_pixels
from her2_ihc_40x_builder.geometry import Box
from her2_ihc_40x_builder.slides.slide import Slide, open_slide
from her2_ihc_40x_builder.slides.tiles import Engine, read_windows, why_not_fast

WINDOW = 1024
ROUNDS = 3
MAX_WINDOWS = 64


def main(arguments: Sequence[str]) -> int:
    """Print the speed of both engines and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slide", type=Path, nargs="?", help="a slide of at least 1024 x 1024 pixels")
    path: Path | None = parser.parse_args(arguments).slide
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder, open_slide(path or draw(Path(folder) / "drawn.svs")) as slide:
        compare(slide)
    return 0


def draw(path: Path) -> Path:
    """Write a slide of one patch repeated: drawing is not what is measured."""
    write_pixels(path, np.tile(draw_patch("3+", 0, 2048), (4, 4, 1)))
    return path


def compare(slide: Slide) -> None:
    """Read the same windows with both engines, and print what it took."""
    windows = [
        Box(y, x, WINDOW, WINDOW)
        for y in range(0, slide.size.height - WINDOW + 1, WINDOW)
        for x in range(0, slide.size.width - WINDOW + 1, WINDOW)
    ][:MAX_WINDOWS]
    print(f"{slide.path.name}: {slide.size.width} x {slide.size.height}, {len(windows)} windows")
    reason = why_not_fast(slide)
    if reason:
        print(f"the fast path does not apply: {reason}")
        return
    engines: tuple[Engine, ...] = ("openslide", "fast")
    best = dict.fromkeys(engines, 0.0)
    for _ in range(ROUNDS):
        for engine in engines:
            best[engine] = max(best[engine], megapixels_a_second(slide, windows, engine))
    for engine in engines:
        print(f"{engine:10} {best[engine]:6.1f} MPix/s")
    print(f"ratio      {best['fast'] / best['openslide']:6.2f}")


def megapixels_a_second(slide: Slide, windows: list[Box], engine: Engine) -> float:
    """Read all windows once; the comparison that the fast path makes at first use is included."""
    start = time.perf_counter()
    for _box, _pixels in read_windows(slide, windows, engine):
        pass
    return len(windows) * WINDOW * WINDOW / 1e6 / (time.perf_counter() - start)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
