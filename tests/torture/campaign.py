"""A campaign tries many points that are drawn from a seed: a few of them by pytest alone, all in `make torture`.

    @pytest.mark.parametrize("point", points(short=3, long=50))
    def test_something_holds(point: int) -> None:
        at = rng("something", point).randrange(100)

So each point is a test of its own, which can be run again alone; a failure says how.
"""

from __future__ import annotations

import math
import os
import random

#: What all points are drawn from: any text.
SEED = os.environ.get("TORTURE_SEED", "0")
#: The share of the long form that is run, 1 for all of it; None for the short form.
SHARE = float(os.environ["TORTURE"]) if os.environ.get("TORTURE") else None


def points(short: int, long: int) -> range:
    """The points of a campaign: `short` of them, or as many of `long` as are asked for."""
    return range(short if SHARE is None else max(1, math.ceil(long * SHARE)))


def rng(campaign: str, point: int) -> random.Random:
    """The random numbers of a point, which hang on the seed, the campaign's name and the point alone."""
    return random.Random(f"{SEED}/{campaign}/{point}")
