"""The card: its YAML is what `datasets` and the Hub read, its text what is true."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import datasets
import pytest
import yaml
from huggingface_hub import DatasetCard, DatasetCardData
from huggingface_hub.repocard import TEMPLATE_DATASETCARD_PATH

from built_twin import LEAK, write_lab
from her2_ihc_40x import CLASSES, CONFIGS, ERRATA, FEATURES
from her2_ihc_40x_builder.card.card import card_metadata, render_card
from her2_ihc_40x_builder.card.companions import write_companions
from her2_ihc_40x_builder.card.contents import Leak
from her2_ihc_40x_builder.shards.files import Shard
from her2_ihc_40x_builder.shards.manifest import Manifest, read_manifest

SNIPPETS = ("datasets", "torch", "polars", "duckdb")


def front_matter(text: str) -> dict[str, object]:
    return dict(yaml.safe_load(text.split("---\n")[1]))


def snippets(text: str) -> list[str]:
    return [part.split("```")[0] for part in text.split("```python\n")[1:]]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set as a build leaves it."""
    folder = tmp_path_factory.mktemp("lab") / "her2-ihc-40x"
    write_companions(folder, write_lab(folder))
    return folder


def test_the_hubs_own_parser_reads_it(shards: Path) -> None:
    card = DatasetCard.load(shards / "README.md")
    assert card.data.license == "unknown"
    assert card.data.size_categories == ["n<1K"]
    assert [config["config_name"] for config in card.data.configs] == ["wsi_split", "patch_split"]
    metadata = front_matter((shards / "README.md").read_text())
    assert DatasetCardData(**metadata).to_dict() == metadata  # type: ignore[arg-type, no-untyped-call]


def test_a_name_of_two_words_is_one_to_bibtex(shards: Path) -> None:
    authors = re.search(r"author += \{(.+)\},", (shards / "README.md").read_text())
    assert authors
    names = authors[1].split(" and ")
    assert "{Abdul Karim}" in names
    # Without braces the first word would be a given name.
    assert all(name.startswith("{") for name in names if " " in name)


def test_the_metadata_says_what_the_files_hold(shards: Path) -> None:
    manifest = read_manifest(shards)
    metadata = front_matter((shards / "README.md").read_text())
    assert metadata == card_metadata(manifest)
    assert {info["config_name"] for info in metadata["dataset_info"]} == set(CONFIGS)  # type: ignore[attr-defined]
    for config in metadata["configs"]:  # type: ignore[attr-defined]
        assert manifest.digest in config["description"]
        for entry in config["data_files"]:
            files = {path.relative_to(shards).as_posix() for path in shards.glob(entry["path"])}
            expected = manifest.files_of(config["config_name"], entry["split"])
            assert files == {shard.path for shard in expected}
    builder = datasets.load_dataset_builder(str(shards), "patch_split")
    assert builder.info.features == FEATURES
    splits = {name: split.num_examples for name, split in builder.info.splits.items()}
    assert splits == {split: sum(labels.values()) for split, labels in manifest.counts["patch_split"].items()}


@pytest.mark.parametrize("kind", ["release", "lab"])
def test_every_section_of_the_hubs_template_is_filled(shards: Path, lab: Path, kind: str) -> None:
    text = ((shards if kind == "release" else lab) / "README.md").read_text()
    body = text.split("---\n", 2)[2]
    asked = re.findall(r"^#{2,4} (.*?)(?: \[optional\])?$", TEMPLATE_DATASETCARD_PATH.read_text(), flags=re.MULTILINE)
    there = re.findall(r"^#{2,4} (.*)$", body, flags=re.MULTILINE)
    assert [heading for heading in there if heading in asked] == asked
    for section in re.split(r"^#{1,4} .*$", body, flags=re.MULTILINE)[2:]:
        assert "More Information Needed" not in section
    for point in ("Curated by", "Funded by", "Shared by", "Language(s) (NLP)", "License"):
        assert re.search(rf"- \*\*{re.escape(point)}:\*\* \S", body)
    assert not re.search(r"\$\w", body)
    assert "\n\n\n" not in body


def test_the_text_tells_what_a_user_must_know(shards: Path) -> None:
    manifest = read_manifest(shards)
    text = (shards / "README.md").read_text()
    for needle in (
        *ERRATA,
        "Not for diagnosis",
        "unknown: ask the authors",
        "10.5281/zenodo.15179608",
        manifest.digest,
    ):
        assert needle in text
    for column in FEATURES:
        assert f"`{column}`" in text
    train = manifest.counts["wsi_split"]["train"]
    row = " | ".join(str(train[label]) for label in CLASSES)
    assert f"| `wsi_split` | train | here | {row} | {sum(train.values())} |" in text
    assert "| `wsi_split` | train | published | 3,131 | 1,837 | 523 | 2,602 | 8,093 |" in text
    assert "not the whole release" in text
    assert "| `image_size` | `8` | width and height of every patch in pixels; null for any |" in text


def test_the_leak_of_a_release_has_its_figures(shards: Path) -> None:
    text = render_card(read_manifest(shards), leak=Leak(2200, 1748, "slide_side"))
    assert "**`patch_split` leaks**: by their names, **1,748 of its 2,200 test patches**" in text
    assert "may leak" in render_card(read_manifest(shards))
    assert "`wsi_split` may leak" not in render_card(read_manifest(shards))
    assert "**`wsi_split` may leak**: 3 of its patches" in render_card(read_manifest(shards), strays=3)


