"""How far a long piece of work is, in words, for logs that have no bar."""

from __future__ import annotations

import time
from collections.abc import Callable


class Progress:
    """Counts what is done of a known whole.

    Args:
        tasks: how many pieces there are.
        weight: what they weigh together, in `unit`.
        unit: what is counted, such as "windows".
        clock: seconds.
    """

    def __init__(self, tasks: int, weight: int, unit: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._tasks, self._weight, self._unit, self._clock = tasks, weight, unit, clock
        self._start = clock()
        self._done_tasks = self._done_weight = 0

    def after(self, weight: int) -> str:
        """One more piece is done: which it is, how fast that was, and how long the rest will take."""
        self._done_tasks += 1
        self._done_weight += weight
        seconds = max(self._clock() - self._start, 1e-9)
        pace = self._done_weight / seconds
        left = (self._weight - self._done_weight) / pace if pace else 0.0
        return f"{self._done_tasks}/{self._tasks}, {pace:.1f} {self._unit}/s, {_duration(left)} left"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
