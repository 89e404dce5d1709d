"""Runs the real commands on spoiled files, many in one process: `python -m torture.hostile GROUND POINT [NUMBER]`.

Each mutant is done in a box of its own. A line of JSON says what became of it: "refused" (an error of this project's,
said in words), "correct" (done, and what was made is whole), or what went wrong.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from her2_ihc_40x import Her2Error, load_dataset
from her2_ihc_40x_builder.cli import main
from her2_ihc_40x_builder.hub.verify import verify_folder
from her2_ihc_40x_builder.shards.manifest import read_manifest
from torture.campaign import rng
from torture.memory import Watch
from torture.mutants import STRUCTURAL, flip

FLIPS = 10
#: Longer than this is a hang, in seconds; a mutant that takes four times as long is ended, and says where it was.
HANG = 30.0
FORMATS = (
    "svs", "svs", "svs", "crop", "mask", "release png", "release jpeg", "zip", "zip", "geojson", "cytomine", "xml",
    "parquet", "parquet", "manifest", "card",
)  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """What is spoiled, and how: number 0 of a point is damage of the structure, where there is one; the rest flips."""

    point: int
    number: int

    @property
    def kind(self) -> str:
        """The format."""
        if self.number == 0:
            return STRUCTURAL[self.point][0]
        return FORMATS[(self.point * FLIPS + self.number) % len(FORMATS)]

    def spoil(self, data: bytes) -> bytes:
        """The bytes that are put in the file's place."""
        if self.number == 0:
            return STRUCTURAL[self.point][2](data)
        return flip(data, rng("hostile", self.point * 1000 + self.number))


def mutants(point: int) -> list[Mutant]:
    """Those of a point."""
    return [Mutant(point, number) for number in range(0 if point < len(STRUCTURAL) else 1, FLIPS + 1)]


def run(mutant: Mutant, ground: Path, box: Path) -> str:
    """Spoil one file of a copy of the ground, and run every command that reads it."""
    if mutant.kind in _BUILT:
        return _build(mutant, ground, box)
    if mutant.kind in ("zip", "release png", "release jpeg"):
        return _pack(mutant, ground, box)
    return _read(mutant, ground, box)


#: Which folder of regions a build reads, and what is spoiled.
_BUILT = {
    "svs": ("qupath", "WSI/3+/bad.svs"),
    "geojson": ("qupath", "qupath/bad.geojson"),
    "xml": ("xml", "xml/bad.xml"),
    "cytomine": ("cytomine.json", "cytomine.json"),
    "crop": ("ROI", "ROI/3+/bad_1.png"),
    "mask": ("masks", "masks/bad.png"),
}
_OPTIONS = ["--patch-size", "256", "--intensity", "none", "--hue-filter", "off"]


def _build(mutant: Mutant, ground: Path, box: Path) -> str:
    regions, spoiled = _BUILT[mutant.kind]
    shutil.copytree(ground / "slides", box / "in")
    _spoil(mutant, box / "in" / spoiled)
    given = [str(box / "in" / "WSI"), "--regions", str(box / "in" / regions), *_OPTIONS]
    planned = _command("plan", *given)
    built = _command("build", *given, "--out", str(box / "out"), "--workers", "1")
    if built != 1:
        _whole(box / "out")
        good, bad = (_windows(box / "out", slide) for slide in ("good", "bad"))
        if mutant.kind != "cytomine" and not good:
            raise AssertionError("the good slide beside it was not built")
        # Both slides have one region of the same size. Text and TIFF hold no checksums: a flipped digit may say another
        # size, and in an export of many slides another slide.
        lost = not bad and mutant.kind != "cytomine"
        if built == 0 and (lost or (bad != good and mutant.kind in ("crop", "mask"))):
            raise AssertionError(f"exit code 0, with {bad} windows of the spoiled slide and {good} of the good one")
    if built == 0 and planned != 0:
        raise AssertionError(f"plan says {planned}, build {built}")
    _nothing_else(box, "in", "out", "out-report", ".out.partial")
    return "correct" if built == 0 else "refused"