def test_figures_have_captions_and_are_there(shards: Path) -> None:
    text = (shards / "README.md").read_text()
    found = re.findall(r"!\[(.+)\]\((figures/.+\.png)\)\n\n\*(.+)\*", text)
    assert sorted(path for _, path, _ in found) == sorted(
        path.relative_to(shards).as_posix() for path in (shards / "figures").iterdir()
    )
    assert all(len(caption) > len(alt) for alt, _, caption in found)


@pytest.mark.parametrize("kind", ["release", "lab"])
@pytest.mark.parametrize("library", SNIPPETS)
def test_the_snippets_run(shards: Path, lab: Path, monkeypatch: pytest.MonkeyPatch, kind: str, library: str) -> None:
    pytest.importorskip(library, reason=f"{library} comes with the extra [frameworks]")
    folder = shards if kind == "release" else lab
    monkeypatch.chdir(folder.parent)
    found = snippets((folder / "README.md").read_text())
    assert len(found) == len(SNIPPETS)
    scope: dict[str, object] = {}
    exec(found[SNIPPETS.index(library)], scope)
    train = read_manifest(folder).counts["wsi_split"]["train"]
    if library == "datasets":
        assert len(scope["data"]) == sum(train.values())  # type: ignore[arg-type]
    elif library == "torch":
        batch: dict[str, object] = scope["batch"]  # type: ignore[assignment]
        assert tuple(batch["image"].shape[:2]) == (4, 3)  # type: ignore[attr-defined]
    elif library == "polars":
        assert scope["labels"].height == sum(train.values())  # type: ignore[attr-defined]
    else:
        assert scope["counts"] == [(at, train[label]) for at, label in enumerate(CLASSES) if train[label]]


def test_the_snippets_are_of_what_is_there() -> None:
    shard = Shard("data/wsi_none/patch_test/a.parquet", "0" * 64, 10, 3, "A")
    counts = {"patch_split": {"test": {"0": 3, "1+": 0, "2+": 0, "3+": 0}}}
    text = render_card(Manifest([shard], counts, {}, {"kind": "slides"}, {}))
    assert 'load_dataset("her2-ihc-40x", "patch_split", split="test")' in text
    assert "her2-ihc-40x/data/*/patch_test/*.parquet" in text
    assert "| `patch_split` (default) |" in text


def test_a_kind_is_no_path(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("title: mine")
    manifest = Manifest([], {"wsi_split": {"train": {"0": 3}}}, {}, {"kind": str(tmp_path / "own")}, {})
    for made in (render_card, card_metadata):
        with pytest.raises(ValueError, match="of the kind"):
            made(manifest)


def test_a_config_or_split_without_files_is_left_out() -> None:
    shard = Shard("data/wsi_train/patch_none/a.parquet", "0" * 64, 10, 3, "A")
    counts = {"wsi_split": {"train": {"0": 3, "1+": 0, "2+": 0, "3+": 0}}}
    metadata = card_metadata(Manifest([shard], counts, {}, {"kind": "slides", "licence": "cc-by-4.0"}, {}))
    assert metadata["license"] == "cc-by-4.0"
    (config,) = metadata["configs"]
    assert config["default"] is True
    assert [entry["split"] for entry in config["data_files"]] == ["train"]


# --- A data set that was built from slides ------------------------------------------------------------------------


def test_facts_of_the_release_are_not_told_of_a_laboratory(lab: Path) -> None:
    text = (lab / "README.md").read_text()
    for needle in (*ERRATA, "8897", "1,748", "published |", "107 slides", "1,199", "not the whole release"):
        assert needle not in text
    assert "annotations_creators" not in front_matter(text)
    assert "This is not the public release" in text


def test_a_build_says_how_it_was_made(lab: Path) -> None:
    text = (lab / "README.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| `.*` \| (.*) \|$", text, flags=re.MULTILINE)
    meanings = dict(rows)
    parameters = read_manifest(lab).parameters
    assert {name for name in meanings if name in parameters} == set(parameters)
    assert all(meanings[name] for name in parameters)
    assert "| 0 | 1 | 5 | 4 | 1 | 0 |" in text  # slides, windows, kept, dropped for tissue, for hue
    assert "could not be used, and are not in the data set: 1." in text
    test, shared = LEAK
    assert f"**{shared} of its {test} test patches** are of slides that have training patches" in text
    assert "no pixel is on both" in text


def test_a_build_says_whether_ids_are_pseudonyms(tmp_path: Path) -> None:
    manifest = write_lab(tmp_path)
    for key_id, said in (
        (None, "ids are as they were given"),
        ("0123456789abcdef", "ids are pseudonyms (HMAC-SHA-256"),
    ):
        text = render_card(replace(manifest, parameters={**manifest.parameters, "pseudonyms": key_id}))
        assert said in text
        assert "pseudonymised, not as anonymous" in text
        assert (key_id or "null") in text


def test_datasets_loads_a_build(lab: Path) -> None:
    loaded = datasets.load_dataset(str(lab), "wsi_split")
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 12, "test": 5}


def test_text_of_a_record_cannot_break_the_yaml(tmp_path: Path) -> None:
    manifest = write_lab(tmp_path, licence="x\n---\nconfigs: []")
    card = DatasetCard(render_card(manifest))
    assert card.data["license"] == "x\n---\nconfigs: []"
    assert len(card.data["configs"]) == 2
