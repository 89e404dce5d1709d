from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from her2_ihc_40x_builder.demo.synthetic import write_slide
from her2_ihc_40x_builder.errors import SlideError
from her2_ihc_40x_builder.geometry import Size
from her2_ihc_40x_builder.slides.files import find_slides, is_file_name
from permissions import held_back, needs_permissions

HOSTILE = Path(__file__).resolve().parents[3] / "shared" / "hostile"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_slide(tmp_path_factory.mktemp("drawn") / "s.svs", "1+", 0, Size(256, 256)).path


def put(drawn: Path, *places: Path) -> None:
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(drawn, place)


def test_slides_come_by_id(drawn: Path, tmp_path: Path) -> None:
    put(drawn, tmp_path / "class_3+" / "scanner" / "b.svs", tmp_path / "2+" / "c.TIF", tmp_path / "batch" / "a.svs")
    (tmp_path / "2+" / "notes.txt").write_text("not a slide")
    (tmp_path / "2+" / "._c.svs").write_bytes(b"AppleDouble")
    listing = find_slides(tmp_path)
    assert [slide.slide_id for slide in listing.slides] == ["a", "b", "c"]
    assert listing.refused == ()


@needs_permissions
def test_a_slide_that_may_not_be_read_is_not_called_damaged(drawn: Path, tmp_path: Path) -> None:
    put(drawn, tmp_path / "good.svs", tmp_path / "shut.svs")
    (tmp_path / "shut.svs").chmod(0)
    listing = held_back(lambda: find_slides(tmp_path))
    assert [slide.slide_id for slide in listing.slides] == ["good"]
    (said,) = map(str, listing.refused)
    assert said.startswith(f"{tmp_path / 'shut.svs'}: ")
    assert "found Permission denied" in said
    assert "Check the disk and the file's permissions." in said


@needs_permissions
@pytest.mark.parametrize("mode", [0, 0o444])
def test_a_folder_that_cannot_be_looked_into_is_refused_by_name(drawn: Path, tmp_path: Path, mode: int) -> None:
    put(drawn, tmp_path / "good.svs", tmp_path / "class_3+" / "shut.svs", tmp_path / ".hidden" / "no.svs")
    for name in ("class_3+", ".hidden"):
        (tmp_path / name).chmod(mode)
    listing = held_back(lambda: find_slides(tmp_path))
    (tmp_path / "class_3+").chmod(0o755)
    assert [slide.slide_id for slide in listing.slides] == ["good"]
    (said,) = map(str, listing.refused)
    expected = "expected a folder that can be looked into, found Permission denied."
    assert said.startswith(f"{tmp_path}/class_3+/: {expected}")
    assert is_file_name("class_3+/")  # so pseudonyms do not take it for a slide


@needs_permissions
def test_a_folder_of_slides_that_cannot_be_looked_into(tmp_path: Path) -> None:
    (tmp_path / "WSI").mkdir(mode=0)
    with pytest.raises(SlideError) as caught:
        held_back(lambda: find_slides(tmp_path / "WSI"))
    assert str(caught.value).startswith(f"{tmp_path}/WSI/: expected a folder that can be looked into")


def test_what_is_no_slide_is_refused_by_name(drawn: Path, tmp_path: Path) -> None:
    put(drawn, tmp_path / "good.svs")
    (tmp_path / "cut.svs").write_bytes(drawn.read_bytes()[:500])
    listing = find_slides(tmp_path)
    assert [slide.slide_id for slide in listing.slides] == ["good"]
    assert [Path(error.subject).name for error in listing.refused] == ["cut.svs"]


def test_of_two_slides_of_one_id_none_is_taken_and_both_are_named(drawn: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "0" / "a.svs", tmp_path / "3+" / "a.tif"
    put(drawn, first, second, tmp_path / "b.svs")
    listing = find_slides(tmp_path)
    assert [slide.slide_id for slide in listing.slides] == ["b"]
    by_subject = {error.subject: str(error) for error in listing.refused}
    assert by_subject.keys() == {str(first), str(second)}
    assert str(second) in by_subject[str(first)]
    assert str(first) in by_subject[str(second)]


def test_links_that_leave_the_folder_are_refused(drawn: Path, tmp_path: Path) -> None:
    root = tmp_path / "slides"
    put(drawn, root / "a.svs", tmp_path / "outside" / "b.svs")
    (root / "link.svs").symlink_to(tmp_path / "outside" / "b.svs")
    (root / "folder").symlink_to(tmp_path / "outside", target_is_directory=True)
    (root / "same.svs").symlink_to(root / "a.svs")
    listing = find_slides(root)
    assert [slide.slide_id for slide in listing.slides] == ["a", "same"]
    assert [Path(error.subject).name for error in listing.refused] == ["folder", "link.svs"]


def test_a_link_to_its_own_parent_does_not_loop(drawn: Path, tmp_path: Path) -> None:
    put(drawn, tmp_path / "a.svs")
    (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
    assert [slide.slide_id for slide in find_slides(tmp_path).slides] == ["a"]


def test_a_name_that_is_not_utf8_is_refused(drawn: Path, tmp_path: Path) -> None:
    put(drawn, tmp_path / os.fsdecode(b"a\xff.svs"))
    listing = find_slides(tmp_path)
    assert listing.slides == ()
    assert "a\\xff.svs" in str(listing.refused[0])
    str(listing.refused[0]).encode()


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SlideError, match="no folder"):
        find_slides(tmp_path / "missing")


@pytest.mark.shared
@pytest.mark.skipif(not HOSTILE.is_dir(), reason="../shared is not here")
def test_hostile_files_are_listed_or_refused() -> None:
    listing = find_slides(HOSTILE)
    assert len(listing.refused) >= 5
    assert "pillow_tiff_16bit_RGB" in {slide.slide_id for slide in listing.slides}
