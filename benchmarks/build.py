"""How fast slides become shards: `build` against the script that people write and libvips, in one run, as ratios.

    python benchmarks/build.py [--slides N] [--rounds N] [--skip-memory]

Every way gets the same windows of 1024 x 1024, a grid of 5 x 5 a slide: of the real slides in ../shared where they
are, else of drawn ones. Every way is a process of its own, timed from its start to its end, imports, workers and (for
`build`) its report and overlays included; files are in the page cache; rounds are interleaved, the best counts.
libvips runs if `pip install pyvips-binary pyvips` was done; it writes bare image files, no Parquet, no columns.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

WINDOW, GRID = 1024, 5
SHARED = Path(__file__).resolve().parents[2] / "shared" / "real" / "WSI"
PLAIN = ("--intensity", "none", "--hue-filter", "off", "--min-tissue", "0")
_CORNER = 174  # of the grid, level-0 pixels: in the middle of a real slide


@dataclass(frozen=True)
class Way:
    """A way to make patches of slides: its name in the table, and its command for (slides, regions, out)."""

    name: str
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()

    @staticmethod
    def build(name: str, workers: int, *options: str) -> Way:
        """`her2-ihc-40x build` as a user runs it."""
        command = ("-m", "her2_ihc_40x_builder.cli", "build", "{slides}", "--regions", "{regions}", "--out", "{out}")
        return Way(name, (*command, "--workers", str(workers), *options))

    @staticmethod
    def other(name: str, kind: str, image_format: str, workers: int) -> Way:
        """One of the functions below."""
        command = (__file__, "--only", kind, image_format, str(workers), "{slides}", "{regions}", "{out}")
        return Way(name, command, (("VIPS_CONCURRENCY", str(workers)),))


def main(arguments: Sequence[str]) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slides", type=int, default=4, help="slides of 25 windows (%(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="the best counts (%(default)s)")
    parser.add_argument("--skip-memory", action="store_true", help="leave out the second table")
    parser.add_argument("--only", nargs=6, help=argparse.SUPPRESS)
    parsed = parser.parse_args(arguments)
    if parsed.only:
        kind, image_format, workers, slides, regions, out = parsed.only
        run = {"script": script, "dzsave": dzsave}[kind]
        run(Path(slides), Path(regions), Path(out), image_format, int(workers))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        print_speed(Path(folder), parsed.slides, parsed.rounds)
        if not parsed.skip_memory:
            print_memory(Path(folder))
    return 0


def print_speed(folder: Path, count: int, rounds: int) -> None:
    """The first table: patches a second of each way, and how many times the script with as many workers."""
    slides, regions = inputs(folder, count)
    patches = count * GRID * GRID
    ways = {
        (image_format, workers): [
            Way.other("script: OpenSlide, Pillow, from_generator", "script", image_format, workers),
            *([Way.other("libvips dzsave", "dzsave", image_format, workers)] if find_spec("pyvips") else []),
            Way.build("build, all filters off", workers, *PLAIN, "--image-format", image_format),
            Way.build("build, as it comes", workers, "--image-format", image_format),
        ]
        for image_format in ("png", "jpeg")
        for workers in (1, 2)
    }
    best: dict[Way, float] = {}
    for _ in range(rounds):
        for group in ways.values():
            for way in group:
                seconds, _memory = run(way, slides, regions, folder / "work" / "out")
                best[way] = min(best.get(way, seconds), seconds)
    where = "real" if SHARED.is_dir() else "drawn"
    print(f"{patches} patches of {count} {where} slides; {os.cpu_count()} cores; best of {rounds}\n")
    print("| format | workers | way | seconds | patches/s | x script |\n| --- | --- | --- | --- | --- | --- |")
    for (image_format, workers), group in ways.items():
        for way in group:
            ratio = best[group[0]] / best[way]
            speed = patches / best[way]
            print(f"| {image_format} | {workers} | {way.name} | {best[way]:.1f} | {speed:.1f} | {ratio:.1f} |")


def print_memory(folder: Path) -> None:
    """The second table: the largest process of a build with one worker, for a small and a large slide."""
    print("\n| slide | windows | seconds | peak memory of a process, MB |\n| --- | --- | --- | --- |")
    for side in (4096, 16384):
        home = folder / f"memory-{side}"
        (home / "WSI" / "3+").mkdir(parents=True)
        in_a_process(home / "WSI" / "3+" / "drawn.svs", side, 3)
        write_region(home / "regions" / "drawn.geojson", 0, side)
        seconds, memory = run(Way.build("memory", 1), home / "WSI", home / "regions", folder / "work" / "out")
        print(f"| {side} x {side} | {(side // WINDOW) ** 2} | {seconds:.1f} | {memory:.0f} |", flush=True)


# --- Inputs -------------------------------------------------------------------------------------------------------


def inputs(folder: Path, count: int) -> tuple[Path, Path]:
    """Make a folder of slides and one of regions, each region a square of whole windows."""
    slides, regions = folder / "WSI", folder / "regions"
    real = sorted(SHARED.glob("*/*.svs"))
    for number in range(count):
        source = real[number % len(real)] if real else None
        home = slides / (source.parent.name if source else ("0", "1+", "2+", "3+")[number % 4])
        home.mkdir(parents=True, exist_ok=True)
        path = home / f"S{number}.svs"
        if source:
            if number >= len(real):
                raise SystemExit(f"there are {len(real)} real slides only")
            shutil.copyfile(source, path)
        else:
            in_a_process(path, GRID * WINDOW + 2 * _CORNER, number)
        write_region(regions / f"{path.stem}.geojson", _CORNER, GRID * WINDOW)
    return slides, regions


def in_a_process(path: Path, side: int, seed: int) -> None:
    """Draw a slide elsewhere: what a process once took counts as its children's peak, too."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(draw, path, side, seed).result()


