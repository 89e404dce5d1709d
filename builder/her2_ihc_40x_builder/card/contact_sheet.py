"""A picture of a data set: a row a class, a few patches of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

_MARGIN = 8
_CAPTION = 48


def draw_contact_sheet(rows: Mapping[str, Sequence[Image.Image]], tile: int = 192) -> Image.Image:
    """Draw patches in rows under their labels.

    Args:
        rows: label -> patches, of any size; shown as squares.
        tile: the side of a square in pixels.

    Returns:
        An RGB image with a white ground.
    """
    columns = max((len(images) for images in rows.values()), default=0)
    width = _CAPTION + columns * (tile + _MARGIN) + _MARGIN
    sheet = Image.new("RGB", (width, len(rows) * (tile + _MARGIN) + _MARGIN), "white")
    canvas = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(24)
    for row, (label, images) in enumerate(rows.items()):
        top = _MARGIN + row * (tile + _MARGIN)
        canvas.text((_MARGIN, top + tile // 2 - 12), label, fill="black", font=font)
        for column, image in enumerate(images):
            small = image.convert("RGB").resize((tile, tile), Image.Resampling.LANCZOS)
            sheet.paste(small, (_CAPTION + _MARGIN + column * (tile + _MARGIN), top))
    return sheet
