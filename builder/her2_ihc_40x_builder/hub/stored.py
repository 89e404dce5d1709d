"""What a commit on the Hub really stores: the Hub declares hashes, and only reading the bytes proves them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import HfFileSystem

from ..hashing import sha256_of
from ..parallel import run_tasks
from ..shards.files import SCHEMA, Shard
from .changes import LocalFile
from .remote import HubError, talking

_THREADS = 4
_CHUNK = 8 << 20


def open_remote(repo: str, commit: str, path: str, *, block: int | None = None) -> Any:
    """A file of a commit, read by ranges; of at least `block` bytes and ahead, or exactly those asked for."""
    cache: dict[str, Any] = {"cache_type": "none"} if block is None else {"block_size": block}
    return HfFileSystem().open(f"datasets/{repo}@{commit}/{path}", "rb", **cache)


def stream_rows(repo: str, commit: str, shards: Sequence[Shard]) -> None:
    """Read one row of every file from the Hub, and compare its image with its own sha256.

    Raises:
        HubError: a file cannot be read, or a row holds other bytes.
    """
    tasks = [(repo, commit, shard) for shard in shards]
    run_tasks(_stream_row, tasks, workers=_THREADS, label="Streaming", unit="file", threads=True)


def _stream_row(task: tuple[str, str, Shard]) -> None:
    repo, commit, shard = task
    subject = f"{shard.path} of {repo}@{commit[:8]}"
    with talking(subject), open_remote(repo, commit, shard.path, block=1 << 18) as stored:
        try:
            # Read as it is decoded: by default a whole row group of images comes for one row.
            with pq.ParquetFile(stored, pre_buffer=False, buffer_size=1 << 16) as file:
                if not file.schema_arrow.equals(SCHEMA) or file.metadata.num_rows != shard.rows:
                    raise _rotten(subject, f"{shard.rows} rows of the manifest's columns", "something else")
                batches = file.iter_batches(1, row_groups=[0], columns=["image", "sha256"], use_threads=False)
                row = next(batches).to_pylist()[0]
        except (pa.ArrowException, StopIteration) as error:
            raise _rotten(subject, "a row that can be read", type(error).__name__) from None
        except OSError as error:
            # So pyarrow calls bytes that it cannot read; what the network raises has a number, or a class of its own.
            if type(error) is not OSError or error.errno is not None:
                raise
            raise _rotten(subject, "a row that can be read", str(error)[:300]) from None
    if hashlib.sha256((row["image"] or {}).get("bytes") or b"").hexdigest() != row["sha256"]:
        raise _rotten(subject, f"an image of sha256 {row['sha256']}", "another")


def hash_files(repo: str, commit: str, files: Sequence[LocalFile]) -> None:
    """Download every file of a commit, keep none, and compare its sha256.

    Raises:
        HubError: a file cannot be read, or holds other bytes.
    """
    tasks = [(repo, commit, file) for file in files]
    run_tasks(
        _hash_file,
        tasks,
        workers=_THREADS,
        label="Downloading",
        unit="B",
        weight=lambda task: task[2].size,
        threads=True,
    )


def _hash_file(task: tuple[str, str, LocalFile]) -> None:
    repo, commit, file = task
    subject = f"{file.path} of {repo}@{commit[:8]}"
    with talking(subject), open_remote(repo, commit, file.path, block=_CHUNK) as stored:
        found = sha256_of(stored, _CHUNK)
    if found != file.sha256:
        raise _rotten(subject, f"sha256 {file.sha256}", found)


def _rotten(subject: str, expected: str, found: str) -> HubError:
    remedy = (
        "The stored file is not what was sent; the version is not tagged. What is stored is not sent again: delete it "
        "on the Hub (the repo's settings, LFS files), then run it again."
    )
    return HubError(subject, expected, found, remedy)
