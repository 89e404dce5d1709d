"""The file by which a demo's folder is known, and every file in it that the demo wrote."""

from __future__ import annotations

import json
from pathlib import Path

from her2_ihc_40x import MAX_MANIFEST_BYTES

from ..shards.made import Made, entries
from ..shards.staging import write_text

FILE_NAME = "her2-ihc-40x-demo.json"
WHAT = "Made by her2-ihc-40x demo, which replaces this folder as long as it holds these files, by their bytes, alone."


def write_mark(folder: Path) -> None:
    """List every file of a demo that is complete."""
    files = {path: (folder / path).stat().st_size for path in sorted(entries(folder))}
    write_text(folder / FILE_NAME, json.dumps({"what": WHAT, "files": files}, indent=1) + "\n")


def made_demo(folder: Path) -> Made | None:
    """Of a demo: the files that it wrote, while they have the sizes that it gave them; a name is soon taken."""
    path = folder / FILE_NAME
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_MANIFEST_BYTES:
            return None
        content = json.loads(path.read_bytes())
        files = dict(content["files"]) if content["what"] == WHAT else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    if files is None:
        return None
    sizes = {**files, FILE_NAME: path.stat().st_size}
    return lambda name: name in sizes and (folder / name).lstat().st_size == sizes[name]
