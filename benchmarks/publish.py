"""Bytes sent for version 2 of a data set of slides, ours against what people do, on one Hub double each.

    python benchmarks/publish.py [--slides 20] [--patches 32] [--size 256]

Three changes: every patch of one slide drawn anew, one patch relabelled, one slide added. Version 1 is sent first and
not counted; bytes are of all request bodies. Then the same files are sent once more over Xet, whose chunks are counted:
the files alone, since the double takes no commits of Xet.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import pyarrow.parquet as pq

from editions import Slides, plan_slides, write_edition
from her2_ihc_40x import CLASSES
from her2_ihc_40x_builder.hub.verify import sides_of
from her2_ihc_40x_builder.shards.manifest import read_manifest
from hub_double import HubDouble

REPO = "lab/her2-ihc-40x"
OURS = "her2-ihc-40x publish"
#: What each way runs in a process of its own: argv is the folder, the version, and the repo.
CODE = {
    OURS: """
import sys
from her2_ihc_40x_builder.cli import main
folder, version, repo = sys.argv[1:]
sys.exit(main(["publish", folder, "--repo", repo, "--version", version, "--i-may-share-this"]))
""",
    "Dataset.push_to_hub": """
import sys
from datasets import load_dataset
folder, version, repo = sys.argv[1:]
load_dataset(folder, "patch_split").push_to_hub(repo, "patch_split")
""",
    "upload_folder of an imagefolder": """
import sys
from huggingface_hub import HfApi
folder, version, repo = sys.argv[1:]
HfApi().create_repo(repo, repo_type="dataset", exist_ok=True)
HfApi().upload_folder(repo_id=repo, folder_path=folder + "-images", repo_type="dataset", delete_patterns=["*"])
""",
}
XET = """
import sys
from pathlib import Path
from huggingface_hub import CommitOperationAdd, HfApi
folder, repo = Path(sys.argv[1]), sys.argv[2]
files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
adds = [CommitOperationAdd(path.relative_to(folder).as_posix(), path) for path in files]
HfApi().preupload_lfs_files(repo, additions=adds, repo_type="dataset")
"""


@dataclass(frozen=True)
class Cost:
    """What version 2 took: bytes of request bodies, bytes of Xet chunks (None: not measured), commits, requests."""

    sent: int
    chunks: int | None
    commits: int
    requests: int


def main(arguments: Sequence[str]) -> int:
    """Print a table for each change."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slides", type=int, default=20)
    parser.add_argument("--patches", type=int, default=32, help="of a slide (%(default)s)")
    parser.add_argument("--size", type=int, default=256, help="pixels a side of a patch (%(default)s)")
    options = parser.parse_args(arguments)
    slides = plan_slides(options.slides, options.patches)
    victim = f"slide-{options.slides // 2}"
    spots = slides[victim]
    changes: dict[str, Slides] = {
        "one slide drawn anew": {**slides, victim: [replace(spot, look=spot.look + 10**6) for spot in spots]},
        "one patch relabelled": {**slides, victim: [replace(spots[0], label=other(spots[0].label)), *spots[1:]]},
        "one slide added": plan_slides(options.slides + 1, options.patches),
    }
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        before = prepare(root / "v1" / "her2-ihc-40x", slides, options.size)
        for number, (title, changed) in enumerate(changes.items()):
            after = prepare(root / f"v2-{number}" / "her2-ihc-40x", changed, options.size)
            costs = {
                way: measure(code, before, after, root / f"{number}-{at}")
                for at, (way, code) in enumerate(CODE.items())
            }
            print_table(title, costs, before, after)
    return 0


def other(label: str) -> str:
    """Another class."""
    return CLASSES[(CLASSES.index(label) + 1) % len(CLASSES)]


def prepare(folder: Path, slides: Slides, size: int) -> Path:
    """Write a data set, and the same patches as an imagefolder beside it."""
    write_edition(folder, slides, size=size)
    for path in sorted(folder.glob("data/*/*/*.parquet")):
        split = sides_of(path.relative_to(folder).as_posix()).patch
        for row in pq.read_table(path, columns=["image", "label", "patch_id"]).to_pylist():
            place = folder.with_name(f"{folder.name}-images") / split / CLASSES[row["label"]] / f"{row['patch_id']}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(row["image"]["bytes"])
    return folder


def measure(code: str, before: Path, after: Path, work: Path) -> Cost:
    """Send both versions to a Hub of its own; what the second takes."""
    with HubDouble() as hub:
        run(hub, work, code, before, "1.0.0", REPO)
        repo = hub.store.repos[REPO]
        first, start, commits = repo.refs["main"], len(hub.requests), len(repo.commits)
        run(hub, work, code, after, "1.1.0", REPO)
        sent = sum(request.received for request in hub.requests[start:])
        requests, commits = len(hub.requests) - start, len(repo.commits) - commits
        editions = []
        for revision in (first, repo.refs["main"]):
            folder = work / revision
            for path, file in repo.resolve(revision).files.items():
                if file.lfs:
                    (folder / path).parent.mkdir(parents=True, exist_ok=True)
                    (folder / path).write_bytes(repo.read(revision, path))
            editions.append(folder)
    return Cost(sent, count_chunks(editions, work), commits, requests)


def count_chunks(editions: Sequence[Path], work: Path) -> int | None:
    """Bytes of the chunks that the second of two folders adds to a chunk store; None without hf_xet."""
    if importlib.util.find_spec("hf_xet") is None:
        return None
    with HubDouble() as hub:
        hub.store.create(REPO)
        hub.store.xet_folder = work / "chunks"
        hub.store.xet_folder.mkdir()
        sizes = []
        for folder in editions:
            run(hub, work, XET, folder, REPO, HF_HUB_DISABLE_XET="0")
            sizes.append(hub.xet_bytes())
    return sizes[1] - sizes[0]


def run(hub: HubDouble, work: Path, code: str, *arguments: object, **environment: str) -> None:
    """Run code in a process that talks to the double."""
    work.mkdir(exist_ok=True)
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = hub.environment(work / "home") | environment
    done = subprocess.run(command, env=environment, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)


def print_table(title: str, costs: Mapping[str, Cost], before: Path, after: Path) -> None:
    """Bytes, and their ratio to ours; and what is the least that files of slides allow."""
    old, new = (read_manifest(folder) for folder in (before, after))
    changed = sum(shard.bytes for shard in set(new.shards) - set(old.shards))
    ours = costs[OURS].sent
    print(f"\n{title}\n{'':<34}{'bytes sent':>14}{'x ours':>9}{'Xet chunks':>14}{'commits':>9}{'requests':>10}")
    for way, cost in costs.items():
        chunks = "not measured" if cost.chunks is None else f"{cost.chunks:,}"
        print(f"{way:<34}{cost.sent:>14,}{cost.sent / ours:>9.2f}{chunks:>14}{cost.commits:>9}{cost.requests:>10}")
    whole = sum(path.stat().st_size for path in after.rglob("*") if path.is_file())
    print(f"{'every file':<34}{whole:>14,}{whole / ours:>9.2f}")
    print(f"{'the changed slides alone':<34}{changed:>14,}{changed / ours:>9.2f}   ours: {ours / changed - 1:+.2%}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
