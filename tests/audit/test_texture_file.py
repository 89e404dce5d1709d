"""Textures come out of their file as they went in, leave nothing behind, and a full disk is told by its folder."""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2", reason="needs the extra [build]")

from audit_lab import audit, clean
from her2_ihc_40x_builder.audit.texture import Corners, Texture, darkest, describe, shrink
from her2_ihc_40x_builder.audit.texture_file import StoredTextures, TextureFile
from her2_ihc_40x_builder.errors import OutputError
from planted import write_rows


def texture(height: int, width: int, *, mirror: bool = True) -> Texture:
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return describe(darkest(shrink(pixels)), mirror=mirror)


def check_same(one: Texture, other: Texture) -> None:
    assert one.size == other.size
    np.testing.assert_array_equal(one.relief, other.relief)
    assert one.relief.dtype == other.relief.dtype
    check_corners(one.corners, other.corners)
    assert (one.mirrored is None) == (other.mirrored is None)
    if one.mirrored is not None and other.mirrored is not None:
        check_corners(one.mirrored, other.mirrored)


def check_corners(one: Corners, other: Corners) -> None:
    for name in ("places", "angles", "codes"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).dtype == getattr(other, name).dtype


GIVEN: dict[str, Callable[[], Texture]] = {
    "square": lambda: texture(256, 256),
    "not mirrored": lambda: texture(128, 200, mirror=False),
    "one pixel": lambda: texture(1, 1),
    "a line": lambda: texture(3, 3000),
    "without corners": lambda: describe(np.full((64, 80), 240, np.uint8), mirror=True),
}


@pytest.mark.parametrize("name", GIVEN)
def test_what_is_stored_comes_out_the_same(name: str) -> None:
    given = GIVEN[name]()
    with TextureFile() as textures:
        stored = [textures.put(each) for each in (texture(50, 50), given, texture(60, 60))]
        assert stored[1].corners == len(given.corners.codes)
        check_same(stored[1].read(), given)
        check_same(StoredTextures(stored)[1], given)
        assert len(StoredTextures(stored)) == 3


def test_threads_may_store_at_once() -> None:
    given = [texture(40 + at, 60) for at in range(60)]
    with TextureFile() as textures, ThreadPoolExecutor(8) as pool:
        stored = list(pool.map(textures.put, given))
        for one, other in zip(given, pool.map(lambda each: each.read(), stored), strict=True):
            check_same(one, other)


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files of one's own."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_it_has_no_name(scratch: Path) -> None:
    with TextureFile() as textures:
        textures.put(texture(50, 50))
        assert list(scratch.iterdir()) == []


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_is_told_by_its_folder_and_blames_no_shard(scratch: Path, tmp_path: Path) -> None:
    folder = write_rows(tmp_path / "data", clean(8))
    with files_of_at_most(100), pytest.raises(OutputError, match="File too large") as caught:
        audit(folder)
    assert caught.value.subject == str(scratch)
    assert list(scratch.iterdir()) == []


def test_a_folder_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(OutputError, match="No such file"):
        TextureFile()
