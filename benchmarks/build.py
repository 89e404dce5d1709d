"""How fast a slide becomes shards: `python benchmarks/build.py` prints two tables, all ways and the ratios of ours.

A slide of 16384 x 16384 becomes 256 patches of 1024 x 1024. Each way is a process of its own, timed from its start to
its end: imports, workers and, for `build`, its white point, card, figures, report and overlay included. The slide is
in the page cache. Ways take turns; the median counts; what takes longer than 20 seconds runs once. histolab leaves out
the windows at the far edges (225 are left); its time is scaled to 256. Needs the extra `[bench]`; packages that pin
other libraries are found in virtual environments of their own (`--peers`); those that are not there are left out.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from mosaic import source_kind, write_regions
from processes import Run, run
from timing import Row, table

HERE = Path(__file__).resolve().parent
SIDE, WINDOW, LARGE = 16384, 1024, 32768
PATCHES = (SIDE // WINDOW) ** 2
PEAK = 600e6  # bytes a process
_SLOW = 20.0

OFF = ("--intensity", "none", "--hue-filter", "off", "--min-tissue", "0")
JPEG = ("--image-format", "jpeg", "--quality", "95")
#: How to install what cannot share an environment with this project; openslide-bin needs a newer openslide-python than
#: histolab asks for.
INSTALL = {
    "histolab": (
        "python3.10 -m venv {0} && {0}/bin/pip install histolab openslide-bin && "
        "{0}/bin/pip install --no-deps openslide-python==1.4.1"
    ),
    "cucim": "python3 -m venv {0} && {0}/bin/pip install cucim-cu12 pillow",
    "tiatoolbox": "python3 -m venv {0} && {0}/bin/pip install tiatoolbox",
}


@dataclass(frozen=True)
class Way:
    """A way to cut the slide.

    Args:
        name: in the tables.
        command: with places for {slides}, {regions}, {slide} and {out}.
        prints: "seconds" that it measured itself, the number of "patches" that it made, or nothing that counts.
    """

    name: str
    command: tuple[str, ...]
    prints: Literal["seconds", "patches", ""] = ""


def main() -> None:
    """Make the inputs, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="the median counts (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes of each way (default: %(default)s)")
    parser.add_argument("--peers", type=Path, metavar="DIR", help=f"virtual environments named {', '.join(INSTALL)}")
    parser.add_argument("--only", metavar="TEXT", default="", help="only ways whose name holds this, and no ratios")
    parser.add_argument("--skip-memory", action="store_true", help="leave out the slide that is four times larger")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="keep the slides there, and use them again")
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        folder = parsed.folder or Path(scratch) / "inputs"
        bench = Bench(folder, Path(scratch), parsed.rounds)
        print(describe(), flush=True)
        ways = [way for way in list_ways(parsed.peers, parsed.workers) if parsed.only in way.name]
        found = bench.measure(ways, SIDE)
        print(f"\n{all_ways(found)}\n", flush=True)
        if parsed.only:
            return
        rows = ratios(found)
        if not parsed.skip_memory:
            large = bench.measure([build("build", parsed.workers, *OFF)], LARGE, rounds=1)["build"]
            rows += memory(found["build PNG, off"], found["build PNG, on"], large)
    print(table(rows))


def list_ways(peers: Path | None, workers: int) -> list[Way]:
    """What can be run here; says of the others why not."""
    here = Path(sys.executable)
    ways = [
        build("build PNG, off", workers, *OFF),
        build("build JPEG, off", workers, *OFF, *JPEG),
        build("build PNG, on", workers),
        build("build of one window", workers, *OFF, regions="window"),
        limit("limit PNG", "png", workers),
        limit("limit JPEG", "jpeg", workers),
        peer("script, 1 process", here, "script", "1"),
        peer("script, 2 processes", here, "script", "2"),
        peer("dzsave PNG", here, "dzsave", ".png"),
        peer("dzsave PNG, level 1", here, "dzsave", ".png[compression=1]"),
        peer("dzsave JPEG", here, "dzsave", ".jpg[Q=95,subsample-mode=off]"),
        *(peer(name, (peers or Path("DIR")) / name / "bin" / "python", name, "-") for name in INSTALL),
    ]
    return [way for way in ways if way is not None]


