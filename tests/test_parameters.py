"""Parameters are checked when they are given, and the manifest holds no path of them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from her2_ihc_40x_builder.errors import Her2Error, ImageError
from her2_ihc_40x_builder.parameters import BuildParameters, digest_of
from her2_ihc_40x_builder.patches.encode import Encoding


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"patch_size": 8}, "--patch-size"),
        ({"stride": 0}, "--stride"),
        ({"min_region_overlap": 0.0}, "--min-region-overlap"),
        ({"min_tissue": math.nan}, "--min-tissue"),
        ({"hue_threshold": 1.5}, "--hue-threshold"),
        ({"mpp": 0.0}, "--mpp"),
        ({"mpp": math.inf}, "--mpp"),
        ({"test_fraction": 1.0}, "--test-fraction"),
        ({"intensity": "reinhard", "stain_reference": Path("x.png")}, "--accept-stain-loss"),
        ({"intensity": "macenko", "accept_stain_loss": True}, "--stain-reference"),
        ({"stain_reference": Path("x.png")}, "Leave it out"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_was_expected(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(Her2Error, match=named):
        BuildParameters(**wrong)


def test_every_parameter_that_changes_bytes_is_in_the_manifest_and_no_path(tmp_path: Path) -> None:
    reference = tmp_path / "reference.png"
    reference.write_bytes(b"x")
    with_one = BuildParameters(intensity="reinhard", accept_stain_loss=True, stain_reference=reference).to_json()
    assert str(tmp_path) not in json.dumps(with_one)
    fields = set(BuildParameters.__dataclass_fields__) - {"accept_stain_loss", "encoding"}
    assert set(with_one) == fields | {"image_format", "quality", "codec"}
    reference.write_bytes(b"y")
    other = BuildParameters(intensity="reinhard", accept_stain_loss=True, stain_reference=reference).to_json()
    assert other["stain_reference"] != with_one["stain_reference"]


def test_a_pipe_is_no_stain_reference_and_is_not_waited_for(pipe: Path) -> None:
    parameters = BuildParameters(intensity="reinhard", accept_stain_loss=True, stain_reference=pipe)
    with pytest.raises(ImageError, match="found a pipe"):
        parameters.to_json()


def test_quality_counts_for_jpeg_alone() -> None:
    told = [BuildParameters(encoding=Encoding(kind, 90)).to_json()["quality"] for kind in ("png", "jpeg", "webp")]
    assert told == [None, 90, None]


def test_a_digest_is_of_the_content_whatever_the_order_of_its_keys() -> None:
    assert digest_of({"a": 1, "b": [2]}) == digest_of({"b": [2], "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 1.5})
    assert digest_of("\udce4") != digest_of("\udce5")
