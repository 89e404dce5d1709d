"""The dataset card: a template filled with the published facts and what a manifest says, and its YAML for the Hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

import datasets
import yaml

from her2_ihc_40x import (
    ASCO_CAP,
    CITATION,
    CLASS_DEFINITIONS,
    CLASSES,
    CONFIGS,
    COUNTS,
    DOI,
    ERRATA,
    FEATURES,
    REGIONS,
    SLIDES,
    SPLITS,
)

from .manifest import Manifest
from .staging import write_text

FILE_NAME = "README.md"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def write_card(folder: Path, manifest: Manifest) -> None:
    """Write the card of a data set into its folder.

    Args:
        folder: the data set's root.
        manifest: of the shards that are in it.
    """
    write_text(folder / FILE_NAME, render_card(manifest))


def render_card(manifest: Manifest) -> str:
    """The text of the card."""
    template = Template((_template_folder() / "README.md.template").read_text(encoding="utf-8"))
    text = _RELEASE_TEXT if manifest.source["kind"] == "release" else _SLIDES_TEXT
    licence = manifest.source.get("licence")
    return template.substitute(
        text,
        metadata=yaml.safe_dump(card_metadata(manifest), sort_keys=False, allow_unicode=True).rstrip(),
        rows=f"{manifest.rows:,}",
        doi=DOI,
        licence_text=f"`{licence}`" if licence else "unknown: ask the authors before you share or publish it",
        counts="\n".join(_count_rows(manifest)),
        definitions="\n".join(
            f"| {label} | {ASCO_CAP[label]} | {CLASS_DEFINITIONS.get(label, 'see the record')} |" for label in CLASSES
        ),
        errata="\n".join(f"- {line}" for line in ERRATA),
        digest=manifest.digest,
        citation=CITATION,
    )


def card_metadata(manifest: Manifest) -> dict[str, Any]:
    """The card's YAML as a dict: what `datasets` reads (configs, dataset_info) and what the Hub shows.

    A config or split without files is left out: one glob that matches nothing would break every config. The digest is
    in each config's description, since `datasets` caches a local folder by this YAML alone.
    """
    configs, infos = [], {}
    present = [config for config in CONFIGS if config in manifest.counts]
    for config in present:
        glob = "data/wsi_{}/*/*.parquet" if config == "wsi_split" else "data/*/patch_{}/*.parquet"
        configs.append(
            {
                "config_name": config,
                **({"default": True} if config == present[0] else {}),
                "description": f"{CONFIGS[config]} sha256 of all files: {manifest.digest}",
                "data_files": [{"split": split, "path": glob.format(split)} for split in _splits(manifest, config)],
            }
        )
        infos[config] = _dataset_info(manifest, config)
    licence = manifest.source.get("licence")
    metadata: dict[str, Any] = {
        "pretty_name": "HER2-IHC-40x",
        "license": licence or "unknown",
        "annotations_creators": ["expert-generated"],
        "task_categories": ["image-classification"],
        "task_ids": ["multi-class-image-classification"],
        "size_categories": [next((name for limit, name in _SIZES if manifest.rows < limit), "n>1M")],
        "tags": ["medical", "histopathology", "immunohistochemistry", "HER2", "breast-cancer", "whole-slide-imaging"],
        "configs": configs,
    }
    data = _CardData(metadata)
    datasets.info.DatasetInfosDict(infos).to_dataset_card_data(data)
    return dict(data)


class _CardData(dict[str, Any]):
    """What `DatasetInfosDict.to_dataset_card_data` fills: a mapping is all it asks for."""


def _splits(manifest: Manifest, config: str) -> list[str]:
    return [split for split in SPLITS if split in manifest.counts[config]]


def _dataset_info(manifest: Manifest, config: str) -> datasets.DatasetInfo:
    splits = datasets.SplitDict()
    total = 0
    for split in _splits(manifest, config):
        size = sum(shard.bytes for shard in manifest.files_of(config, split))
        splits.add(
            datasets.SplitInfo(name=split, num_bytes=size, num_examples=sum(manifest.counts[config][split].values()))
        )
        total += size
    return datasets.DatasetInfo(
        config_name=config, features=FEATURES, splits=splits, download_size=total, dataset_size=total
    )


def _count_rows(manifest: Manifest) -> Iterator[str]:
    yield "| config | split | " + " | ".join(CLASSES) + " | total | published total |"
    yield "| --- | --- |" + " ---: |" * (len(CLASSES) + 2)
    for config in CONFIGS:
        for split in SPLITS:
            labels = manifest.counts.get(config, {}).get(split, {})
            cells = [str(labels.get(label, 0)) for label in CLASSES]
            published = sum(COUNTS[config][split].values())
            yield f"| `{config}` | {split} | " + " | ".join(cells) + f" | {sum(labels.values())} | {published} |"


def _template_folder() -> Path:
    """Where the template is, in a wheel or in the source tree: an editable install leaves it where it is."""
    installed = Path(__file__).parent / "dataset_card"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "dataset_card"


_PUBLISHED = f"{sum(SLIDES.values())} slides and {sum(REGIONS.values())} regions"

_RELEASE_TEXT = {
    "summary": "The public release of HER2-IHC-40x, patch by patch as its authors made it, in a form that "
    "`datasets` loads directly.",
    "made_from": f"the release's zips, which its authors cut from {_PUBLISHED}",
    "made_how": "Image bytes are the release's own. Patches of the two variants are the same row if their bytes, "
    "label, and the score and side in their names agree. The authors tiled the regions, and dropped patches whose hue "
    "histogram (180 bins, L2-normalised) correlates 0.7 or less with the mean of the first 20 of their class.",
    "label_meaning": "the class of the folder that the release has it in.",
    "image_meaning": "PNG or JPEG, the release's bytes as they are",
    "slide_meaning": "no file of the release names it, so it is null unless a table was given",
    "privacy": "The release names no patient. Its images are published as they are, metadata of their files included. "
    "Treat them as pseudonymised, not as anonymous.",
}
_SLIDES_TEXT = {
    "summary": "Patches regenerated from whole slide images and annotated regions, in the form of HER2-IHC-40x.",
    "made_from": "whole slide images and regions; parameters are in `manifest.json`",
    "made_how": "Regions were tiled, tissue and hue were measured, and intensity was scaled as `parameters` in "
    "`manifest.json` says.",
    "label_meaning": "the class of its region where one is given, else the score of its slide.",
    "image_meaning": "the patch, encoded once from the slide's pixels",
    "slide_meaning": "the file's name, or its pseudonym",
    "privacy": "Slide and case ids are as they were given. Treat the images as pseudonymised, not as anonymous.",
}
