"""Pseudonyms hang on the key and the name alone, and look like nothing."""

from __future__ import annotations

import hashlib
import hmac

from hypothesis import given
from hypothesis import strategies as st

from her2_ihc_40x_builder.privacy.identifying import why_identifying, why_identifying_patch, why_identifying_region
from her2_ihc_40x_builder.privacy.pseudonyms import Key, sealed
from her2_ihc_40x_builder.shards.files import file_stem

KEY, OTHER = Key(b"k" * 31 + b"1"), Key(b"k" * 31 + b"2")


def test_a_seal_is_hmac_sha_256_of_kind_and_value_with_their_lengths() -> None:
    expected = hmac.new(KEY.secret, b"11:fingerprint4:abcd", hashlib.sha256).hexdigest()
    assert KEY.seal("abcd") == sealed("abcd", KEY) == expected
    assert sealed("abcd", None) == "abcd"


@given(st.text(), st.text())
def test_names_of_one_key_are_stable_and_apart_by_kind_name_and_key(one: str, two: str) -> None:
    made = [KEY.slide(one), KEY.case(one), KEY.file(one), KEY.region(one, two), OTHER.slide(one)]
    assert made == [KEY.slide(one), KEY.case(one), KEY.file(one), KEY.region(one, two), OTHER.slide(one)]
    assert len({name.split("-")[1] for name in made}) == len(made)
    assert (KEY.slide(one) == KEY.slide(two)) == (one == two)
    assert (KEY.region(one, two) == KEY.region(two, one)) == (one == two)


def test_the_parts_of_a_name_do_not_run_together() -> None:
    assert KEY.region("S1", "23") != KEY.region("S12", "3")


@given(st.text())
def test_a_pseudonym_is_a_file_name_and_looks_identifying_nowhere(name: str) -> None:
    slide = KEY.slide(name)
    assert file_stem(slide).endswith(slide)
    assert why_identifying(slide) is why_identifying(KEY.case(name)) is why_identifying(KEY.file(name)) is None
    assert why_identifying_region(KEY.region(name, name)) is why_identifying_patch(f"{slide}-x123456-y99.png") is None


def test_nothing_shows_the_secret() -> None:
    assert "k" * 8 not in repr(KEY)
    assert KEY.id != OTHER.id
    assert len(KEY.id) == 16
