from __future__ import annotations

import numpy as np
import pytest

from her2_ihc_40x_builder.errors import ImageError
from her2_ihc_40x_builder.patches.pixels import check_rgb


def test_rgb_is_accepted() -> None:
    check_rgb(np.zeros((1, 1, 3), np.uint8))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.uint16),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_anything_else_is_refused_and_named(image: np.ndarray) -> None:
    with pytest.raises(ImageError, match="crop 7: expected uint8 pixels"):
        check_rgb(image, "crop 7")
