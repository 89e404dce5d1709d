"""A twin of the release, of any size: true names and layout, both variants, the real relation between them.

For the demo, the tests and the benchmarks, which need the release's shape without its pixels.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from her2_ihc_40x import CLASSES, COUNTS, SPLITS

#: (slide's side, class) -> score in the name -> patches, counted in the listing of the real patch variant.
NAME_TABLE: Mapping[tuple[str, str], Mapping[str, int]] = {
    ("train", "0"): {"0": 3131},
    ("train", "1+"): {"0": 503, "1+": 1837},
    ("train", "2+"): {"1+": 484, "2+": 523},
    ("train", "3+"): {"1+": 13, "2+": 2, "3+": 2600},
    ("test", "0"): {"0": 658},
    ("test", "1+"): {"0": 33, "1+": 316},
    ("test", "2+"): {"1+": 13, "2+": 111},
    ("test", "3+"): {"1+": 11, "2+": 10, "3+": 752},
}
_OUTER = {"patch_split": ("her2-ihc-40x-patch.zip", "Patch-based-dataset", "data_patch")}
_OUTER["wsi_split"] = ("her2-ihc-40x-wsi.zip", "WSI-based-dataset", "data_wsi")
_LONG_AGO = (2025, 1, 1, 0, 0, 0)  # a zip's times are part of its bytes


@dataclass(frozen=True, order=True)
class TwinPatch:
    """One file of a twin: the sides of its folders in both variants ("none" if it is not in one), class and name."""

    score: str
    side: str
    number: int
    label: str
    patch_side: str
    wsi_side: str
    suffix: str = "png"

    @property
    def file_name(self) -> str:
        """The name as the release would give it."""
        return f"her2-{self.score}-score_{self.side}_{self.number:02d}.{self.suffix}"


def plan_twin(scale: float = 1.0) -> list[TwinPatch]:
    """The patches of a twin.

    Args:
        scale: part of the real numbers; every kind of patch that the release has is there at least once. With 1 both
            variants have the published counts.
    """
    names: list[tuple[str, str, int, str]] = []
    for side in SPLITS:
        for score in CLASSES:
            kinds = [
                (label, row[score]) for (where, label), row in NAME_TABLE.items() if where == side and score in row
            ]
            labels = [label for label, count in kinds for _ in range(max(1, round(count * scale)))]
            labels.sort()
            order = sorted(range(len(labels)), key=lambda at: _draw(side, score, at))
            # Numbers have gaps, as where the authors' filter dropped a patch.
            names += [(score, side, 1 + at + at // 5, labels[position]) for at, position in enumerate(order)]
    by_label: dict[str, list[tuple[str, str, int, str]]] = defaultdict(list)
    for name in names:
        by_label[name[3]].append(name)
    patches = []
    for label, members in by_label.items():
        members.sort(key=lambda name: _draw("patch_split", *name))
        counts = {split: COUNTS["patch_split"][split][label] for split in SPLITS}
        test = max(1, round(len(members) * counts["test"] / sum(counts.values())))
        for at, (score, side, number, _) in enumerate(members):
            # The WSI variant lacks the patches whose folder is above a score of 0 or 1+.
            wsi_side = side if label == score or score == "2+" else "none"
            patches.append(TwinPatch(score, side, number, label, "test" if at < test else "train", wsi_side))
    return sorted(patches)


def twin_of_listing(paths: Iterable[str]) -> list[TwinPatch]:
    """The patches of a twin with the names of a listing of the real patch variant.

    Args:
        paths: Patch-based-dataset/<split>_data_patch/class_<label>/her2-<score>-score_<side>_<n>.<suffix>
    """
    patches = []
    for path in paths:
        _, folder, label_folder, name = path.strip().split("/")
        label, (score, rest) = label_folder.removeprefix("class_"), name.removeprefix("her2-").split("-score_")
        side, number_suffix = rest.split("_")
        number, suffix = number_suffix.split(".")
        wsi_side = side if label == score or score == "2+" else "none"
        patches.append(TwinPatch(score, side, int(number), label, folder.split("_")[0], wsi_side, suffix))
    return sorted(patches)


def write_twin(
    root: Path,
    patches: Sequence[TwinPatch],
    image: Callable[[TwinPatch], bytes],
    *,
    inner_method: int = zipfile.ZIP_STORED,
) -> None:
    """Write the two zips of a twin into `root`.

    Args:
        root: a folder.
        patches: which, from `plan_twin` or `twin_of_listing`.
        image: the bytes of a patch's file; called once a patch and variant.
        inner_method: how the inner zips are kept in the outer ones: stored or deflated.
    """
    root.mkdir(parents=True, exist_ok=True)
    for config, (outer_name, folder, stem) in _OUTER.items():
        with zipfile.ZipFile(root / outer_name, "w") as outer:
            for split in SPLITS:
                side = "patch_side" if config == "patch_split" else "wsi_side"
                members = [patch for patch in patches if getattr(patch, side) == split]
                if members:
                    entry = zipfile.ZipInfo(f"{folder}/{split}_{stem}.zip", _LONG_AGO)
                    entry.compress_type = inner_method
                    _write_inner(outer, entry, members, image)


def _write_inner(
    outer: zipfile.ZipFile, entry: zipfile.ZipInfo, members: Sequence[TwinPatch], image: Callable[[TwinPatch], bytes]
) -> None:
    with tempfile.TemporaryFile() as spooled:
        with zipfile.ZipFile(spooled, "w") as inner:
            for patch in members:
                inner.writestr(zipfile.ZipInfo(f"class_{patch.label}/{patch.file_name}", _LONG_AGO), image(patch))
        spooled.seek(0)
        with outer.open(entry, "w", force_zip64=True) as target:
            shutil.copyfileobj(spooled, target, 1 << 20)


def _draw(*key: object) -> str:
    """A number from a key, the same on every machine: the order of a list that looks shuffled."""
    return hashlib.sha256("|".join(map(str, key)).encode()).hexdigest()
