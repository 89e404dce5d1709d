"""The key's file: made once, and refused where others can read it or it is no secret."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from her2_ihc_40x_builder.errors import OutputError
from her2_ihc_40x_builder.privacy.key_file import read_or_make_key


def write(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_it_is_made_for_its_owner_alone_and_stays(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        key, made = read_or_make_key(tmp_path / "key")
    finally:
        os.umask(before)
    assert made
    assert len(bytes.fromhex(key.secret.decode())) == 32
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert read_or_make_key(tmp_path / "key") == (key, False)
    assert read_or_make_key(tmp_path / "other")[0] != key


def test_a_line_end_after_a_key_is_no_part_of_it(tmp_path: Path) -> None:
    one = write(tmp_path / "one", b"0123456789abcdef" * 2)
    two = write(tmp_path / "two", b"0123456789abcdef" * 2 + b"\r\n")
    assert read_or_make_key(one)[0] == read_or_make_key(two)[0]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_that_others_can_touch_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(OutputError, match="chmod 600"):
        read_or_make_key(write(tmp_path / "key", os.urandom(32), mode))


@pytest.mark.parametrize("content", [b"", b"secret", bytes(range(31)), b"ab" * 40, bytes(range(256)) * 17])
def test_what_is_too_short_too_long_or_repeats_is_no_key(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(OutputError, match="random bytes"):
        read_or_make_key(write(tmp_path / "key", content))
    assert (tmp_path / "key").read_bytes() == content


def test_a_place_where_no_key_can_be_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="key file"):
        read_or_make_key(tmp_path / "none" / "key")
    with pytest.raises(OutputError, match="key file"):
        read_or_make_key(tmp_path)


def test_a_pipe_and_a_device_are_no_key_and_are_not_opened(pipe: Path) -> None:
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(OutputError, match="a file with a key, found a pipe, a socket or a device"):
            read_or_make_key(path)
