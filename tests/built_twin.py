"""A small data set as a build from a laboratory's slides leaves it: flat patches, one colour a class."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

from PIL import Image

from her2_ihc_40x import CLASSES, FEATURES
from her2_ihc_40x_builder.parameters import BuildParameters
from her2_ihc_40x_builder.shards.files import Sides, UnitWriter
from her2_ihc_40x_builder.shards.manifest import Manifest, count_labels

#: class -> the colour of its patches.
COLOURS = {"0": (190, 190, 220), "1+": (200, 180, 150), "2+": (160, 120, 80), "3+": (90, 60, 30)}
#: slide -> its class, its side of wsi_split, patches on each side of patch_split.
SLIDES = {
    "A": ("0", "train", {"train": 3, "test": 1}),
    "B": ("1+", "train", {"train": 4}),
    "C": ("3+", "train", {"train": 2, "test": 2}),
    "D": ("3+", "test", {"test": 5}),
}
#: test patches of patch_split, and those of them from slides with training patches.
LEAK = (8, 3)


def write_lab(folder: Path, **source: Any) -> Manifest:
    """Write the shards to a folder, and return their manifest; the files beside them are not written."""
    shards, rows, units = [], [], {}
    for slide, (label, wsi, patches) in SLIDES.items():
        with UnitWriter(folder, slide) as writer:
            for at, side in enumerate(side for side, count in patches.items() for _ in range(count)):
                writer.write(Sides(wsi, side), _row(slide, label, at))
                rows.append((Sides(wsi, side), label))
        shards += writer.shards
        units[slide] = {
            "inputs": hashlib.sha256(slide.encode()).hexdigest(),
            "score": label,
            "wsi_side": wsi,
            "windows": sum(patches.values()) + 1,
            "patches": {f"{wsi}|{side}|{label}": count for side, count in patches.items()},
            "dab_p99_median": {label: 0.1 * CLASSES.index(label)},
            "dropped": [{"patch_id": f"{slide}-x", "label": label, "reason": "tissue", "value": 0.01}],
        }
    parameters = json.loads(json.dumps(BuildParameters().to_json()))
    report = {"quarantined": ["E"]}
    return Manifest(
        shards,
        count_labels(rows),
        parameters,
        {"kind": "slides", "licence": None, "record": None} | source,
        units,
        report,
    )


def _row(slide: str, label: str, at: int) -> dict[str, Any]:
    file = io.BytesIO()
    red, green, blue = COLOURS[label]
    # One level apart, so that no two patches are the same bytes.
    Image.new("RGB", (64, 64), (red, green, blue + at)).save(file, "PNG")
    return dict.fromkeys(FEATURES) | {
        "image": {"bytes": file.getvalue(), "path": f"{slide}-{at}.png"},
        "label": CLASSES.index(label),
        "label_source": "slide",
        "slide_id": slide,
        "slide_score": CLASSES.index(label),
        "patch_id": f"{slide}-{at}",
        "x": 64 * at,
        "y": 0,
        "mpp": 0.25,
        "sha256": hashlib.sha256(file.getvalue()).hexdigest(),
    }
