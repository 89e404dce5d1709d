from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from her2_ihc_40x_builder.geometry import Box
from her2_ihc_40x_builder.windows.order import draw


def test_the_number_is_fixed_for_good() -> None:
    # A change here moves patches between the splits of every build.
    assert draw(0, "wsi_split", "abc") == 0.36296895332751633
    assert draw(1, "patch_split", "abc", Box(y=2, x=1, width=3, height=4)) == 0.05669767499785472


@given(st.integers(), st.text(), st.text())
def test_it_lies_in_range_and_parts_do_not_run_together(seed: int, left: str, right: str) -> None:
    assert 0 <= draw(seed, left, right) < 1
    if right:
        assert draw(seed, left, right) != draw(seed, left + right)
        assert draw(seed, left, right) != draw(seed, left + right, "")


def test_it_is_evenly_spread() -> None:
    numbers = np.sort([draw(seed, "a", str(key)) for seed in range(20) for key in range(500)])
    distance = np.abs(numbers - np.arange(10000) / 10000).max()
    assert distance < 1.63 / 100  # Kolmogorov-Smirnov, 1 %
