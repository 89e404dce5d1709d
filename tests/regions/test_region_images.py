"""Pictures of regions are read whole, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from damage import decoding_otherwise
from her2_ihc_40x_builder.errors import RegionError
from her2_ihc_40x_builder.regions.images import values_of_mask


def test_a_flipped_byte_that_decodes_to_another_region_is_refused(tmp_path: Path) -> None:
    mask = np.zeros((480, 480), np.uint8)
    mask[100:370, 100:370] = 255
    path = tmp_path / "mask.png"
    Image.fromarray(mask).save(path)
    np.testing.assert_array_equal(values_of_mask(path), mask)
    others = decoding_otherwise(path.read_bytes())
    assert others
    for data in others:
        path.write_bytes(data)
        with pytest.raises(RegionError, match="a whole PNG"):
            values_of_mask(path)
