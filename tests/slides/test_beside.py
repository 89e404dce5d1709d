from __future__ import annotations

import os
from pathlib import Path

import pytest

from her2_ihc_40x_builder.errors import SlideError
from her2_ihc_40x_builder.slides.beside import files_beside
from her2_ihc_40x_builder.slides.files import find_slides

INDEX = """[Virtual Microscope Specimen]
NoLayers=1
ImageFile=x.jpg
ImageFile(1,0)=x(1,0).jpg
MapFile=x_map2.jpg
OptimisationFile=x.opt
SourceLens=40
"""
SLIDAT = """[DATAFILE]
FILE_COUNT = 1
FILE_0 = Data0000.dat
"""


def mrxs(root: Path) -> Path:
    slide, folder = root / "x.mrxs", root / "x"
    (folder / "more").mkdir(parents=True)
    slide.write_bytes(b"\xff\xd8")
    for name in ("Slidat.ini", "Index.dat", "Data0000.dat"):
        (folder / name).write_text(SLIDAT)
    return slide


def test_of_mrxs_all_files_of_its_folder(tmp_path: Path) -> None:
    slide = mrxs(tmp_path)
    assert [path.name for path in files_beside(slide, tmp_path)] == ["Data0000.dat", "Index.dat", "Slidat.ini"]


def test_of_an_index_what_it_names_in_its_folder(tmp_path: Path) -> None:
    slide = tmp_path / "in" / "x.vms"
    slide.parent.mkdir()
    slide.write_text(INDEX)
    for name in ("x.jpg", "x(1,0).jpg", "x.opt", "stranger.jpg"):
        (slide.parent / name).write_bytes(b"")
    assert [path.name for path in files_beside(slide, tmp_path)] == ["x(1,0).jpg", "x.jpg", "x.opt"]


def test_of_other_slides_none(tmp_path: Path) -> None:
    (tmp_path / "x.svs").write_bytes(b"")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "Data0000.dat").write_bytes(b"")
    assert files_beside(tmp_path / "x.svs", tmp_path) == ()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
def test_a_slide_with_a_pipe_beside_it_is_refused_and_not_opened(tmp_path: Path) -> None:
    slide = mrxs(tmp_path)
    (tmp_path / "x" / "Slidat.ini").unlink()
    os.mkfifo(tmp_path / "x" / "Slidat.ini")
    with pytest.raises(SlideError, match=r"'Slidat\.ini', a pipe"):
        files_beside(slide, tmp_path)
    assert [error.subject for error in find_slides(tmp_path).refused] == [str(slide)]


def test_a_slide_whose_files_are_elsewhere_is_refused(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "in", tmp_path / "elsewhere"
    root.mkdir()
    slide = mrxs(elsewhere).rename(root / "x.mrxs")
    (root / "x").symlink_to(elsewhere / "x", target_is_directory=True)
    with pytest.raises(SlideError, match="'x', a link to outside of the folder"):
        files_beside(slide, root)


def test_an_index_that_names_a_file_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "y.vmu").write_text(INDEX.replace("x.opt", "../../x.opt"))
    with pytest.raises(SlideError, match=r"'\.\./\.\./x\.opt', a file elsewhere"):
        files_beside(tmp_path / "y.vmu", tmp_path)
    slide = mrxs(tmp_path)
    (tmp_path / "x" / "Slidat.ini").write_text(SLIDAT.replace("Data0000.dat", "/etc/passwd"))
    with pytest.raises(SlideError, match="'/etc/passwd', a file elsewhere"):
        files_beside(slide, tmp_path)


def test_an_index_that_cannot_be_read_is_a_named_error(tmp_path: Path) -> None:
    with pytest.raises(SlideError, match="No such file"):
        files_beside(tmp_path / "gone.vms", tmp_path)
