"""Names that may be one name."""

from __future__ import annotations

import unicodedata

import pytest

from her2_ihc_40x_builder.spelling import plain_name, spellings, told_apart


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("P1", "p1"),
        ("P 1", " P1\t"),
        ("P\u00a01", "P1"),  # a blank that breaks no line
        (unicodedata.normalize("NFC", "Müller"), unicodedata.normalize("NFD", "MÜLLER")),
        ("Ｐ１", "P1"),  # noqa: RUF001 (of full width)
        ("Straße", "STRASSE"),
        ("S1", "S1\u200b"),  # a blank without width
        ("\ufeffS1", "S\u00ad1\ufe0f"),
        ("S-1", "S\u20131"),  # the dash of a word processor
        *(("S-1", f"S{dash}1") for dash in "\u2010\u2011\u2012\u2014\u2015\u2212\uff0d"),
        ("M\u00fcller", "Mu\u200b\u0308ller"),
        ("\u0390", "\u1fd3"),  # one letter with its accents, which folding takes apart
    ],
)
def test_names_that_may_be_one(one: str, other: str) -> None:
    assert one != other
    assert plain_name(one) == plain_name(other)


def test_names_that_are_two() -> None:
    assert len({plain_name(name) for name in ("P1", "P01", "P-1", "P_1", "Muller", "Müller")}) == 6


def test_spellings_of_each_name() -> None:
    assert spellings(["p1", "P2", "P 1", "p1"]) == {"p1": ("P 1", "p1"), "p2": ("P2",)}


def test_what_is_told_of_names_shows_where_they_differ() -> None:
    there = spellings(["M\u00fcller", "S1", "s 1"])
    assert told_apart(["S2"], there) == ""
    assert told_apart(["S2", "Mu\u0308ller"], there) == (
        r"'Mu\u0308ller' differs from the slide 'M\xfcller' only in case, blanks or Unicode form"
    )
    assert told_apart(["Mu\u0308ller", "S1\u200b"], there, "patch") == (
        r"'Mu\u0308ller' differs from the patch 'M\xfcller' only in case, blanks or Unicode form "
        r"(so do 'S1\u200b' from 'S1' and 's 1')"
    )
    assert told_apart(["s1" + " " * more for more in range(12)], there).endswith(" from 'S1' and 's 1', 2 more)")
