"""The card's tables and lists, as Markdown: counts, parameters, what slides gave, how the splits leak."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from her2_ihc_40x import ASCO_CAP, CLASS_DEFINITIONS, CLASSES, CONFIGS, COUNTS, SPLITS

from ..shards.manifest import Manifest
from .contents import Leak

_USE = {"wsi_split": "training, and every figure that you report", "patch_split": "comparison with papers that used it"}
_IS = {
    "wsi_split": "split by slide: no slide is on both sides",
    "patch_split": "split by patch: slides are on both sides",
}


def configs_table(configs: Sequence[str]) -> str:
    """The configs that there are, the default one first."""
    lines = ["| config | what it is | use it for |", "| --- | --- | --- |"]
    for at, config in enumerate(configs):
        lines.append(f"| `{config}`{'' if at else ' (default)'} | {_IS[config]} | {_USE[config]} |")
    return "\n".join(lines)


def is_part(manifest: Manifest) -> bool:
    """Whether a packed release holds other counts than the published ones, in a config that it has."""
    if manifest.source["kind"] != "release":
        return False
    return any(manifest.counts[config] != COUNTS[config] for config in manifest.counts)


def counts_table(manifest: Manifest) -> str:
    """Patches by config, split and class; for a release with a line of the published counts under each."""
    lines = ["| config | split | | " + " | ".join(CLASSES) + " | total |", "| --- | --- | --- |" + " ---: |" * 5]
    for config in CONFIGS:
        for split in SPLITS:
            here = manifest.counts.get(config, {}).get(split)
            if here:
                lines.append(_counts_row(config, split, "here", here))
            if manifest.source["kind"] == "release":
                lines.append(_counts_row(config, split, "published", COUNTS[config][split]))
    return "\n".join(lines)


def _counts_row(config: str, split: str, whose: str, counts: Mapping[str, int]) -> str:
    cells = [f"{counts[label]:,}" for label in CLASSES]
    return f"| `{config}` | {split} | {whose} | {' | '.join(cells)} | {sum(counts.values()):,} |"


def definitions_table() -> str:
    """Rows of class, guideline, authors."""
    see = "see the record"
    return "\n".join(f"| {label} | {ASCO_CAP[label]} | {CLASS_DEFINITIONS.get(label, see)} |" for label in CLASSES)


def parameters_table(manifest: Manifest, meanings: Mapping[str, str]) -> str:
    """Every parameter of the manifest, with what it means."""
    lines = ["| parameter | value | meaning |", "| --- | --- | --- |"]
    for name, value in sorted(manifest.parameters.items()):
        text = json.dumps(value, ensure_ascii=False).replace("|", "\\|").replace("`", "'")
        lines.append(f"| `{name}` | `{text}` | {meanings.get(name, '')} |")
    return "\n".join(lines)


def yield_table(manifest: Manifest) -> str:
    """What the slides of each score gave, and what was dropped why; nothing for a release, which tells no slides."""
    units = [unit for unit in manifest.units.values() if "windows" in unit]
    if not units:
        return ""
    lines = ["| score of the slide | slides | windows | kept | too little tissue | untypical hue |"]
    lines.append("| --- |" + " ---: |" * 5)
    for score in CLASSES:
        members = [unit for unit in units if unit["score"] == score]
        dropped = Counter(drop["reason"] for unit in members for drop in unit["dropped"])
        kept = sum(sum(unit["patches"].values()) for unit in members)
        windows = sum(unit["windows"] for unit in members)
        cells = [len(members), windows, kept, dropped["tissue"], dropped["hue"]]
        lines.append(f"| {score} | {' | '.join(f'{cell:,}' for cell in cells)} |")
    if count := len(manifest.report.get("quarantined", ())):
        lines += ["", f"Slides that could not be used, and are not in the data set: {count}."]
    return "\n".join(lines)


def leak_text(manifest: Manifest, leak: Leak | None, strays: int = 0) -> str:
    """What a user must know of the splits, with the figures of this data set."""
    return "\n".join(f"- {line}" for line in _leak_lines(manifest, leak, strays))


def _leak_lines(manifest: Manifest, leak: Leak | None, strays: int) -> Iterator[str]:
    if strays:
        yield (
            f"**`wsi_split` may leak**: {strays:,} of its patches are on another side than their names tell. Do not "
            "report on it before you know why."
        )
    if "wsi_split" in manifest.counts:
        yield "`wsi_split` puts a slide's patches on one side. Whether a patient's are on one side is another question."
    if "patch_split" not in manifest.counts:
        return
    if leak is None:
        yield "**`patch_split` may leak**: patches of one slide can be on both sides. Do not report on it alone."
        return
    verdict = "**`patch_split` leaks**" if leak.shared else "`patch_split` shows no leak here"
    share = f"**{leak.shared:,} of its {leak.test:,} test patches**"
    if leak.known_by == "slide_id":
        yield f"{verdict}: {share} are of slides that have training patches as well."
    else:
        yield (
            f"{verdict}: by their names, {share} are of slides on the training side of the split by slide. Which slide "
            "a patch is of is not told: the true number can only be higher."
        )
    yield "Patches of a slide look alike: scores on `patch_split` flatter. Report on `wsi_split`, compare on the other."
    if manifest.parameters.get("patch_split") == "overlap":
        yield "Windows that share a pixel are on one side of `patch_split`: no pixel is on both."
