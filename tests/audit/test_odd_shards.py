"""Data sets that are damaged or hostile are refused by name, or audited."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from her2_ihc_40x import ReleaseError

pytest.importorskip("cv2", reason="needs the extra [build]")

from audit_lab import audit, clean, noise
from her2_ihc_40x_builder.cli import main
from her2_ihc_40x_builder.shards.files import digest
from her2_ihc_40x_builder.shards.manifest import FILE_NAME, read_manifest
from planted import TEST, TRAIN, png, row, write_rows


def rewrite(folder: Path, **options: Any) -> Path:
    """Write a shard of a data set again, otherwise than we do, with a manifest that fits it."""
    (shard, *rest) = read_manifest(folder).shards
    table = pq.read_table(folder / shard.path, partitioning=None)
    pq.write_table(table, folder / shard.path, **options)
    shards = [replace(shard, bytes=(folder / shard.path).stat().st_size), *rest]
    content = json.loads((folder / FILE_NAME).read_text())
    content["files"][0]["bytes"] = shards[0].bytes
    content["digest"] = digest(shards)
    (folder / FILE_NAME).write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("options", [{"compression": "zstd"}, {"compression": "none", "use_dictionary": True}])
def test_what_could_unpack_to_more_is_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    folder = rewrite(write_rows(tmp_path / "data", clean(1)), **options)
    with pytest.raises(
        ReleaseError, match="a compressed column" if options["compression"] == "zstd" else "a column in a dictionary"
    ):
        audit(folder)


def test_a_shard_that_is_none(tmp_path: Path) -> None:
    folder = write_rows(tmp_path / "data", clean(2))
    victim = folder / read_manifest(folder).shards[0].path
    victim.write_bytes(victim.read_bytes()[:-100])
    with pytest.raises(ReleaseError, match="a shard of ours"):
        audit(folder)
    victim.unlink()
    with pytest.raises(ReleaseError, match="a shard of ours"):
        audit(folder)


def test_texts_without_end_are_refused(tmp_path: Path) -> None:
    folder = write_rows(tmp_path / "data", [(TRAIN, row("x" * 2000, "s", png(noise(1))))])
    with pytest.raises(ReleaseError, match="a text of 2000 characters"):
        audit(folder)


def test_names_cannot_steer_a_terminal_or_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "\x1b[31m<script>\n"
    rows = [(TRAIN, row(name, "a", png(noise(1)))), (TEST, row(name + "'", "b", png(noise(1))))]
    folder = write_rows(tmp_path / "data", rows)
    assert main(["audit", str(folder)]) == 1
    printed = capsys.readouterr().out
    assert "?[31m<script>?" in printed
    assert "\x1b" not in printed
    assert "<script>" not in (tmp_path / "data-audit" / "index.html").read_text()
