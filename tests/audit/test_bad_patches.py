"""An audit finds what is wrong with single patches."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("cv2", reason="needs the extra [build]")

from audit_lab import audit, broken, clean, noise, of
from her2_ihc_40x_builder.demo.drawing import draw_patch
from her2_ihc_40x_builder.shards.files import Sides
from planted import TEST, TRAIN, png, row, write_rows


def jpeg_with_exif() -> bytes:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x010F] = "a scanner"
    Image.fromarray(noise(1)).save(file, "JPEG", exif=exif)
    return file.getvalue()


def grey() -> bytes:
    file = io.BytesIO()
    Image.fromarray(noise(1)[:, :, 0]).save(file, "PNG")
    return file.getvalue()


def deep() -> bytes:
    """An RGB PNG of 16 bits, of which a reader of 8 drops half."""
    return bytes(imagecodecs.png_encode(noise(1).astype(np.uint16) * 257))


GLASS = np.full((24, 24, 3), 240, np.uint8)
BAD: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "of one colour": ({"data": png(GLASS)}, {"constant": 1}),
    "glass": ({"data": png(GLASS - noise(1) // 128)}, {"blank": 1}),
    "little tissue": ({"tissue_fraction": 0.05}, {"tissue": 1}),
    "no image": ({"data": b""}, {"readable": 1}),
    "cut short": ({"data": png(noise(1))[:-200]}, {"readable": 1}),
    "small": ({"data": png(noise(1, 16))}, {"size": 1}),
    "grey": ({"data": grey()}, {"format": 1}),
    "16 bits": ({"data": deep()}, {"format": 1}),
    "EXIF": ({"data": jpeg_with_exif()}, {"format": 1, "metadata": 1}),
    "another label": ({"label": 2}, {"scores": 1}),
    "another hash": ({"sha256": "0" * 64}, {"sha256": 1}),
    "a path": ({"image.path": "/home/doe/bad.png"}, {"image_path": 1}),
    "another name": ({"image.path": "Doe_John.png"}, {"image_path": 1}),
    "a name behind its own": ({"image.path": "bad.Doe_John"}, {"image_path": 1}),
    "an empty path": ({"image.path": ""}, {"image_path": 1}),
    "no path": ({"image.path": None}, {}),
    "its own name": ({"image.path": "bad.JPG"}, {}),
    "tissue beyond 1": ({"tissue_fraction": 1.5}, {"values": 1}),
    "tissue of no number": ({"tissue_fraction": math.nan}, {"tissue": 1, "values": 1}),
    "no scale": ({"mpp": 0.0}, {"values": 1}),
    "endless scale": ({"mpp": math.inf}, {"values": 1}),
    "scale of no number": ({"mpp": math.nan}, {"values": 1}),
    "scale of 10x": ({"mpp": 1.0}, {"values": 1}),
    "likeness beyond 1": ({"hue_similarity": 1.01}, {"values": 1}),
    "likeness below -1": ({"hue_similarity": -1.01}, {"values": 1}),
    "likeness of no number": ({"hue_similarity": math.nan}, {"values": 1}),
    "outside the slide": ({"x": -1, "y": 0}, {"values": 1}),
    "half a place": ({"x": 1}, {"values": 1}),
    "numbers that can be": ({"x": 0, "y": 0, "mpp": 0.25, "tissue_fraction": 1.0, "hue_similarity": 1.0}, {}),
    "a hue that is the opposite": ({"hue_similarity": -1.0}, {}),
    "no label": ({"label": None, "label_source": None}, {"values": 1}),
    "a label of no class": ({"label": 4, "label_source": "region"}, {"values": 1}),
    "a label below all": ({"label": -1, "label_source": "region"}, {"values": 1}),
    "a score of no class": ({"slide_score": 9, "label_source": "region"}, {"values": 1}),
    "a label from nowhere": ({"label_source": "somebody"}, {"values": 1}),
    "a region's label": ({"label": 2, "label_source": "region"}, {}),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_patch_is_found_in_both_configs(tmp_path: Path, name: str) -> None:
    columns, expected = dict(BAD[name][0]), BAD[name][1]
    data = columns.pop("data", png(noise(1)))
    parameters = {"patch_size": 24, "image_format": "png", "min_tissue": 0.1}
    image = {"bytes": data, "path": columns.pop("image.path", "bad.png")}
    rows = [*clean(), (TEST, row("bad", "bad", data, image=image, **columns))]
    found = audit(write_rows(tmp_path / "bad", rows, parameters=parameters))
    for config in ("wsi_split", "patch_split"):
        assert broken(found, config) == expected
        assert all(of(found, check, config).examples == (("bad",),) for check in expected)


def test_a_least_tissue_that_no_patch_can_have_is_none(tmp_path: Path) -> None:
    found = audit(write_rows(tmp_path / "huge", clean(), parameters={"patch_size": 24, "min_tissue": 10**400}))
    assert broken(found) == {}
    assert of(found, "glass").note.startswith("by each patch's own brightest colour")


def test_glass_is_looked_for_where_the_row_says_nothing_of_tissue(tmp_path: Path) -> None:
    pixels = np.full((256, 256, 3), 235, np.uint8)
    pixels[:, :8] = draw_patch("3+", 0, 256)[:, :8]
    rows = [(TRAIN, row("told", "a", png(draw_patch("3+", 1, 256)), tissue_fraction=0.5))]
    rows += [(TRAIN, row("glass", "b", png(pixels)))]
    found = audit(write_rows(tmp_path / "half", rows, parameters={"min_tissue": 0.1}))
    assert of(found, "tissue").note == "tissue_fraction is known of 1 of 2 patches"
    assert (of(found, "glass").status, of(found, "glass").examples) == ("told", (("glass",),))


def test_one_id_for_two_patches(tmp_path: Path) -> None:
    rows = [*clean(), (TEST, row("clean-1", "other", png(noise(1))))]
    found = audit(write_rows(tmp_path / "ids", rows))
    assert broken(found) == broken(found, "patch_split") == {"patch_ids": 2}
    assert of(found, "patch_ids").examples == (("clean-1",), ("clean-1",))


def test_one_image_under_two_labels(tmp_path: Path) -> None:
    rows = [
        *clean(),
        (TRAIN, row("a", "a", png(noise(1)))),
        (TRAIN, row("b", "a", png(noise(1), 9), label=3, slide_score=3)),
    ]
    found = audit(write_rows(tmp_path / "labels", rows))
    assert broken(found) == {"same_pixels_within": 1, "labels": 1}
    assert of(found, "labels").pairs[0].caption == "0 and 3+"


def test_one_image_under_two_labels_in_the_two_configs(tmp_path: Path) -> None:
    rows = [
        *clean(),
        (Sides("train", "none"), row("a", "a", png(noise(1)))),
        (Sides("none", "train"), row("b", "a", png(noise(1)), label=3, slide_score=3)),
    ]
    found = audit(write_rows(tmp_path / "labels", rows))
    assert broken(found) == broken(found, "patch_split") == {"labels": 1}
    assert of(found, "labels").examples == (("a", "b"),)
    assert of(found, "labels", "patch_split").examples == (("b", "a"),)


def test_a_release_whose_name_tells_another_side_than_its_column(tmp_path: Path) -> None:
    name = "her2-0-score_train_{}"
    told = {"label_source": "release", "slide_side": "train"}
    rows = [(TRAIN, row(name.format("01"), None, png(noise(1)), **told))]
    rows += [(TEST, row(name.format("02"), None, png(noise(2)), **{**told, "slide_side": "test"}))]
    rows += [(TEST, row(name.format("03") + ".wsi", None, png(noise(3)), **{**told, "slide_side": None}))]
    rows += [(TRAIN, row("unnamed", None, png(noise(4)), **{**told, "slide_side": None}))]
    finding = of(audit(write_rows(tmp_path / "release", rows, kind="release")), "names")
    assert (finding.status, finding.count) == ("broken", 2)
    assert finding.note.endswith("a side, by slide_side or name, is known of 3 of 4 patches")


def test_a_patch_of_the_slide_variant_whose_name_was_taken_keeps_its_file_name(tmp_path: Path) -> None:
    data = png(noise(1))
    image = {"bytes": data, "path": "her2-0-score_train_01.png"}
    of_wsi = row("her2-0-score_train_01.wsi", None, data, image=image, label_source="release")
    found = audit(write_rows(tmp_path / "release", [(TRAIN, of_wsi)], kind="release"))
    assert of(found, "image_path").status == "ok"


def test_a_release_with_a_label_below_its_slide_or_on_the_wrong_side(tmp_path: Path) -> None:
    named = {"label_source": "release", "slide_side": "train"}
    rows = [(TRAIN, row(f"{at}", None, png(noise(at)), label=1, **named)) for at in range(4)]
    rows += [(TRAIN, row("below", None, png(noise(8)), slide_score=1, **named))]
    rows += [(TEST, row("moved", None, png(noise(9)), **named))]
    found = audit(write_rows(tmp_path / "release", rows, kind="release"))
    assert broken(found).keys() == {"counts", "names", "scores"}
    assert of(found, "scores").examples == (("below",),)
    assert of(found, "names").examples == (("moved",),)
    assert of(found, "counts").count == 8
    assert of(found, "names", "patch_split").status == "told"


def test_glass_of_a_release_is_told(tmp_path: Path) -> None:
    rows = []
    for name, tissue in (("glass", 8), ("tissue", 160)):
        pixels = np.full((256, 256, 3), 235, np.uint8)
        pixels[:, :tissue] = draw_patch("3+", 0, 256)[:, :tissue]
        rows.append((TRAIN, row(name, None, png(pixels), label_source="release", slide_side="train")))
    finding = of(audit(write_rows(tmp_path / "release", rows, kind="release")), "glass")
    assert (finding.status, finding.examples) == ("told", (("glass",),))
