"""The SHA-256 of a file, however it is given and read."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest

from her2_ihc_40x_builder.hashing import sha256_of


@pytest.mark.parametrize("data", [b"", b"a slide", bytes(range(256)) * 5000])
def test_of_a_path_and_of_an_open_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file").write_bytes(data)
    expected = hashlib.sha256(data).hexdigest()
    assert sha256_of(tmp_path / "file") == expected
    assert {sha256_of(io.BytesIO(data), block) for block in (7, 1 << 20)} == {expected}


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        sha256_of(tmp_path / "nowhere")
