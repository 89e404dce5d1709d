"""The first place that differs, whatever stands on the other side."""

from __future__ import annotations

from typing import Any

import pytest

from her2_ihc_40x_builder.hub.difference import Difference, differences

CONFIGS = [{"name": "a", "files": [{"split": "train", "path": "data/a.parquet"}, {"split": "test", "path": "b"}]}]


@pytest.mark.parametrize(
    ("found", "place", "expected", "there"),
    [
        ([{**CONFIGS[0], "files": [CONFIGS[0]["files"][0]]}], "['files'][1]", "{'path': 'b', 's", "nothing there"),
        ([{**CONFIGS[0], "files": {}}], "['files']", "[{", "{}"),
        ([{**CONFIGS[0], "name": True}], "['name']", "'a'", "True"),
        ([{**CONFIGS[0], "more": None}], "['more']", "nothing there", "None"),
    ],
)
def test_the_place_is_named_however_deep(found: Any, place: str, expected: str, there: str) -> None:
    (one,) = differences({"configs": CONFIGS, "x": 1}, {"configs": found, "x": 1})
    assert one.place == f"'configs'[0]{place}"
    assert one.expected.startswith(expected)
    assert one.found == there


def test_every_key_that_differs_is_told_once() -> None:
    found = list(differences({"a": 1, "b": 2, "c": 3}, {"b": 3, "d": None, "c": 3}))
    assert found == [
        Difference("'a'", "1", "nothing there"),
        Difference("'b'", "2", "3"),
        Difference("'d'", "nothing there", "None"),
    ]


def test_long_texts_are_shown_from_where_they_part() -> None:
    (one,) = differences({"a": "x" * 500 + "y" + "z" * 500}, {"a": "x" * 500 + "w" + "z" * 500})
    assert one == Difference("'a'[480:540]", repr("x" * 20 + "y" + "z" * 39), repr("x" * 20 + "w" + "z" * 39))


def test_what_holds_itself_or_is_huge_is_a_short_line() -> None:
    itself: list[Any] = []
    itself.append(itself)
    wide: Any = "x"
    for _ in range(60):
        wide = [wide] * 9
    for found in (itself, wide, 16**5000, {16**5000: wide}, {"y" * 10**6: 1}):
        for one in differences({"a": [[["x"]]], "b": {}}, {"a": found, "b": found}):
            assert len(one.place + one.expected + one.found) < 1000