def build(name: str, workers: int, *options: str, regions: str = "all") -> Way:
    """`her2-ihc-40x build` as a user runs it."""
    command = (
        sys.executable,
        "-m",
        "her2_ihc_40x_builder",
        "build",
        "{slides}",
        "--regions",
        f"{{regions}}/{regions}",
    )
    return Way(name, (*command, "--out", "{out}", "--stride", str(WINDOW), "--workers", str(workers), *options))


def limit(name: str, image_format: str, workers: int) -> Way:
    """The least that it can take."""
    return Way(name, (sys.executable, str(HERE / "limit.py"), "{slide}", image_format, str(workers)), "seconds")


def peer(name: str, python: Path, way: str, option: str) -> Way | None:
    """One of the ways in peers.py, if its package is there."""
    command = (str(python), str(HERE / "peers.py"), way, "{slide}", "{out}", option)
    if python.exists():
        asked = subprocess.run([*command[:3], "-", "-", "?"], capture_output=True, text=True, check=False)
        reason = asked.stderr.strip().rpartition("\n")[2]
        if asked.returncode == 0:
            return Way(name, command, "patches")
    else:
        reason = f"there is no {python}"
    remedy = INSTALL.get(way, "pip install '.[bench]'").format(python.parent.parent)
    print(f"Left out: {name}: {reason}. To install it: {remedy}", flush=True)
    return None


class Bench:
    """Makes slides in `folder` when they are asked for, and runs ways on them; outputs come and go in `scratch`."""

    def __init__(self, folder: Path, scratch: Path, rounds: int) -> None:
        self._folder, self._scratch, self._rounds = folder, scratch, rounds

    def measure(self, ways: Sequence[Way], side: int, rounds: int = 0) -> dict[str, list[Run]]:
        """Name -> what each run took."""
        slide = self._slide(side)
        found: dict[str, list[Run]] = defaultdict(list)
        for _ in range(rounds or self._rounds):
            for way in ways:
                if not found[way.name] or found[way.name][0].seconds < _SLOW:
                    found[way.name].append(self._run(way, slide))
        return found

    def _slide(self, side: int) -> Path:
        home = self._folder / str(side)
        slide = home / "WSI" / "3+" / "mosaic.svs"
        if not (home / "regions").exists():
            slide.parent.mkdir(parents=True, exist_ok=True)
            # Elsewhere: what a process once took counts as its children's peak, too.
            subprocess.run([sys.executable, str(HERE / "mosaic.py"), str(side), str(slide)], check=True)
            write_regions(home / "regions", side)
        while_read = slide.read_bytes()  # now it is in the page cache
        print(f"{side} x {side}: {len(while_read) / 1e6:.0f} MB of {source_kind()}", file=sys.stderr)
        return slide

    def _run(self, way: Way, slide: Path) -> Run:
        shutil.rmtree(self._scratch / "work", ignore_errors=True)
        out = self._scratch / "work" / "out"
        out.parent.mkdir()
        os.sync()  # else this one waits for what the last one wrote
        home = slide.parents[2]
        places = {"slide": slide, "slides": home / "WSI", "regions": home / "regions", "out": out}
        command = [part.format_map(places) for part in way.command]
        took = run(command, {**os.environ, "HF_HUB_OFFLINE": "1"}, self._scratch / "log.txt")
        print(f"{way.name}: {took.seconds:.1f} s, {took.cpu:.1f} s of processors", file=sys.stderr, flush=True)
        if way.prints == "seconds":
            return replace(took, seconds=float(took.output))
        if way.prints == "patches":
            return replace(took, seconds=took.seconds * PATCHES / self._made(took))
        return took

    @staticmethod
    def _made(took: Run) -> int:
        made = int(took.output.split()[-1])
        if not PATCHES * 0.85 < made <= PATCHES:
            raise RuntimeError(f"{made} patches")
        return made


