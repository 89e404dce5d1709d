from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from her2_ihc_40x_builder.errors import SlideError
from her2_ihc_40x_builder.slides import fingerprint as module
from her2_ihc_40x_builder.slides.fingerprint import fingerprint


def test_a_fingerprint_tells_sizes_ends_and_the_middle_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.svs"
    seen = set()
    data = bytearray(np.random.default_rng(0).bytes(3_000_000))
    for position in (0, 1_500_000, 2_999_999):
        path.write_bytes(data)
        seen.add(fingerprint(path))
        data[position] ^= 1
    path.write_bytes(data)
    seen.add(fingerprint(path))
    path.write_bytes(data[:-1])
    seen.add(fingerprint(path))
    assert len(seen) == 5
    path.rename(tmp_path / "b.svs")
    assert fingerprint(tmp_path / "b.svs") in seen
    with pytest.raises(SlideError, match=r"a\.svs"):
        fingerprint(path)


def test_every_file_of_a_slide_counts_whatever_its_name(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "ab"]
    for path in paths:
        path.write_text(path.name)
    before = fingerprint(*paths)
    assert before == fingerprint(*reversed(paths))
    assert before not in {fingerprint(path) for path in paths}
    paths[0].rename(tmp_path / "c")
    assert fingerprint(tmp_path / "c", paths[1]) == before
    paths[1].write_text("another export")
    assert fingerprint(tmp_path / "c", paths[1]) != before


def test_a_change_in_place_that_keeps_size_and_date_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.svs"
    path.write_bytes(bytes(10_000_000))
    old = time.time_ns() - 3_600_000_000_000
    os.utime(path, ns=(old, old))
    time.sleep(2.1)  # younger files are not remembered
    before = fingerprint(path)
    assert fingerprint(path) == before
    with path.open("r+b") as file:
        file.seek(3_333_333)
        file.write(b"blackened")
    os.utime(path, ns=(old, old))
    assert fingerprint(path) != before


def test_an_unchanged_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.svs"
    path.write_bytes(b"a slide")
    time.sleep(2.1)
    before = fingerprint(path)
    monkeypatch.setattr(module, "sha256_of", lambda path: pytest.fail("it was read again"))
    assert fingerprint(path) == before
    path.touch()
    with pytest.raises(pytest.fail.Exception):
        fingerprint(path)