def _pack(mutant: Mutant, ground: Path, box: Path) -> str:
    source = "release" if mutant.kind == "zip" else "unpacked"
    shutil.copytree(ground / source, box / "in")
    suffix = {"zip": "her2-ihc-40x-patch.zip", "release png": "*.png", "release jpeg": "*.jpg"}[mutant.kind]
    _spoil(mutant, min((box / "in").rglob(suffix)))
    packed = _command("pack", str(box / "in"), "--out", str(box / "out"), "--subset", "--image-size", "8")
    if packed == 0:
        _whole(box / "out")
    _load(box / "in", image_size=8)
    _nothing_else(box, "in", "out")
    return "correct" if packed == 0 else "refused"


def _read(mutant: Mutant, ground: Path, box: Path) -> str:
    shutil.copytree(ground / "shards", box / "in")
    name = {"parquet": "*.parquet", "manifest": "manifest.json", "card": "README.md"}[mutant.kind]
    path = min((box / "in").rglob(name))
    before = path.read_bytes()
    _spoil(mutant, path)
    folder, good = str(box / "in"), str(ground / "shards")
    if _command("verify", folder, "--workers", "1") != 1 and path.read_bytes() != before:
        raise AssertionError("verify did not find it")
    _load(box / "in")
    codes = [_command("diff", good, folder), _command("diff", folder, good), _command("card", folder)]
    _nothing_else(box, "in")
    return "correct" if codes == [0, 0, 0] else "refused"


def _spoil(mutant: Mutant, path: Path) -> None:
    path.write_bytes(mutant.spoil(path.read_bytes()))


def _command(*arguments: str) -> int:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main(arguments)
    if code not in (0, 1, 3) or (code and not said.getvalue().strip()):
        raise AssertionError(f"{arguments[0]} ends with {code} and says {said.getvalue()!r}")
    return code


def _load(folder: Path, **options: Any) -> None:
    with contextlib.suppress(Her2Error):
        for split, rows in load_dataset("patch_split", source=folder, verify="none", **options).items():
            if not (split in ("train", "test") and len(rows)):
                raise AssertionError(f"{split} with {len(rows)} rows")


def _whole(out: Path) -> None:
    if problems := verify_folder(out, workers=1).problems:
        raise AssertionError(f"what was made is not whole: {problems[0]}")


def _windows(out: Path, slide: str) -> int:
    """How many windows of a slide a data set tells of: its patches, and what it says was left out and why."""
    manifest = read_manifest(out)
    if slide not in manifest.units:
        return 0
    return sum(shard.rows for shard in manifest.shards if shard.unit == slide) + len(manifest.units[slide]["dropped"])


def _nothing_else(box: Path, *allowed: str) -> None:
    if others := {path.name for path in box.iterdir()} - set(allowed):
        raise AssertionError(f"written elsewhere: {sorted(others)}")


def tried(point: int, number: int | None, ground: Path) -> Iterator[dict[str, object]]:
    """Do the mutants of a point, or one of them."""
    for mutant in mutants(point):
        if number not in (None, mutant.number):
            continue
        faulthandler.dump_traceback_later(4 * HANG, exit=True)
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as box, Watch() as memory:
            outcome = _outcome(mutant, ground, Path(box))
        faulthandler.cancel_dump_traceback_later()
        seconds = round(time.monotonic() - start, 2)
        what = f"{mutant.kind}: {STRUCTURAL[point][1] if mutant.number == 0 else 'flipped bytes'}"
        yield {"number": mutant.number, "what": what, "outcome": outcome, "seconds": seconds, "peak_kb": memory.peak_kb}


def _outcome(mutant: Mutant, ground: Path, box: Path) -> str:
    try:
        return run(mutant, ground, box)
    except Exception:  # whatever it is, it is what this looks for
        return traceback.format_exc()


if __name__ == "__main__":
    for line in tried(int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else None, Path(sys.argv[1])):
        print(json.dumps(line), flush=True)