# --- What is said of it ---------------------------------------------------------------------------------------------


def describe() -> str:
    """The machine, and what is cut."""
    return (
        f"{PATCHES} patches of one slide, {source_kind()}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}."
    )


def seconds(runs: Sequence[Run]) -> float:
    """The median."""
    return statistics.median(one.seconds for one in runs)


def all_ways(found: Mapping[str, Sequence[Run]]) -> str:
    """Every way as a Markdown table."""
    lines = ["| way | seconds | of processors | patches/s | largest process | all together |"]
    lines.append("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, runs in sorted(found.items(), key=lambda entry: seconds(entry[1])):
        cpu = statistics.median(one.cpu for one in runs)
        peak, together = (max(values) / 1e6 for values in ([r.peak for r in runs], [r.together for r in runs]))
        speed = "" if "one window" in name else f"{PATCHES / seconds(runs):.0f}"
        cells = (name, f"{seconds(runs):.1f}", f"{cpu:.1f}", speed, f"{peak:.0f} MB", f"{together:.0f} MB")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def ratios(found: Mapping[str, Sequence[Run]]) -> list[Row]:
    """Ours against the others, as the goals count them: how many times faster."""

    def row(ours: str, theirs: str, goal: float | None = None) -> list[Row]:
        if theirs not in found:
            return []
        mine, other = seconds(found[ours]), seconds(found[theirs])
        return [Row(f"`{ours}`", theirs, f"{mine:.1f} s", f"{other:.1f} s", other / mine, goal)]

    def without_start(ours: str, theirs: str) -> Row:
        mine = seconds(found[ours]) - seconds(found["build of one window"])
        other = seconds(found[theirs])
        return Row(f"`{ours}`, less that of one window", theirs, f"{mine:.1f} s", f"{other:.1f} s", other / mine)

    on, off = (seconds(found[name]) for name in ("build PNG, on", "build PNG, off"))
    return [
        *row("build PNG, off", "script, 1 process"),
        *row("build PNG, off", "script, 2 processes", 8.0),
        *row("build PNG, off", "histolab", 20.0),
        *row("build PNG, off", "tiatoolbox"),
        *row("build PNG, off", "cucim"),
        *row("build PNG, off", "dzsave PNG", 2.5),
        *row("build PNG, off", "dzsave PNG, level 1", 1.5),
        *row("build JPEG, off", "dzsave JPEG", 1.0),
        *row("build PNG, off", "limit PNG", 0.6),
        without_start("build PNG, off", "limit PNG"),
        *row("build JPEG, off", "limit JPEG"),
        without_start("build JPEG, off", "limit JPEG"),
        Row("`build PNG, on`", "build PNG, off", f"{on:.1f} s", f"{off:.1f} s", on / off, 1.5, at_least=False),
    ]


def memory(off: Sequence[Run], on: Sequence[Run], large: Sequence[Run]) -> list[Row]:
    """The largest process of a build against what it may take."""

    def row(what: str, runs: Sequence[Run], against: str, allowed: float, goal: float) -> Row:
        peak = max(one.peak for one in runs)
        shown = (f"{peak / 1e6:.0f} MB", f"{allowed / 1e6:.0f} MB")
        return Row(f"memory of the largest process, {what}", against, *shown, peak / allowed, goal, at_least=False)

    return [
        row("off", off, "600 MB", PEAK, 1.0),
        row("on", on, "600 MB", PEAK, 1.0),
        row(f"off, {LARGE} x {LARGE}", large, f"off, {SIDE} x {SIDE}", max(one.peak for one in off), 1.1),
    ]


if __name__ == "__main__":
    main()
