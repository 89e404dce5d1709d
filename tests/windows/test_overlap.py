from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from her2_ihc_40x_builder.geometry import Box
from her2_ihc_40x_builder.windows.overlap import first_joined, leaking, overlapping_pairs

boxes = st.builds(Box, y=st.integers(0, 60), x=st.integers(0, 60), width=st.integers(1, 20), height=st.integers(1, 20))


@given(st.lists(boxes, max_size=25))
def test_every_pair_once(windows: list[Box]) -> None:
    pairs = [frozenset(pair) for pair in overlapping_pairs(windows)]
    expected = {frozenset((i, j)) for i in range(len(windows)) for j in range(i) if windows[i].overlaps(windows[j])}
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == expected


@given(st.lists(boxes, max_size=25))
def test_joined_windows_have_one_first_and_separate_ones_their_own(windows: list[Box]) -> None:
    first = first_joined(windows)
    # Grow each window's group until nothing more touches it: slow and plain.
    for index, window in enumerate(windows):
        group = {index}
        while True:
            more = {i for i, w in enumerate(windows) if any(w.overlaps(windows[j]) for j in group)} | group
            if more == group:
                break
            group = more
        assert first[index] == min(windows[i] for i in group), window


def test_neighbours_that_touch_share_no_pixel() -> None:
    grid = [Box(y=y, x=x, width=10, height=10) for y in (0, 10) for x in (0, 10)]
    assert first_joined(grid) == grid


def test_a_leak_is_shown() -> None:
    windows = [Box(0, 0, 10, 10), Box(0, 9, 10, 10), Box(50, 50, 10, 10)]
    assert leaking(windows, ["train", "train", "test"]) is None
    assert leaking(windows, ["train", "test", "test"]) == (windows[0], windows[1])
