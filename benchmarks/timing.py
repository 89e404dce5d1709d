"""Time several ways of doing one thing in turns, and show ratios as a table."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

ROUNDS = 3


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        what: ours.
        against: theirs.
        ours: measured, with a unit.
        theirs: measured, with a unit.
        ratio: of the two, as the goal counts it.
        goal: the limit; None where there is none.
        at_least: whether the ratio has to be at least the goal, or at most.
    """

    what: str
    against: str
    ours: str
    theirs: str
    ratio: float
    goal: float | None = None
    at_least: bool = True

    def cells(self) -> tuple[str, ...]:
        """The line's cells."""
        if self.goal is None:
            goal, reached = "", ""
        else:
            goal = f"{'≥' if self.at_least else '≤'} {_short(self.goal)}"
            reached = "yes" if (self.ratio >= self.goal if self.at_least else self.ratio <= self.goal) else "**no**"
        return self.what, self.against, self.ours, self.theirs, _short(self.ratio), goal, reached


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    head = ("ours", "against", "ours is", "theirs is", "ratio", "goal", "reached")
    lines = [head, ("---", "---", "---:", "---:", "---:", "---:", "---"), *(row.cells() for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def best_times(jobs: Mapping[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Seconds of the best of several runs of each job.

    The jobs take turns, so that a busy minute of the machine meets all of them; every other round goes backwards.
    """
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(rounds):
        for name in list(jobs)[:: 1 if turn % 2 == 0 else -1]:
            start = time.perf_counter()
            jobs[name]()
            times[name].append(time.perf_counter() - start)
    return {name: min(seconds) for name, seconds in times.items()}


def _short(value: float) -> str:
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"
