from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from her2_ihc_40x_builder.geometry import Box
from her2_ihc_40x_builder.windows.overlap import crossing, crossing_pairs, first_joined, leaking

boxes = st.builds(Box, y=st.integers(0, 60), x=st.integers(0, 60), width=st.integers(1, 20), height=st.integers(1, 20))


@given(st.lists(boxes, max_size=25), st.lists(boxes, max_size=40))
def test_every_pair_once(ones: list[Box], others: list[Box]) -> None:
    expected = {(i, j) for i, one in enumerate(ones) for j, other in enumerate(others) if one.overlaps(other)}
    blocks = [zip(first.tolist(), second.tolist(), strict=True) for first, second in crossing_pairs(ones, others)]
    pairs = [pair for block in blocks for pair in block]
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == expected
    first, second = crossing(ones, others)
    assert sorted(first) == sorted({one for one, _ in expected})
    assert set(zip(first.tolist(), second.tolist(), strict=True)) <= expected


def test_windows_in_one_place_are_known_without_their_pairs() -> None:
    same = [Box(0, 0, 10, 10)] * 10_000  # 100 million pairs
    assert first_joined(same) == same
    assert len(crossing(same, same)[0]) == len(same)
    block, _ = next(crossing_pairs(same, same))
    assert len(block) <= 16 * len(same)
    assert leaking(same, ["train"] * 9_999 + ["test"]) == (same[0], same[0])


def test_grids_that_lie_over_each_other_are_joined() -> None:
    grids = [
        Box(10 * n + 100 * y, 10 * n + 100 * x, 110, 110) for n in range(200) for y in range(10) for x in range(10)
    ]
    assert first_joined([*grids, Box(9000, 0, 110, 110)]) == [Box(0, 0, 110, 110)] * len(grids) + [
        Box(9000, 0, 110, 110)
    ]


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
