"""The dataset card: a template filled with the published facts and what a manifest says, and its YAML for the Hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

import datasets
import yaml

from her2_ihc_40x import CITATION, CONFIGS, DOI, ERRATA, FEATURES, GLOBS, REGIONS, SLIDES, SPLITS

from ..shards.manifest import KINDS, Manifest
from . import tables
from .contents import Leak
from .figures import Figure

FILE_NAME = "README.md"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def render_card(manifest: Manifest, figures: Sequence[Figure] = (), leak: Leak | None = None, strays: int = 0) -> str:
    """The text of the card: a function of its arguments.

    Args:
        manifest: of the data set.
        figures: in the order in which they are shown.
        leak: what is known of slides on both sides of `patch_split`.
        strays: patches of `wsi_split` on another side than their names tell.
    """
    kind = _kind(manifest)
    configs = _configs(manifest)
    facts = _facts(manifest)
    places = {
        "metadata": yaml.safe_dump(card_metadata(manifest), sort_keys=False, allow_unicode=True).rstrip(),
        "config": configs[0],
        "split": _splits(manifest, configs[0])[0],
        "glob": GLOBS[configs[0]].format(_splits(manifest, configs[0])[0]),
        "part": " **This is not the whole release: see the counts.**" if tables.is_part(manifest) else "",
        "configs": tables.configs_table(configs),
        "counts": tables.counts_table(manifest),
        "leak": tables.leak_text(manifest, leak, strays),
        "parameters": tables.parameters_table(manifest, _read_yaml("parameters.yaml")[kind]),
        "yield": tables.yield_table(manifest),
        "definitions": tables.definitions_table(),
        "errata": _errata() if kind == "release" else "",
        **_figure_places(figures),
    }
    template = Template((_template_folder() / "README.md.template").read_text(encoding="utf-8"))
    lines = template.substitute(facts, **places).splitlines()
    # Where there is nothing to say, no gap is left.
    kept = [line for at, line in enumerate(lines) if line or (at and lines[at - 1])]
    return "\n".join(kept) + "\n"


def summary(manifest: Manifest) -> str:
    """What the data set is, in a sentence."""
    return _facts(manifest)["summary"].replace("`", "")


def card_metadata(manifest: Manifest) -> dict[str, Any]:
    """The card's YAML as a dict: what `datasets` reads (configs, dataset_info) and what the Hub shows.

    A config or split without files is left out: one glob that matches nothing would break every config. The digest is
    in each config's description, since `datasets` caches a local folder by this YAML alone.
    """
    present = _configs(manifest)
    configs = [
        {
            "config_name": config,
            **({"default": True} if config == present[0] else {}),
            "description": f"{CONFIGS[config]} sha256 of all files: {manifest.digest}",
            "data_files": [
                {"split": split, "path": GLOBS[config].format(split)} for split in _splits(manifest, config)
            ],
        }
        for config in present
    ]
    is_release = manifest.source["kind"] == "release"
    metadata: dict[str, Any] = {
        "pretty_name": _facts(manifest)["title"],
        "license": manifest.source.get("licence") or "unknown",
        # Who drew and scored a laboratory's slides is not known here.
        **({"annotations_creators": ["expert-generated"]} if is_release else {}),
        "task_categories": ["image-classification"],
        "task_ids": ["multi-class-image-classification"],
        "size_categories": [next((name for limit, name in _SIZES if manifest.rows < limit), "n>1M")],
        "tags": ["medical", "histopathology", "immunohistochemistry", "HER2", "breast-cancer", "whole-slide-imaging"],
        "configs": configs,
    }
    data = _CardData(metadata)
    infos = {config: _dataset_info(manifest, config) for config in present}
    datasets.info.DatasetInfosDict(infos).to_dataset_card_data(data)
    return dict(data)


class _CardData(dict[str, Any]):
    """What `DatasetInfosDict.to_dataset_card_data` fills: a mapping is all it asks for."""


def _configs(manifest: Manifest) -> list[str]:
    return [config for config in CONFIGS if config in manifest.counts]


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


# --- Text ---------------------------------------------------------------------------------------------------------


def _facts(manifest: Manifest) -> dict[str, str]:
    """The prose of this kind of data set, with the facts in their places."""
    licence = manifest.source.get("licence")
    record = manifest.source.get("record") or {}
    facts = {
        "rows": f"{manifest.rows:,}",
        "doi": DOI,
        "digest": manifest.digest,
        "citation": CITATION,
        "licence_text": f"`{licence}`" if licence else "unknown: ask the authors before you share or publish it",
        "slides_published": str(sum(SLIDES.values())),
        "regions_published": f"{sum(REGIONS.values()):,}",
        "record": f", version {record['version']}" if record.get("version") else "",
        **_naming(manifest.parameters.get("pseudonyms")),
    }
    texts = _read_yaml(f"{_kind(manifest)}.yaml")
    return {**facts, **{name: Template(text).substitute(facts) for name, text in texts.items()}}


def _kind(manifest: Manifest) -> str:
    """The kind of a data set, as it is in names of files; a ValueError if there are no texts for it."""
    kind = str(manifest.source["kind"])
    if kind not in KINDS:
        raise ValueError(f"a data set of the kind {kind!r:.80}")
    return kind


def _naming(key_id: str | None) -> dict[str, str]:
    """What ids are, where the data set was built from slides."""
    if key_id is None:
        return {"slide_named": "its file's name", "ids_said": "Slide and case ids are as they were given."}
    said = f"Slide, case and region ids are pseudonyms (HMAC-SHA-256 with a secret key, whose id is `{key_id}`)."
    return {"slide_named": "a keyed pseudonym of its file's name", "ids_said": said}


def _errata() -> str:
    return "\n".join(["Errata of the release:", "", *(f"- {line}" for line in ERRATA)])


def _figure_places(figures: Sequence[Figure]) -> dict[str, str]:
    """Markdown for the figures of each place in the template; none where there is none."""
    captions: Mapping[str, str] = _read_yaml("captions.yaml")
    places = {"figure_sheet": "", "figure_classes": "", "figure_slides": "", "figure_density": ""}
    for figure in figures:
        caption = Template(captions[figure.caption]).substitute(figure.facts)
        place = f"figure_{figure.caption.split('_')[0]}"
        places[place] += f"![{caption.split(':')[0].split('.')[0]}]({figure.path})\n\n*{caption}*\n\n"
    return {place: text.rstrip() for place, text in places.items()}


@cache
def _read_yaml(name: str) -> Any:
    return yaml.safe_load((_template_folder() / name).read_text(encoding="utf-8"))


def _template_folder() -> Path:
    """Where the template is, in a wheel or in the source tree: an editable install leaves it where it is."""
    installed = Path(__file__).parents[1] / "dataset_card"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "dataset_card"
