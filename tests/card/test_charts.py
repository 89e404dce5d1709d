"""Charts: what is drawn is as long, as high or as far as its value."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from her2_ihc_40x_builder.card.charts import Bar, _Scale, draw_bars, draw_columns, draw_strips

RED, BLUE = (200, 0, 0), (0, 0, 200)


def pixels(image: Image.Image) -> Counter[tuple[int, int, int]]:
    return Counter({colour: count for count, colour in image.getcolors(1 << 20) or []})  # type: ignore[misc]


def test_bars_are_as_long_as_their_values() -> None:
    found = pixels(draw_bars({"one": [Bar("a", 300, RED), Bar("b", 100, BLUE), Bar("c", 0, (1, 2, 3))]}, "things"))
    assert found[RED] / found[BLUE] == pytest.approx(3, rel=0.02)
    assert found[1, 2, 3] == 0


def test_columns_are_as_high_as_their_values() -> None:
    found = pixels(draw_columns({"a": [30, 10], "b": [80]}, {"a": RED, "b": BLUE}, "things"))
    assert found[BLUE] / found[RED] == pytest.approx(2, rel=0.02)


def test_dots_lie_where_their_values_are() -> None:
    pixels = np.asarray(draw_strips({"a": [0.0], "b": [1.0]}, {"a": RED, "b": BLUE}, "density"))
    left, right = (np.nonzero((pixels == colour).all(axis=2))[1].mean() for colour in (RED, BLUE))
    assert left == pytest.approx(110, abs=2)
    assert right == pytest.approx(940, abs=2)


def test_the_line_is_the_median_also_of_an_even_number_of_values() -> None:
    drawn = np.asarray(draw_strips({"a": [0.0, 1.0]}, {"a": RED}, "density"))
    ink = np.nonzero((drawn[70:110] < 60).all(axis=(0, 2)))[0]
    assert ink.mean() == pytest.approx((110 + 940) / 2, abs=2)


@pytest.mark.parametrize("picture", [draw_bars({}, "x"), draw_columns({}, {}, "x"), draw_strips({}, {}, "x")])
def test_nothing_is_an_empty_chart(picture: Image.Image) -> None:
    assert picture.width == 1000


@given(st.floats(-1e6, 0), st.floats(0, 1e9))
def test_ticks_hold_the_values_between_them(low: float, high: float) -> None:
    scale = _Scale(low, high, 0, 100)
    ticks = scale.ticks()
    assert 2 <= len(ticks) <= 8
    assert ticks == sorted(set(ticks))
    nearest = 1e-9 + 1e-6 * (high - low)
    assert ticks[0] <= low + nearest
    assert ticks[-1] >= high - nearest
    assert -1e-6 <= scale(low) <= scale(high) <= 100 + 1e-3