def draw(path: Path, side: int, seed: int) -> None:
    """Write a slide of one patch repeated, in a frame of glass: drawing is not what is measured."""
    import numpy as np

    from her2_ihc_40x_builder.drawing import draw_patch
    from her2_ihc_40x_builder.synthetic import write_pixels

    patch = draw_patch("3+", seed, 2048)
    write_pixels(path, np.tile(patch, (-(-side // 2048), -(-side // 2048), 1))[:side, :side])


def write_region(path: Path, corner: int, side: int) -> None:
    """Write one square as QuPath exports it."""
    path.parent.mkdir(exist_ok=True)
    low, high = corner, corner + side
    ring = [[low, low], [high, low], [high, high], [low, high], [low, low]]
    properties = {"objectType": "annotation", "classification": {"name": "Tumor"}}
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": properties}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))


# --- Running ------------------------------------------------------------------------------------------------------


def run(way: Way, slides: Path, regions: Path, out: Path) -> tuple[float, float]:
    """Run a way in a process of its own; returns seconds and the MB of its largest process."""
    shutil.rmtree(out.parent, ignore_errors=True)
    out.parent.mkdir()
    places = {"slides": str(slides), "regions": str(regions), "out": str(out)}
    command = [sys.executable, *(part.format_map(places) for part in way.command)]
    start = time.perf_counter()
    log = out.with_name("log.txt")
    # An empty cache: `datasets` would not run the script a second time.
    own = {"HF_DATASETS_CACHE": str(out.with_name("cache")), "HF_HUB_OFFLINE": "1"}
    environment = {**os.environ, **dict(way.environment), **own}
    with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=file, env=environment) as child:
        _pid, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    if child.returncode:
        raise SystemExit(f"{way.name} failed:\n{log.read_text()[-2000:]}")
    return seconds, usage.ru_maxrss / 1024


# --- The others ---------------------------------------------------------------------------------------------------


def script(slides: Path, regions: Path, out: Path, image_format: str, workers: int) -> None:
    """The script that people write: read each window, save it with Pillow, let `datasets` write Parquet."""
    import datasets

    paths = sorted(str(path) for path in slides.glob("*/*.svs"))
    features = datasets.Features({"image": datasets.Image(), "slide_id": datasets.Value("string")})
    made = datasets.Dataset.from_generator(
        cut,
        features=features,
        gen_kwargs={"paths": paths, "image_format": [image_format] * len(paths)},
        num_proc=workers,
    )
    if len(made) != len(paths) * GRID * GRID:
        raise SystemExit(f"{len(made)} patches")
    made.to_parquet(out)


def cut(paths: list[str], image_format: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the windows of slides as rows."""
    import openslide

    for path, kind in zip(paths, image_format, strict=True):
        slide = openslide.OpenSlide(path)
        for number in range(GRID * GRID):
            row, column = divmod(number, GRID)
            corner = (_CORNER + column * WINDOW, _CORNER + row * WINDOW)
            patch = slide.read_region(corner, 0, (WINDOW, WINDOW)).convert("RGB")
            file = io.BytesIO()
            if kind == "png":
                patch.save(file, "PNG")
            else:
                patch.save(file, "JPEG", quality=95, subsampling=0)
            yield {"image": {"bytes": file.getvalue(), "path": None}, "slide_id": Path(path).stem}


def dzsave(slides: Path, regions: Path, out: Path, image_format: str, workers: int) -> None:
    """libvips: the same squares as folders of image files."""
    import pyvips

    out.mkdir()
    suffix = ".png" if image_format == "png" else ".jpg[Q=95,subsample-mode=off]"
    for path in sorted(slides.glob("*/*.svs")):
        square = pyvips.Image.new_from_file(str(path)).crop(_CORNER, _CORNER, GRID * WINDOW, GRID * WINDOW)
        square.dzsave(str(out / path.stem), tile_size=WINDOW, overlap=0, depth="one", suffix=suffix)
    found = len([file for file in out.rglob("*_*.*") if file.suffix in (".png", ".jpg", ".jpeg")])
    if found != len(list(slides.glob("*/*.svs"))) * GRID * GRID:
        raise SystemExit(f"{found} files")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
