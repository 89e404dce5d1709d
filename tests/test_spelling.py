"""Names that may be one name."""

from __future__ import annotations

import unicodedata

import pytest

from her2_ihc_40x_builder.spelling import plain_name, spellings


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("P1", "p1"),
        ("P 1", " P1\t"),
        ("P\u00a01", "P1"),  # a blank that breaks no line
        (unicodedata.normalize("NFC", "Müller"), unicodedata.normalize("NFD", "MÜLLER")),
        ("Ｐ１", "P1"),  # noqa: RUF001 (of full width)
        ("Straße", "STRASSE"),
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
