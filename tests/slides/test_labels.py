from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from her2_ihc_40x import CLASSES
from her2_ihc_40x_builder.errors import LabelError, OptionError
from her2_ihc_40x_builder.slides.labels import Claim, agree, folder_label, parse_label, parse_label_map, read_labels

SHARED = Path(__file__).resolve().parents[3] / "shared"


@pytest.mark.parametrize(
    "prefix", ["", "class_", "class ", "Class-", "HER2 ", "her2", "HER2-score_", "Score ", "score"]
)
@pytest.mark.parametrize(("text", "label"), [("0", "0"), ("1", "1+"), ("1+", "1+"), ("2+", "2+"), ("3", "3+")])
def test_accepted_spellings(prefix: str, text: str, label: str) -> None:
    assert parse_label(f" {prefix}{text}\t", "x") == label


@pytest.mark.parametrize(
    "text",
    ["", "her2", "0+", "+1", "3 +", "1.0", "4+", "10", "01", "1++", "ultralow", "2+/ISH-", "negative",
     "\uff13+", "\u00b2", "class__1", "1+ 2+", "HER2 class score 1"],
)  # fmt: skip
def test_anything_else_is_refused_and_names_the_way_out(text: str) -> None:
    with pytest.raises(LabelError, match=r"labels.csv, line 4: .*--label-map"):
        parse_label(text, "labels.csv, line 4")


@given(st.text(max_size=12))
def test_no_text_gives_anything_but_a_class(text: str) -> None:
    try:
        label = parse_label(text, "x")
    except LabelError:
        return
    assert label in CLASSES
    assert label[0] in text


def test_a_map_comes_first_and_ignores_case() -> None:
    label_map = parse_label_map(["Ultralow=0", "2+/ISH-=1+", "3=2+", "a=b=3+", "ultralow = 0"])
    assert parse_label(" ULTRALOW", "x", label_map) == "0"
    assert parse_label("2+/ish-", "x", label_map) == "1+"
    assert parse_label("3", "x", label_map) == "2+"
    assert parse_label("3+", "x", label_map) == "3+"
    assert parse_label("a=b", "x", label_map) == "3+"


@pytest.mark.parametrize(
    "items",
    [
        ["ultralow"],
        ["=0"],
        ["ultralow=5"],
        ["ultralow=1"],
        ["a=0", "A=1+"],
        ["3+=0"],
        ["0=1+"],
        ["her2 2=3+"],
        [" Class_2+ =3+"],
    ],
)
def test_broken_maps_are_refused(items: list[str]) -> None:
    with pytest.raises(OptionError, match="--label-map"):
        parse_label_map(items)


def test_the_folder_says_the_class() -> None:
    root = Path("/data/2")
    assert folder_label(root / "WSI/3+/x.svs", root) == Claim("3+", "folder 3+")
    assert folder_label(root / "class_1+/site A/x.svs", root) == Claim("1+", "folder class_1+")
    assert folder_label(root / "WSI/batch 7/x.svs", root) is None
    assert folder_label(root / "x.svs", root) is None  # the root is no label, nor is the file's name
    assert folder_label(root / "low/x.svs", root, {"low": "1+"}) == Claim("1+", "folder low")
    assert folder_label(root / "3+/HER2 3+/x.svs", root) == Claim("3+", "folder 3+")
    with pytest.raises(LabelError, match=r"x\.svs: expected one label, found 3\+ \(folder 3\+\) and 1\+ \(folder 1\)"):
        folder_label(root / "3+/1/x.svs", root)
    with pytest.raises(ValueError, match="subpath"):
        folder_label(Path("/elsewhere/x.svs"), root)


@pytest.mark.parametrize(("name", "label"), [("3+", "3+"), ("class_1+", "1+"), ("2", None), ("0", None), ("WSI", None)])
def test_the_root_names_a_class_unless_it_is_a_bare_number(tmp_path: Path, name: str, label: str | None) -> None:
    root = tmp_path / "2+" / name
    found = folder_label(root / "batch" / "x.svs", root)
    assert (found and found.value) == label


def test_sources_must_agree() -> None:
    folder, table = Claim("3+", "folder 3+"), Claim("2+", "labels.csv, line 9")
    assert agree("slide S1", "label", [None, folder, None, folder]) == "3+"
    assert agree("slide S1", "label", [None]) is None
    with pytest.raises(LabelError, match=r"slide S1: .*3\+ \(folder 3\+\) and 2\+ \(labels.csv, line 9\)"):
        agree("slide S1", "label", [folder, table])


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_with_everything(tmp_path: Path) -> None:
    path = write(tmp_path, "slide_id;label;case_id;mpp;site\nS1;3+;P1;0,25;x\nS2;HER2 1;;;y\nS3;;P2;0.5;\n\nS1;3;;;\n")
    table = read_labels(path)
    first = table.slides["S1"]
    assert first.label == Claim("3+", f"{path}, line 2")
    assert first.case_id == Claim("P1", f"{path}, line 2")
    assert first.microns == 0.25
    second = table.slides["S2"]
    assert second.label is not None
    assert second.label.value == "1+"
    assert second.case_id is None
    assert second.microns is None
    assert table.slides["S3"].label is None
    assert table.slides["S3"].microns == 0.5
    assert list(table.slides) == ["S1", "S2", "S3"]
    assert table.ignored == ("site",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slide_id,label\nS1,0\nS1,1+\n", r"slide S1: .*0 \(.*line 2\) and 1\+ \(.*line 3\)"),
        ("slide_id,label,case_id\nS1,0,A\nS1,0,B\n", "one case_id"),
        ("slide_id,mpp\nS1,0.25\nS1,0.5\n", "one mpp"),
        ("slide_id,label\nS1,0+\n", "line 2.*--label-map"),
        ("slide_id,label\n,0\n", "line 2: expected a slide_id"),
        ("slide_id,lable\nS1,0\n", "lable columns"),
        ("slide_id\nS1\n", "a column label or case_id or mpp, found no other columns"),
        ("slide_id,note,case_id,mpp\nS1,x,,\nS2,, ,\n", "a value of case_id or mpp, found only empty cells"),
        ("label\n0\n", "slide_id"),
    ],
)  # fmt: skip
def test_broken_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        read_labels(write(tmp_path, text))


@pytest.mark.parametrize("mpp", ["x", "0", "-1", "nan", "inf", "1e9", "0,2,5", "1.0,2", "2_5", "\u0663"])
def test_an_mpp_that_is_no_number_or_no_scanners_is_refused(tmp_path: Path, mpp: str) -> None:
    with pytest.raises(LabelError, match=r"line 2: expected mpp"):
        read_labels(write(tmp_path, f"slide_id;mpp\nS1;{mpp}\n"))


def test_a_map_applies_to_the_table_and_an_empty_table_is_empty(tmp_path: Path) -> None:
    table = read_labels(write(tmp_path, "slide_id,label\nS1,ultralow\n"), {"ultralow": "0"})
    assert table.slides["S1"].label is not None
    assert table.slides["S1"].label.value == "0"
    assert read_labels(write(tmp_path, "slide_id,label\n")).slides == {}


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not there")
def test_the_real_table_agrees_with_the_real_folders() -> None:
    real = SHARED / "real"
    table = read_labels(real / "labels.csv")
    slides = sorted((real / "WSI").glob("*/*.svs"))
    assert len(slides) == len(table.slides) == 8
    for slide in slides:
        label = agree(slide.stem, "label", [folder_label(slide, real), table.slides[slide.stem].label])
        assert label == slide.parent.name
