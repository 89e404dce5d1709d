"""Pictures of regions are read whole, or refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from her2_ihc_40x import IMAGE_ERRORS
from her2_ihc_40x_builder.errors import RegionError
from her2_ihc_40x_builder.regions.images import values_of_mask


def decoded(data: bytes) -> bytes | None:
    try:
        return Image.open(io.BytesIO(data)).tobytes()
    except IMAGE_ERRORS:
        return None


def test_a_flipped_byte_that_decodes_to_another_region_is_refused(tmp_path: Path) -> None:
    mask = np.zeros((480, 480), np.uint8)
    mask[100:370, 100:370] = 255
    path = tmp_path / "mask.png"
    Image.fromarray(mask).save(path)
    np.testing.assert_array_equal(values_of_mask(path), mask)
    whole = path.read_bytes()
    flipped = [bytes([*whole[:at], whole[at] ^ 0x40, *whole[at + 1 :]]) for at in range(41, len(whole) - 16)]
    others = [data for data in flipped if decoded(data) not in (None, mask.tobytes())]
    assert others  # Pillow takes them: it leaves the end of the pixels unread, and the checksum behind it
    for data in others:
        path.write_bytes(data)
        with pytest.raises(RegionError, match="a whole PNG"):
            values_of_mask(path)
