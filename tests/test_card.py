"""The card: its YAML is what `datasets` and the Hub read, its text what is true."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest
import yaml
from huggingface_hub import DatasetCard

from her2_ihc_40x import CLASSES, CONFIGS, ERRATA, FEATURES
from her2_ihc_40x_builder.card import card_metadata, render_card
from her2_ihc_40x_builder.manifest import Manifest, read_manifest
from her2_ihc_40x_builder.shards import Shard


def front_matter(text: str) -> dict[str, object]:
    return dict(yaml.safe_load(text.split("---\n")[1]))


def test_the_hubs_own_parser_reads_it(shards: Path) -> None:
    card = DatasetCard.load(shards / "README.md")
    assert card.data.license == "unknown"
    assert card.data.size_categories == ["n<1K"]
    assert [config["config_name"] for config in card.data.configs] == ["wsi_split", "patch_split"]


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


def test_the_text_tells_what_a_user_must_know(shards: Path) -> None:
    text = render_card(read_manifest(shards))
    assert "$" not in text.replace("$$", "")
    for needle in (*ERRATA, *FEATURES, "Not for diagnosis", "unknown: ask the authors", "10.5281/zenodo.15179608"):
        assert needle in text
    for heading in ("Dataset Details", "Uses", "Dataset Structure", "Dataset Creation", "Bias, Risks", "Citation"):
        assert f"\n## {heading}" in text
    train = read_manifest(shards).counts["wsi_split"]["train"]
    row = " | ".join(str(train[label]) for label in CLASSES)
    assert f"| `wsi_split` | train | {row} | {sum(train.values())} | 8093 |" in text


def test_the_snippets_run(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shards.parent)
    text = (shards / "README.md").read_text()
    snippets = [part.split("```")[0] for part in text.split("```python\n")[1:]]
    assert len(snippets) >= 2
    scope: dict[str, object] = {}
    for snippet in snippets:
        exec(snippet, scope)
    assert scope["labels"].num_rows == read_manifest(shards).rows  # type: ignore[attr-defined]


def test_a_config_or_split_without_files_is_left_out() -> None:
    shard = Shard("data/wsi_train/patch_none/a.parquet", "0" * 64, 10, 3, "A")
    counts = {"wsi_split": {"train": {"0": 3, "1+": 0, "2+": 0, "3+": 0}}}
    metadata = card_metadata(Manifest([shard], counts, {}, {"kind": "slides", "licence": "cc-by-4.0"}, {}))
    assert metadata["license"] == "cc-by-4.0"
    (config,) = metadata["configs"]
    assert config["default"] is True
    assert [entry["split"] for entry in config["data_files"]] == ["train"]
