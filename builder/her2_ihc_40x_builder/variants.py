"""Which patches of the release's two variants are the same one: pure decisions on hashes and names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from her2_ihc_40x import CLASSES, ReleasePatch

from .shards.files import Sides

#: Behind the id of a patch of the WSI variant whose name another image has in the patch variant.
WSI_MARK = ".wsi"


@dataclass(frozen=True)
class MatchedPatch:
    """One row of the output: one image under one label, in one variant or in both.

    Args:
        patch: the patch to read; of the patch variant where it is there.
        sides: where each config has it.
        patch_id: unique in the output.
    """

    patch: ReleasePatch
    sides: Sides
    patch_id: str


@dataclass(frozen=True)
class Matching:
    """How two variants fit together.

    Args:
        patches: the rows, in the order of (score, side, number).
        disagreements: pairs of names with the same image whose labels, scores or sides differ: stored twice.
        duplicates: images that occur more than once within a variant, counted beyond the first.
    """

    patches: tuple[MatchedPatch, ...]
    disagreements: tuple[tuple[str, str], ...]
    duplicates: int


def match_variants(patches: Mapping[str, Sequence[ReleasePatch]], hashes: Mapping[ReleasePatch, str]) -> Matching:
    """Pair the patches of both variants that are the same image under the same label, as multisets.

    Two files with one content in one variant stay two rows, so that each config keeps its counts. A name only decides
    which of several equal images is paired with which. Images that agree in content but not in label, or in the score
    or side of their names, are not paired: a row says one thing.

    Args:
        patches: config -> its patches.
        hashes: of the bytes of every patch.
    """
    groups: dict[tuple[str, str, str, str], dict[str, list[ReleasePatch]]] = defaultdict(lambda: defaultdict(list))
    duplicates = 0
    for config, members in patches.items():
        seen: set[str] = set()
        for patch in members:
            content = hashes[patch]
            duplicates += content in seen
            seen.add(content)
            groups[content, patch.label, patch.score, patch.side][config].append(patch)
    rows: list[tuple[ReleasePatch, Sides]] = []
    for both in groups.values():
        rows += _pair(both["patch_split"], both["wsi_split"])
    rows.sort(key=lambda row: (CLASSES.index(row[0].score), row[0].side, row[0].number, row[0].config, row[0].label))
    return Matching(_named(rows), _disagreements(patches, hashes), duplicates)


def _pair(in_patch: Sequence[ReleasePatch], in_wsi: Sequence[ReleasePatch]) -> list[tuple[ReleasePatch, Sides]]:
    by_stem = {patch.stem: patch for patch in in_wsi}
    same = {patch.stem for patch in in_patch} & set(by_stem)
    rows = [(patch, Sides(by_stem[patch.stem].split, patch.split)) for patch in in_patch if patch.stem in same]
    left = [patch for patch in in_patch if patch.stem not in same]
    right = [patch for patch in in_wsi if patch.stem not in same]
    rows += [(patch, Sides(other.split, patch.split)) for patch, other in zip(left, right, strict=False)]
    rows += [(patch, Sides("none", patch.split)) for patch in left[len(right) :]]
    rows += [(patch, Sides(patch.split, "none")) for patch in right[len(left) :]]
    return rows


def _named(rows: Sequence[tuple[ReleasePatch, Sides]]) -> tuple[MatchedPatch, ...]:
    """Give each row its patch id: the stem in the patch variant, else the other's, marked if that one is taken."""
    taken = {patch.stem for patch, _ in rows if patch.config == "patch_split"}
    named = []
    for patch, sides in rows:
        clash = patch.config != "patch_split" and patch.stem in taken
        named.append(MatchedPatch(patch, sides, f"{patch.stem}{WSI_MARK}" if clash else patch.stem))
    return tuple(named)


def _disagreements(
    patches: Mapping[str, Sequence[ReleasePatch]], hashes: Mapping[ReleasePatch, str]
) -> tuple[tuple[str, str], ...]:
    first: dict[str, ReleasePatch] = {}
    found = []
    for config in ("patch_split", "wsi_split"):
        for patch in patches.get(config, ()):
            other = first.setdefault(hashes[patch], patch)
            if (other.label, other.score, other.side) != (patch.label, patch.score, patch.side):
                found.append((_shown(other), _shown(patch)))
    return tuple(sorted(found))


def _shown(patch: ReleasePatch) -> str:
    return f"{patch.config}/{patch.split}/{patch.label}/{patch.file_name}"
