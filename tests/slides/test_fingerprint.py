from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from her2_ihc_40x_builder.errors import SlideError
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
