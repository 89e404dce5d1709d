"""Loading and packing against what else there is: `python benchmarks/load.py` prints one table of ratios.

Every contender gets the same images, read from a warm page cache and decoded. Times are the best of three runs taken
in turns; what depends on a process's past runs in a process of its own. Needs the extra `[bench]`.
"""

from __future__ import annotations

import argparse
import inspect
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path

import datasets
import PIL
import pyarrow as pa
from fresh import in_fresh_process
from inputs import Inputs, choose_patches, make_inputs, shard_rows, train_shards
from labels import bytes_needed, bytes_read
from streams import streams
from timing import ROUNDS, Row, best_times, table

_OPEN_AT_ONCE = 10


def main() -> None:
    """Make the inputs, measure, print."""
    parser = argparse.ArgumentParser(description="Benchmark loading and packing.")
    parser.add_argument("--patches", type=int, default=256, help="patches of the twin (default: %(default)s)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the inputs there, and use them again")
    arguments = parser.parse_args()
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        rows = measure(arguments.keep or Path(scratch) / "inputs", Path(scratch), arguments.patches)
    print(table(rows))


def measure(root: Path, scratch: Path, count: int) -> list[Row]:
    """Every row of the table.

    Args:
        root: where the inputs are, or are made.
        scratch: a folder for outputs.
        count: patches.
    """
    png, jpg = (make_inputs(root / f"{suffix}-{count}", choose_patches(count), suffix) for suffix in ("png", "jpg"))
    print(_describe(png), flush=True)
    for inputs in (png, jpg):
        _warm(inputs.root)
    return [
        *_streaming(png),
        *_streaming(jpg),
        *_first_example(png),
        *_labels(png),
        *_packing(png, scratch),
        *_memory(png),
    ]


def _streaming(inputs: Inputs) -> list[Row]:
    found = best_times(streams(inputs))
    images = sum(shard_rows(inputs))
    kind = inputs.suffix.upper().replace("JPG", "JPEG")

    def row(name: str, other: str, against: str, goal: float | None = None) -> Row:
        what = f"streaming, {kind}" + (", `decode(num_threads=2)`" if name == "threads" else "")
        ours, theirs = (f"{images / found[key]:.0f} images/s" for key in (name, other))
        return Row(what, against, ours, theirs, found[other] / found[name], goal)

    rows = [
        row("shards", "loop", "a Pillow loop over files", 0.9),
        row("shards", "imagefolder", "`imagefolder`, streaming"),
        row("shards", "webdataset", "WebDataset"),
    ]
    return rows + ([row("threads", "loop", "a Pillow loop over files", 1.35)] if "threads" in found else [])


def _first_example(inputs: Inputs) -> list[Row]:
    ours, theirs = train_shards(inputs), [inputs.default_groups]
    runs = [(in_fresh_process("first", *ours), in_fresh_process("first", *theirs)) for _ in range(ROUNDS)]

    def row(key: str, what: str, goal: float | None = None) -> Row:
        mine, other = (min(run[side][key] for run in runs) for side in (0, 1))
        shown = (f"{1000 * mine:.0f} ms", f"{1000 * other:.0f} ms")
        return Row(what, "default row groups", *shown, mine / other, goal, at_least=False)

    return [row("seconds", "first streamed example", 0.3), row("with_load", "the same, `load_dataset` included")]


def _labels(inputs: Inputs) -> list[Row]:
    files = train_shards(inputs)
    total = sum(path.stat().st_size for path in files)

    def row(what: str, count: Callable[[Path], int]) -> Row:
        found = sum(map(count, files))
        shown = f"{found / 1e3:.0f} kB in {len(files)} files"
        return Row(what, "bytes of the shards", shown, f"{total / 1e6:.0f} MB", found / total, 0.0005, at_least=False)

    return [
        row("labels and slides, bytes that pyarrow reads", bytes_read),
        row("labels and slides, footers and columns", bytes_needed),
    ]


def _packing(inputs: Inputs, scratch: Path) -> list[Row]:
    release, out = inputs.release, scratch / "out"
    rounds = []
    for turn in range(ROUNDS):
        jobs = [("crc", "pack", "crc"), ("decode", "pack", "decode"), ("imagefolder", "imagefolder")]
        ordered = jobs if turn % 2 == 0 else jobs[::-1]
        rounds.append({name: in_fresh_process(*job, release, out) for name, *job in ordered})
    found = {name: min(turn[name]["seconds"] for turn in rounds) for name in rounds[0]}
    unpacked = min(turn["imagefolder"]["seconds"] - turn["imagefolder"]["unpacking"] for turn in rounds)
    one = sum(path.stat().st_size for path in inputs.shards.rglob("*.parquet"))
    two = rounds[0]["imagefolder"]["bytes"]
    theirs = "`imagefolder`, bytes embedded, `to_parquet`"

    def row(name: str, against: str, seconds: float, goal: float | None = None) -> Row:
        shown = (f"{found[name]:.1f} s", f"{seconds:.1f} s")
        return Row(f"`pack --check {name}`", against, *shown, seconds / found[name], goal)

    sizes = (f"{one / 1e6:.0f} MB", f"{two / 1e6:.0f} MB")
    return [
        Row("stored: one copy for two configs", "two data sets", *sizes, one / two, 0.55, at_least=False),
        row("crc", f"unzip, {theirs}", found["imagefolder"], 2.0),
        row("crc", f"{theirs} (unzipped before)", unpacked),
        row("decode", f"unzip, {theirs}", found["imagefolder"]),
    ]


def _memory(inputs: Inputs) -> list[Row]:
    def peak(files: list[Path], input_shards: int = 0) -> float:
        # The release has far more than the ten shards that a shuffle opens at once; a part of it has fewer.
        repeated = files * -(-_OPEN_AT_ONCE // len(files))
        return in_fresh_process("shuffle", 100, input_shards, *repeated)["bytes"]

    default = peak([inputs.default_groups])
    ways = {"`shuffle(100)`": 0}
    if "max_buffer_input_shards" in inspect.signature(datasets.IterableDataset.shuffle).parameters:
        ways["`shuffle(100, max_buffer_input_shards=1)`"] = 1
    rows = []
    for shown, input_shards in ways.items():
        ours = peak(train_shards(inputs), input_shards)
        sizes = (f"{ours / 1e6:.0f} MB", f"{default / 1e6:.0f} MB")
        rows.append(Row(f"memory to the first item of {shown}", "default row groups", *sizes, ours / default))
    return rows


def _warm(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                while file.read(1 << 22):
                    pass


def _describe(inputs: Inputs) -> str:
    rows = sorted(shard_rows(inputs))
    size = sum((inputs.root / "files" / patch.file_name).stat().st_size for patch in inputs.patches)
    libraries = (
        ("Python", platform.python_version()),
        ("datasets", datasets.__version__),
        ("pyarrow", pa.__version__),
        ("Pillow", PIL.__version__),
    )
    return (
        f"{len(inputs.patches)} patches {inputs.kind}, {size / len(inputs.patches) / 1e6:.2f} MB a PNG; `wsi_split` "
        f"train is {sum(rows)} in {len(rows)} shards. "
        + ", ".join(" ".join(pair) for pair in libraries)
        + f"; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n"
    )


if __name__ == "__main__":
    main()
