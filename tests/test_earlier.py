"""What a build says of the data set that it replaces, whatever wrote that one's manifest."""

from __future__ import annotations

from her2_ihc_40x_builder.earlier import gone_slides, moved_slides
from her2_ihc_40x_builder.shards.manifest import Manifest


def manifest(**units: dict[str, str]) -> Manifest:
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
