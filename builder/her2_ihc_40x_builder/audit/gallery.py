"""The worst pairs of an audit, side by side in a page: to be looked at, never published."""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from ..hub.diff import Edition
from ..parallel import default_workers, run_tasks
from ..shards.made import PAGE, Made, made_page
from ..shards.staging import check_beside, staged_folder, write_text
from . import Audit
from .findings import Finding, Pair
from .prints import read_image

_TITLE = "<title>her2-ihc-40x audit report</title>"
_TILE = 384
_GAP = 8


def check_gallery_place(folder: Path, data: Path | None) -> None:
    """Refuse a place for the pictures before the work begins.

    Args:
        folder: where they shall be.
        data: the data set, if it is on this disk.

    Raises:
        OutputError: it is in the data set, which is published, or taken by something else.
    """
    check_beside(folder, data, made_in=_made_gallery)


def write_gallery(audit: Audit, folder: Path) -> int:
    """Write a page with a picture of each of the worst pairs; without any only where an earlier page would mislead.

    Returns:
        The number of pairs shown.

    Raises:
        OutputError: the folder is taken by something else, or cannot be written.
    """
    shown = [(finding, pair) for finding in audit.findings if finding.count for pair in finding.pairs]
    if not shown and not _made_gallery(folder):
        return 0
    with staged_folder(folder, overwrite=True, made_in=_made_gallery) as tree:
        tasks = [(audit.edition, pair, tree / f"{at:03d}.png") for at, (_, pair) in enumerate(shown)]
        run_tasks(_draw, tasks, workers=default_workers(), label="Pictures", unit="pair", threads=True)
        write_text(tree / PAGE, _page(audit, shown))
    return len(shown)


def _made_gallery(folder: Path) -> Made | None:
    return made_page(folder, _TITLE)


def _draw(task: tuple[Edition, Pair, Path]) -> None:
    edition, pair, path = task
    sheet = Image.new("RGB", (2 * _TILE + _GAP, _TILE), "white")
    for at, patch in enumerate((pair.left, pair.right)):
        pixels = read_image(edition, patch.place)
        if pixels is not None:
            image = Image.fromarray(pixels)
            image.thumbnail((_TILE, _TILE), Image.Resampling.LANCZOS)
            sheet.paste(image, (at * (_TILE + _GAP), 0))
    sheet.save(path, "PNG", compress_level=1)


def _page(audit: Audit, shown: list[tuple[Finding, Pair]]) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{_TITLE}'
        "<style>body{font-family:sans-serif;margin:2em}img{max-width:100%;border:1px solid #999}</style></head><body>"
        f"<h1>Audit of {html.escape(audit.edition.name)}</h1>"
        "<p>The worst pairs of each finding. Not to be published.</p>"
        + ("".join(_sections(shown)) or "<p>There are none.</p>")
        + "</body></html>\n"
    )


def _sections(shown: list[tuple[Finding, Pair]]) -> Iterator[str]:
    before = None
    for at, (finding, pair) in enumerate(shown):
        if finding is not before:
            count = f"{finding.count:,} of {finding.of:,} {finding.unit}"
            heading = f"{finding.config}, {finding.check}: {count}"
            yield f"<h2>{html.escape(heading)}</h2><p>{html.escape(finding.promise)}</p>"
            before = finding
        names = [f"{patch.patch_id} ({patch.label})" for patch in (pair.left, pair.right)]
        yield f"<p>{html.escape(' | '.join([*names, pair.caption]))}</p>"
        yield f'<img src="{at:03d}.png" alt="two patches">'
