"""What a build says of the data set that it replaces, whatever wrote that one's manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from her2_ihc_40x import ReleaseError
from her2_ihc_40x_builder.earlier import (
    changed_slides,
    earlier_build,
    gone_slides,
    made_build,
    moved_slides,
    previous_sides,
)
from her2_ihc_40x_builder.errors import OutputError
from her2_ihc_40x_builder.shards.manifest import Manifest, read_manifest


def manifest(**units: dict[str, Any]) -> Manifest:
    return Manifest([], {}, {}, {"kind": "slides"}, units)


def unit(key: str, side: str = "train") -> dict[str, str]:
    return {"content_key": key, "wsi_side": side}


def test_slides_are_known_by_their_content_under_any_name() -> None:
    before = manifest(A=unit("a"), B=unit("b"), C=unit("c"))
    now = manifest(renamed=unit("a"), B=unit("changed"), C=unit("c", "test"))
    assert gone_slides(before, now) == ()
    assert moved_slides(before, now) == ("C",)
    assert gone_slides(before, manifest(B=unit("b"))) == ("A", "C")
    assert gone_slides(None, now) == moved_slides(None, now) == ()


def test_of_a_slide_without_a_content_key_its_name_counts() -> None:
    before = manifest(A={}, B={"wsi_side": "train"})
    assert gone_slides(before, manifest(B=unit("b"))) == ("A",)
    assert moved_slides(before, manifest(B=unit("b"))) == ()


def test_from_an_edited_manifest_nothing_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(manifest(A=unit("a")).to_json())
    assert earlier_build(tmp_path) == read_manifest(tmp_path)
    assert previous_sides(tmp_path) == {"a": "train"}
    path.write_text(path.read_text().replace('"train"', '"test"'))
    with pytest.raises(ReleaseError, match="edited"):
        previous_sides(tmp_path)
    with pytest.raises(OutputError, match=r"edited or damaged.*--overwrite"):
        earlier_build(tmp_path)
    said: list[str] = []
    assert earlier_build(tmp_path, overwrite=True, say=said.append) is None
    assert "made anew" in said[0]
    made = made_build(tmp_path)
    assert made  # so that --overwrite may replace it
    assert made("manifest.json")


def test_what_is_no_build_is_none(tmp_path: Path) -> None:
    assert earlier_build(tmp_path) is None
    content = json.loads(manifest().to_json())
    (tmp_path / "manifest.json").write_text(json.dumps({**content, "source": {"kind": "release"}}))
    assert earlier_build(tmp_path) is None
    assert made_build(tmp_path) is None


def test_a_slide_of_the_same_name_and_other_content_is_seen_to_change_and_to_move() -> None:
    before = manifest(A=unit("a"), B=unit("b"), C=unit("c"))
    now = manifest(A=unit("cleaned", "test"), B=unit("b"), C=unit("also cleaned"), D=unit("d", "test"))
    assert moved_slides(before, now) == ("A",)
    assert changed_slides(before, {"A": "cleaned", "B": "b", "C": "also cleaned", "D": "d"}) == ("A", "C")


def test_slides_that_have_changed_names_are_those_of_before() -> None:
    before = manifest(A=unit("a"), B=unit("b", "test"))
    assert changed_slides(before, {"A": "b", "B": "a"}) == ()
    assert moved_slides(before, manifest(A=unit("b", "test"), B=unit("a"))) == ()


@pytest.mark.parametrize("odd", [[], {}, None, 1, True, ["a"]])
def test_what_is_no_text_is_unknown(odd: object) -> None:
    now = manifest(A=unit("a"), B=unit("b"))
    for name in ("content_key", "wsi_side"):
        before = manifest(A={**unit("a"), name: odd}, B=unit("b", "test"), C={**unit("c"), name: odd})
        assert moved_slides(before, now) == ("B",)
        assert gone_slides(before, now) == ("C",)
        assert changed_slides(before, {"A": "a", "B": "b"}) == ()
