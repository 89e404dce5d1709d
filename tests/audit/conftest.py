"""A data set with near copies across its sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from her2_ihc_40x_builder.demo.drawing import draw_patch
from planted import COPIES, TEST, TRAIN, Spot, png, row, write_rows


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Windows on the training side, a copy of each kind on the test side, and windows that are no copy."""
    field = draw_patch("2+", 1, 1536)
    spots = [Spot(field, x, y, 256) for y in range(0, 1536, 512) for x in range(0, 1536, 512)]
    rng = np.random.default_rng(0)
    rows = [(TRAIN, row(f"{at}", f"train-{at}", png(spot.pixels))) for at, spot in enumerate(spots)]
    rows += [
        (TEST, row(f"{kind}", f"test-{kind}", png(alter(spots[at], rng))))
        for at, (kind, alter) in enumerate(COPIES.items())
    ]
    others = [draw_patch("2+", seed, 256) for seed in range(2, 7)]
    rows += [(TEST, row(f"other-{at}", f"other-{at}", png(pixels))) for at, pixels in enumerate(others)]
    return write_rows(tmp_path_factory.mktemp("near") / "near", rows)
