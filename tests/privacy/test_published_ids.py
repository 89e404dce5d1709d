"""Ids that would be published are looked at wherever they stand, and a review holds for one list alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from drawn_slides import Cohort, build
from editions import plan_slides, write_edition
from her2_ihc_40x_builder.privacy.private_names import PrivateNames
from her2_ihc_40x_builder.privacy.pseudonyms import Key
from her2_ihc_40x_builder.privacy.published_ids import review_code, suspect_ids
from her2_ihc_40x_builder.shards.manifest import Manifest, read_manifest


def test_ids_of_a_release_of_drawn_slides_and_pseudonyms_pass(
    shards: Path, built: Path, cohort: Cohort, tmp_path: Path
) -> None:
    build(
        cohort, tmp_path / "out", intensity="none", names=PrivateNames(Key(bytes(range(32))), tmp_path / "names.json")
    )
    for folder in (shards, built, tmp_path / "out"):
        assert suspect_ids(folder, read_manifest(folder)) == ()


def test_one_slide_is_named_once_with_every_place_that_it_is_in(own_cohort: Cohort, tmp_path: Path) -> None:
    for folder in (own_cohort.slides / "0", own_cohort.regions):
        for path in folder.glob("A.*"):
            path.rename(path.with_stem("S21-12345"))
    labels = tmp_path / "labels.csv"
    labels.write_text("slide_id,case_id\nB,Virtanen_Aino\n")
    build(own_cohort, tmp_path / "out", intensity="none", labels=labels)
    found = suspect_ids(tmp_path / "out", read_manifest(tmp_path / "out"))
    assert [(one.value, one.places) for one in found] == [
        ("S21-12345", ("file name", "image.path", "manifest.json", "patch_id", "slide_id")),
        ("Virtanen_Aino", ("case_id",)),
    ]
    assert str(found[1]) == "Virtanen_Aino looks like a person's name (case_id)"


@pytest.mark.parametrize(
    "change",
    [
        {"report": {"quarantined": ["0/Virtanen_Aino.svs"]}},
        {"units": {"Virtanen_Aino": {}}},
        {"units": {"slide-0": {"dropped": [{"patch_id": "Virtanen_Aino-x1-y2"}]}}},
        {"hue_references": {"0": {"patch_ids": ["Virtanen_Aino-x1-y2"]}}},
    ],
)
def test_the_manifest_is_looked_at_too(tmp_path: Path, change: dict[str, object]) -> None:
    folder = write_edition(tmp_path / "edition", plan_slides())
    manifest: Manifest = read_manifest(folder)
    assert suspect_ids(folder, manifest) == ()
    (found,) = suspect_ids(folder, replace(manifest, **change))  # type: ignore[arg-type]
    assert "Virtanen_Aino" in found.value
    assert found.places == ("manifest.json",)


def test_a_code_is_of_one_list(tmp_path: Path) -> None:
    slides = plan_slides()
    codes = set()
    for names in ({}, {"slide-0": "S21-12345"}, {"slide-0": "S21-12345", "slide-1": "Doe_John"}):
        folder = write_edition(
            tmp_path / str(len(names)), {names.get(one, one): spots for one, spots in slides.items()}
        )
        codes.add(review_code(suspect_ids(folder, read_manifest(folder))))
    assert len(codes) == 3
