"""What has to be measured in a process of its own: `python fresh.py WHAT ARGUMENTS` prints one JSON object.

Peak memory of a process never falls, a first example is first only once, and worker processes of `pack` import again
what the main program had imported.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import PIL.Image
import PIL.PngImagePlugin
from datasets.table import embed_table_storage

from her2_ihc_40x import CONFIGS
from her2_ihc_40x_builder.pack import PackOptions, pack_release


def in_fresh_process(what: str, *arguments: object) -> dict[str, float]:
    """Run one of the measurements below, by its name, in a process of its own."""
    command = [sys.executable, __file__, what, *map(str, arguments)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def first(*files: str) -> dict[str, float]:
    """Seconds to the first streamed example of Parquet files, without and with `load_dataset` itself."""
    start = time.perf_counter()
    stream = _stream(files)
    loaded = time.perf_counter()
    next(iter(stream))["image"].load()
    end = time.perf_counter()
    return {"seconds": end - loaded, "with_load": end - start}


def shuffle(buffer: str, input_shards: str, *files: str) -> dict[str, float]:
    """Bytes by which peak memory grows up to the first item of a shuffle; input_shards 0 for the default."""
    stream = _stream(files)
    before = _peak()
    options = {"max_buffer_input_shards": int(input_shards)} if input_shards != "0" else {}
    next(iter(stream.shuffle(seed=0, buffer_size=int(buffer), **options)))["image"].load()
    return {"bytes": _peak() - before}


def pack(check: str, release: str, out: str) -> dict[str, float]:
    """Seconds to pack a release, until it is on the disk."""
    start = _ready(out)
    pack_release(Path(release), Path(out), PackOptions(check="crc" if check == "crc" else "decode", subset=True))
    os.sync()
    return {"seconds": time.perf_counter() - start}


def imagefolder(release: str, out: str) -> dict[str, float]:
    """Seconds from a release to Parquet files of both configs with their images' bytes, until they are on the disk.

    This is what `datasets` alone offers. It reads no nested zips, so they are unpacked first; `unpacking` tells how
    much of the time that is.
    """
    start = _ready(out)
    folders = {config: _unpack(Path(release), config, Path(out)) for config in CONFIGS}
    os.sync()
    unpacked = time.perf_counter()
    for config, folder in folders.items():
        loaded = datasets.load_dataset("imagefolder", data_dir=str(folder), cache_dir=f"{out}/cache")
        for split, part in loaded.items():
            # As push_to_hub does it: to_parquet alone would write paths.
            embedded = part.with_format("arrow").map(embed_table_storage, batched=True, keep_in_memory=True)
            target = Path(out) / "parquet" / config / f"{split}.parquet"
            target.parent.mkdir(parents=True, exist_ok=True)
            embedded.with_format(None).to_parquet(target)
    os.sync()
    end = time.perf_counter()
    size = sum(path.stat().st_size for path in (Path(out) / "parquet").rglob("*.parquet"))
    return {"seconds": end - start, "unpacking": unpacked - start, "bytes": size}


def audit(folder: str) -> dict[str, float]:
    """Seconds that an audit takes, of the clock and of the processor, and the peak of this process's memory."""
    from her2_ihc_40x_builder.audit import audit_edition
    from her2_ihc_40x_builder.hub.diff import open_edition

    start, begun = time.perf_counter(), time.process_time()
    audit_edition(open_edition(folder))
    return {"seconds": time.perf_counter() - start, "cpu": time.process_time() - begun, "bytes": _peak()}


def _ready(out: str) -> float:
    """The time, once an earlier job's output is gone and nothing waits to be written: pack would wait for it."""
    shutil.rmtree(out, ignore_errors=True)
    os.sync()
    return time.perf_counter()


def _unpack(release: Path, config: str, out: Path) -> Path:
    """A folder of train/<class> and test/<class> from the zip of a config."""
    folder = out / config
    with zipfile.ZipFile(next(release.glob("*-wsi.zip" if config == "wsi_split" else "*-patch.zip"))) as outer:
        for name in outer.namelist():
            split = name.rsplit("/", 1)[-1].split("_")[0]
            with outer.open(name) as inner, zipfile.ZipFile(inner) as archive:
                archive.extractall(folder / split)
    return folder


def _stream(files: Sequence[str]) -> Any:
    return datasets.load_dataset("parquet", data_files={"train": list(files)}, split="train", streaming=True)


def _peak() -> int:
    """The most memory that this process has had, in bytes."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Linux's ru_maxrss starts with the parent's, this does not.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


_MEASUREMENTS: dict[str, Callable[..., dict[str, float]]] = {
    measure.__name__: measure for measure in (first, shuffle, pack, imagefolder, audit)
}

if __name__ == "__main__":
    datasets.disable_progress_bars()
    PIL.Image.init()
    print(json.dumps(_MEASUREMENTS[sys.argv[1]](*sys.argv[2:])), flush=True)
    # A stream that was left early can hang the interpreter's shutdown (apache/arrow issue 45214).
    os._exit(0)
