"""croissant.json, read by mlcroissant."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from built_twin import write_lab
from her2_ihc_40x import CLASSES, FEATURES
from her2_ihc_40x_builder.card.croissant import licence_of, render_croissant
from her2_ihc_40x_builder.shards.manifest import Manifest, read_manifest


@pytest.fixture(scope="module")
def croissant(shards: Path) -> dict[str, Any]:
    return dict(json.loads((shards / "croissant.json").read_text()))


@pytest.fixture
def dataset(shards: Path) -> Any:
    mlcroissant = pytest.importorskip("mlcroissant", reason="mlcroissant comes with the extra [dev]")
    return mlcroissant.Dataset(str(shards / "croissant.json"))


def test_it_is_valid(dataset: Any) -> None:
    assert not dataset.metadata.ctx.issues.errors
    warnings = " ".join(dataset.metadata.ctx.issues.warnings)
    # When a version is published, and as which, is not known when it is made.
    assert warnings.count("Property") == warnings.count("datePublished") + warnings.count("/version")


@pytest.mark.parametrize("config", ["wsi_split", "patch_split"])
def test_images_and_labels_load(dataset: Any, shards: Path, config: str) -> None:
    seen: dict[str, dict[str, int]] = {}
    for record in dataset.records(config):
        assert {name.split("/")[1] for name in record} == {"split", *FEATURES}
        image = record[f"{config}/image"]
        assert image.convert("RGB").size == (8, 8)
        labels = seen.setdefault(record[f"{config}/split"].decode(), dict.fromkeys(CLASSES, 0))
        labels[CLASSES[record[f"{config}/label"]]] += 1
        assert record[f"{config}/slide_id"] is None
    assert seen == read_manifest(shards).counts[config]


def test_one_split_alone(dataset: Any, shards: Path) -> None:
    records = list(dataset.records("wsi_split", filters={"wsi_split/split": "test"}))
    assert len(records) == sum(read_manifest(shards).counts["wsi_split"]["test"].values())


def test_a_flipped_byte_is_refused(shards: Path, tmp_path: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant", reason="mlcroissant comes with the extra [dev]")
    folder = tmp_path / "copy"
    shutil.copytree(shards, folder)
    good, bad = sorted(read_manifest(folder).shards)[:2]
    data = bytearray((folder / bad.path).read_bytes())
    data[len(data) // 3] ^= 1
    (folder / bad.path).write_bytes(data)
    dataset = mlcroissant.Dataset(str(folder / "croissant.json"))
    assert len(list(dataset.records(f"file:{good.path}"))) == good.rows
    with pytest.raises(Exception, match="generation") as caught:
        list(dataset.records(f"file:{bad.path}"))
    assert bad.sha256 in str(caught.value.__cause__)


def test_the_record_sets_of_files_are_a_check_and_a_config_is_none(shards: Path, tmp_path: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant", reason="mlcroissant comes with the extra [dev]")
    folder = shutil.copytree(shards, tmp_path / "copy")
    manifest = read_manifest(folder)
    bad = manifest.files_of("wsi_split", "train")[0]
    data = (folder / bad.path).read_bytes()
    end = data.index(b"IEND") + 4  # an image's last checksum: it can still be opened
    (folder / bad.path).write_bytes(data[:end] + bytes([data[end] ^ 1]) + data[end + 1 :])
    dataset = mlcroissant.Dataset(str(folder / "croissant.json"))
    assert len(list(dataset.records("wsi_split"))) == sum(
        sum(labels.values()) for labels in manifest.counts["wsi_split"].values()
    )
    refused = []
    for record_set in dataset.metadata.record_sets:
        if record_set.id.startswith("file:"):
            try:
                next(iter(dataset.records(record_set.id)))
            except mlcroissant.GenerationError:
                refused.append(record_set.id)
    assert refused == [f"file:{bad.path}"]


def test_every_file_is_listed_with_its_hash(croissant: dict[str, Any], shards: Path) -> None:
    listed = {item["contentUrl"]: item["sha256"] for item in croissant["distribution"] if "sha256" in item}
    assert listed == {shard.path: shard.sha256 for shard in read_manifest(shards).shards}
    globs = [glob for item in croissant["distribution"] for glob in item.get("includes", ())]
    assert {path.relative_to(shards).as_posix() for glob in globs for path in shards.glob(glob)} == set(listed)


def test_it_has_no_dates(croissant: dict[str, Any]) -> None:
    assert not [key for key in croissant if "date" in key.casefold()]


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("cc-by-sa-4.0", "https://spdx.org/licenses/CC-BY-SA-4.0.html"),
        ("cc0-1.0", "https://spdx.org/licenses/CC0-1.0.html"),
        ("other", "other"),
    ],
)
def test_licences(licence: str, expected: str) -> None:
    assert licence_of(licence) == expected


def test_an_unknown_licence_is_said_to_be(croissant: dict[str, Any]) -> None:
    assert croissant["license"]["name"] == "unknown"


def test_the_creators_are_those_of_the_citation(croissant: dict[str, Any]) -> None:
    names = [person["name"] for person in croissant["creator"]]
    assert names == ["Nabi", "Fauzi", "Abdul Karim", "Cheah", "Chiew", "Looi"]


def test_a_laboratory_is_not_the_authors(tmp_path: Path) -> None:
    text = render_croissant(write_lab(tmp_path), "Patches.")
    content = json.loads(text)
    assert not {"creator", "citeAs", "url"} & set(content)
    assert "Nabi" not in text


def test_a_config_without_files_has_no_record_set() -> None:
    content = json.loads(render_croissant(Manifest([], {"wsi_split": {}}, {}, {"kind": "slides"}, {}), "None."))
    assert [item["@id"] for item in content["recordSet"]] == ["classes", "wsi_split"]
