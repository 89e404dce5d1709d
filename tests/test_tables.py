from __future__ import annotations

from pathlib import Path

import pytest

from her2_ihc_40x_builder import tables
from her2_ihc_40x_builder.errors import LabelError
from her2_ihc_40x_builder.tables import read_table


def read(path: Path, data: str | bytes) -> list[dict[str, str]]:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return [dict(row.cells) for row in read_table(path, required=("slide_id",), known=("label",)).rows]


EXPECTED = [{"slide_id": "S1", "label": "3+"}, {"slide_id": "S2"}]


@pytest.mark.parametrize(
    "data",
    [
        "slide_id,label\nS1,3+\nS2,\n",
        "slide_id;label\r\nS1;3+\r\nS2;\r\n",
        "slide_id\tlabel\nS1\t3+\nS2",
        "slide_id,label\rS1,3+\rS2,\r",
        b"\xef\xbb\xbfslide_id,label\nS1,3+\nS2,\n",
        "\n\n,\nslide_id,label\n\nS1,3+\n , \nS2,,,\n\n",
        '"Slide ID"," LABEL "\n"S1","3+"\n S2 , \n',
        "label,slide-id\n3+,S1\n,S2\n",
        "slide_id,label,\nS1,3+,\nS2,,\n",
    ],
)
def test_as_people_write_it(tmp_path: Path, data: str | bytes) -> None:
    assert read(tmp_path / "t.csv", data) == EXPECTED


def test_sources_name_the_line_and_unknown_columns_are_told(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("slide_id,lable\n\nS1,0\n")
    table = read_table(path, ("slide_id",), ("label",))
    assert table.rows[0].source == f"{path}, line 3"
    assert table.ignored == ("lable",)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "header with slide_id"),
        (b"id,label\nS1,0\n", "'id,label"),
        (b"slide_id,label,Label\nS1,0,1\n", "label twice"),
        (b"slide_id,label\nS1,0,25\n", "3 cells"),
        (b'slide_id,label\n"S1,0\n', "line 2.*CSV"),
        (b'slide_id,label\n"S1"x,0\n', "CSV"),
        ("slide_id,label\nS1,é\n".encode("latin-1"), "UTF-8"),
        ("slide_id,label\n".encode("utf-16"), "UTF-8"),
        ("slide_id,label\n".encode("utf-16-le"), "NUL"),
        (b"slide_id,label\nS1," + b"x" * 200_000, "field larger"),
        (b"slide_id" + b",c" * 1000, "at most 1000 columns"),
    ],
)
def test_what_could_be_misunderstood_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        read(tmp_path / "t.csv", data)


def test_size_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_ROWS", 3)
    assert len(read(tmp_path / "t.csv", "slide_id\n" + "S\n" * 3)) == 3
    with pytest.raises(LabelError, match="at most 3 rows"):
        read(tmp_path / "t.csv", "slide_id\n" + "S\n" * 4)
    huge = tmp_path / "huge.csv"
    with huge.open("wb") as file:
        file.truncate(tables.MAX_BYTES + 1)
    with pytest.raises(LabelError, match="at most 64 MiB"):
        read_table(huge, ("slide_id",), ())


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(LabelError, match="a CSV file"):
            read_table(path, ("slide_id",), ())


def test_a_pipe_and_a_device_are_refused_before_they_are_opened(pipe: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/dev/zero")
    for path in (pipe, Path("/dev/zero"), link):
        with pytest.raises(LabelError, match="expected a CSV file, found a pipe, a socket or a device"):
            read_table(path, ("slide_id",), ())


def test_a_link_to_a_table_is_a_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("slide_id,label\nS1,3+\nS2,\n")
    link = tmp_path / "link.csv"
    link.symlink_to("t.csv")
    assert [dict(row.cells) for row in read_table(link, ("slide_id",), ("label",)).rows] == EXPECTED
