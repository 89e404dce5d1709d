"""Which ids look as if they could identify a patient, and which must not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from her2_ihc_40x_builder.privacy.identifying import (
    why_identifying,
    why_identifying_patch,
    why_identifying_region,
    without_place,
)


@pytest.mark.parametrize(
    ("reason", "texts"),
    [
        (
            "accession",
            "1234/24 E12345/24 S-1234/2024 7712-2024 "
            "S21-12345 s21-12345 21-S-004567 H2021/1234 SP-20-1234 B-2021-1234 2021S1234 2021-12345 x_T20-01234 "
            "S21\u201012345 S21\u201112345 S21\u201212345 S21\u201312345 S21\u201412345 S21\u201512345 S21\u221212345 "
            "S21\uff0d12345 S21\ufe6312345 \uff33\uff12\uff11\u201312345 S21-\u200b12345",
        ),
        (
            "date",
            "1957-03-04 19570304 04.03.1957 4-3-1957 03_04_57 scan_20210304 04031957 12Mar2021 2021-Mar-12 "
            "12.März_1957 3-Dezember-2020 1957Mai4 her2-0-score_train_19540302 "
            "March_21_1957 Mar-21-57 mar.21,1957 MAR211957 June-3rd-1957 P1_March_21_1957 Sept-1-02 21-Mar-57 "
            "04\u201303\u201357",
        ),
        ("national", "131052-308T 010101A123N 811218-9876 19811218-9876 078-05-1120 943-476-5919 RSSMRA85T10A562S"),
        (
            "patient number",
            "MRN12345 mrn_123456 hetu-1234 Acc.No.12345 PatientID_77 patient-no-3 Pat.Nr.12 patientid7 PID_12345",
        ),
        ("long number", "1234567 P0012345678 123456782 slide_654321 her2-0-score_test_123456.jpg"),
        (
            "name",
            "Doe_John doe_john Doe,John DOE^JOHN DOE_JOHN John-Doe Virtanen_Aino Patient_Doe_John Ng_Wei a.b@c.fi "
            "MeierAnna Meier.Gudrun Meier__Gudrun S1_MeierAnna2 anna.meier TCGA-AB-1234-MEIER-ANNA "
            "SMITHJohn JohnSMITH LEEAnna S1_SMITHJohn2 Smith+John Smith;John Smith(John) Smith_&_John Smith:John "
            "Doe\u2013John",
        ),
    ],
)
def test_what_looks_identifying_is_named_by_what_it_looks_like(reason: str, texts: str) -> None:
    for text in texts.split():
        assert reason in str(why_identifying(text)), text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("12 34 56 78", "long number"),
        ("1234 5678", "long number"),
        ("P 123\u00a0456", "long number"),
        ("Smith & John", "name"),
        ("Smith (John)", "name"),
        ("March 21, 1957", "date"),
        ("99 9 99", None),
        ("Tile 12 0 1024 2048", None),
        ("ROI 1024 2048 512 512", None),
        ("x 1024 2048 12", None),
        ("1024 2048 512 512", None),
        ("12 345", None),
        ("Left & Right", None),
        ("Breast (Left)", None),
    ],
)
def test_blanks_join_what_is_telling(text: str, reason: str | None) -> None:
    assert (reason is None and why_identifying(text) is None) or (reason and reason in str(why_identifying(text)))


@pytest.mark.parametrize(
    ("text", "reason"), [("19570304", "a date"), ("1234567", "long number"), ("MRN123", "patient")]
)
def test_digits_of_full_width_are_digits(text: str, reason: str) -> None:
    wide = "".join(chr(ord(char) + 0xFEE0) for char in text)
    assert reason in str(why_identifying(wide))
    assert why_identifying_region(wide) == why_identifying_region(text)


PLAIN = """
A B N S01 P01 P01-001 slide-0 slide-1_new S148DF4 S2572DE SCDFC9B patient_001 case-12 slide_000123
her2-2+-score_train_12 her2-0-score_test_12345.jpg block-3+-train-012 CMU-1-Small-Region
TCGA-A1-A0SB-01Z-00-DX1.B34C267B-CAE6-4FBC-AE5F-28C03A5A6C3C histolab_tcga-cr-7395-01a-01-ts1
3ddd9859-7875-e73f-9958-80fb5e209080 B12-003 Tumor_Left TMA_C04 HE_IHC row3_col12 2+_01 99-99-9999
TCGA-AB-1234 TCGA-AB-1234-01A-01-BS1 QuPath BreastCore McDonald aBcDeFghIjk Breast.JPEG Slide.Tumor 12_May
margin_12_34 marker_2_15 mark-1-22 decision-10-20 May_12 Mar-21-570 patient_77 patient-77 Pat_77 IHCStain HEROne
PanCKAE1 FISHAmplified ROCHEVentana VENTANAUltra LEICABond DAKOHercep BIOBANKHelsinki NORTHWing MAY-10-20um
TCGABreast BRCAPanel NDPImage ABCdef Tumor+Stroma Core(Left) ER+PR+ 1024_2048 S1\u2013001
"""


def test_plain_ids_public_barcodes_and_the_releases_own_pass() -> None:
    assert {text: why for text in ["", "Breast Core", *PLAIN.split()] if (why := why_identifying(text))} == {}


@pytest.mark.shared
def test_the_real_slides_pass_or_are_stopped_for_a_stated_reason(shared: Path) -> None:
    stopped = {path.stem: why_identifying(path.stem) for path in (shared / "real/WSI").rglob("*.svs")}
    assert len(stopped) == 8
    assert {slide: why for slide, why in stopped.items() if why} == {
        "S934529": "a long number, as hospital numbers are"
    }
    regions = [crop.stem.split("_")[1] for crop in (shared / "real/ROI").rglob("*.png")]
    assert [region for region in regions if why_identifying_region(region)] == []
    names = (shared / "release/patch_variant_paths.txt").read_text().split()
    assert not [name for name in names if why_identifying_patch(Path(name).name)]


def test_a_region_may_be_numbered_and_placed_but_not_named() -> None:
    for counted in ("0", "1", "101070", "95166527", "123456789", "1-12", "x120y45", "xm3y200000-2"):
        assert why_identifying_region(counted) is None
    for telling in ("1234567890", "0012345", "19570304", "04031957", "2021-12345", "Doe_John", "131052-308T"):
        assert why_identifying_region(telling)


def test_a_place_on_the_slide_is_no_number_of_a_patch() -> None:
    assert without_place("S1-x104512-y88231.png") == "S1"
    assert why_identifying_patch("S1-x104512-y88231.png") is None
    assert why_identifying_patch("S21-12345-x1-y2") == "an accession number"


@given(st.text(max_size=200))
def test_any_text_has_an_answer(text: str) -> None:
    assert why_identifying(text) is None or why_identifying(text)
    assert why_identifying_region(text) is None or why_identifying(text)
