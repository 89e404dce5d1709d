"""Progress in words: how many, how fast, how long the rest takes."""

from __future__ import annotations

from her2_ihc_40x_builder.progress import Progress


def test_it_tells_pace_and_what_is_left() -> None:
    clock = iter([0.0, 2.0, 4.0, 10.0])
    progress = Progress(3, 4000, "windows", lambda: next(clock))
    assert progress.after(1) == "1/3, 0.5 windows/s, 2:13:18 left"
    assert progress.after(3) == "2/3, 1.0 windows/s, 1:06:36 left"
    assert progress.after(3996) == "3/3, 400.0 windows/s, 0:00:00 left"


def test_nothing_done_in_no_time_is_no_error() -> None:
    progress = Progress(2, 0, "windows", lambda: 5.0)
    assert progress.after(0) == "1/2, 0.0 windows/s, 0:00:00 left"
