"""The contact sheet: a row a class."""

from PIL import Image

from her2_ihc_40x_builder.card.contact_sheet import draw_contact_sheet


def test_every_patch_has_its_place() -> None:
    colours = {"0": [(0, 0, 255), (0, 0, 200)], "3+": [(120, 60, 20)]}
    rows = {label: [Image.new("RGB", (64, 64), colour) for colour in row] for label, row in colours.items()}
    sheet = draw_contact_sheet(rows, tile=32)
    found = {colour for _, colour in sheet.getcolors(10_000) or []}
    assert {colour for row in colours.values() for colour in row} <= found
    assert sheet.getpixel((48 + 8 + 16, 8 + 16)) == (0, 0, 255)
    assert sheet.getpixel((48 + 8 + 40 + 16, 8 + 16)) == (0, 0, 200)
    assert sheet.getpixel((48 + 8 + 16, 8 + 40 + 16)) == (120, 60, 20)
