"""What a person looks at after a build: a folder with a page and an overlay of each slide. Never published."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
from PIL import Image, ImageDraw, ImageFont

from .build import BuildResult
from .errors import Her2Error
from .parallel import run_tasks
from .shards.made import PAGE, Made, made_page
from .shards.manifest import Manifest
from .shards.staging import check_beside, staged_folder, write_text
from .slide_plan import SlidePlan
from .slides.slide import open_slide
from .summary import build_summary

_TITLE, _DROPPED_TABLE = "<title>her2-ihc-40x build report</title>", "dropped.csv"
#: Pixels of an overlay's longer side; between them is a level of each pyramid whose levels are a quarter of another.
_SHORTEST, _LONGEST = 600, 2400
_TEXT = 20
_REGION, _KEPT, _DROPPED = (20, 90, 220), (20, 150, 60), (220, 30, 30)


def check_place(folder: Path, out: Path) -> None:
    """Refuse a place for the report before the work begins.

    Raises:
        OutputError: it is in the data set, which is published, or taken by something else.
    """
    check_beside(folder, out, made_in=_made_report)


def write_report(result: BuildResult, out: Path, folder: Path, *, workers: int) -> None:
    """Write the report's folder: a page, an overlay PNG a slide, and a CSV of the dropped windows.

    Raises:
        OutputError: the folder is taken by something else, or cannot be written.
    """
    check_place(folder, out)
    with staged_folder(folder, overwrite=True, made_in=_made_report) as tree, result.names.telling():
        kept = _kept_windows(out, result.manifest)
        overlays = [
            _Overlay(tree / f"{number:04d}.png", slide, frozenset(kept.get(slide.slide_id, ())))
            for number, slide in enumerate(result.plan.slides)
        ]
        failed = run_tasks(_draw_overlay, overlays, workers=workers, label="Overlays", unit="slide", threads=True)
        notes = {
            overlay.slide.slide_id: str(result.names.told(overlay.slide.slide_id, error))
            for overlay, error in zip(overlays, failed, strict=True)
            if error
        }
        write_text(tree / _DROPPED_TABLE, _dropped_csv(result.manifest))
        write_text(tree / PAGE, _page(result, overlays, notes))


def _made_report(folder: Path) -> Made | None:
    return made_page(folder, _TITLE, _DROPPED_TABLE)


# --- The page -------------------------------------------------------------------------------------------------------


def _dropped_csv(manifest: Manifest) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["slide_id", "patch_id", "label", "reason", "value"])
    for slide, unit in manifest.units.items():
        for drop in unit["dropped"]:
            writer.writerow([slide, drop["patch_id"], drop["label"], drop["reason"], drop["value"]])
    return text.getvalue()


def _page(result: BuildResult, overlays: list[_Overlay], notes: Mapping[str, str]) -> str:
    rows = []
    for overlay in overlays:
        name = html.escape(overlay.slide.slide_id)
        unit: Mapping[str, Any] = result.manifest.units.get(overlay.slide.slide_id, {})
        facts = html.escape(
            f"score {overlay.slide.score}, {overlay.slide.wsi_side}; {len(overlay.slide.regions)} regions, "
            f"{len(overlay.slide.patches)} windows, "
            + (f"{len(overlay.kept)} kept; white point: {unit['white_reason']}" if unit else "in quarantine")
        )
        note = notes.get(overlay.slide.slide_id)
        picture = html.escape(note) if note else f'<img src="{overlay.path.name}" alt="overlay of {name}">'
        rows.append(f"<h2>{name}</h2><p>{facts}</p>{picture}")
    quarantine = "".join(
        f"<li><b>{html.escape(name)}</b>: {html.escape(str(error))}</li>"
        for name, error in result.plan.quarantined.items()
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{_TITLE}'
        "<style>body{font-family:sans-serif;margin:2em}img{max-width:100%;border:1px solid #999}</style></head><body>"
        "<h1>Build report</h1><p>Blue: regions, with their ids. Green: kept windows. Red: dropped windows "
        "(dropped.csv says why). Not to be published.</p>"
        f"<pre>{html.escape(build_summary(result))}</pre>"
        + (f"<h2>Quarantine</h2><ul>{quarantine}</ul>" if quarantine else "")
        + "".join(rows)
        + "</body></html>\n"
    )


# --- Overlays -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Overlay:
    path: Path
    slide: SlidePlan
    kept: frozenset[tuple[int, int]]


def _kept_windows(out: Path, manifest: Manifest) -> dict[str, list[tuple[int, int]]]:
    files = [str(out / shard.path) for shard in manifest.shards]
    table = ds.dataset(files, format="parquet").to_table(columns=["slide_id", "x", "y"])
    kept: dict[str, list[tuple[int, int]]] = {}
    for slide_id, x, y in zip(*(table[name].to_pylist() for name in ("slide_id", "x", "y")), strict=True):
        kept.setdefault(slide_id, []).append((x, y))
    return kept


def _draw_overlay(overlay: _Overlay) -> Her2Error | None:
    """Draw a slide's thumbnail with its regions and windows; returns why not, if it cannot be read."""
    try:
        with open_slide(overlay.slide.path) as slide:
            # A level as it is, if one has about the size: to shrink a finer one would take most of the report's time.
            sides = [max(level.size.width, level.size.height) for level in slide.levels]
            thumbnail = slide.thumbnail(next((side for side in sides if _SHORTEST <= side <= _LONGEST), _LONGEST))
    except Her2Error as error:
        return error
    image = Image.fromarray(thumbnail)
    canvas = ImageDraw.Draw(image)
    font = ImageFont.load_default(_TEXT)
    scale = image.width / overlay.slide.size.width
    windows = sorted(overlay.slide.patches, key=lambda patch: (patch.box.x, patch.box.y) in overlay.kept)
    for patch in windows:
        box = patch.box
        colour = _KEPT if (box.x, box.y) in overlay.kept else _DROPPED
        corners = [box.x * scale, box.y * scale, box.right * scale, box.bottom * scale]
        canvas.rectangle(corners, outline=colour, width=2)
    for region in overlay.slide.regions:
        for part in getattr(region.polygon, "geoms", [region.polygon]):
            for ring in (part.exterior, *part.interiors):
                canvas.line([(x * scale, y * scale) for x, y in ring.coords], fill=_REGION, width=3)
        left, top = region.polygon.bounds[:2]
        corner, text = (left * scale + 8, top * scale + 8), f"{region.roi_id} {region.label or ''}".strip()
        canvas.text(corner, text, fill=_REGION, font=font, stroke_width=3, stroke_fill="white")
    image.save(overlay.path, "PNG", compress_level=1)
    return None
