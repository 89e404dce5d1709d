"""The white point of a slide: the colour of its bare glass, which every optical density is measured against."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .pixels import Rgb, White, check_rgb

__all__ = ["White", "WhiteEstimate", "estimate_white"]

#: Blocks have this side in level-0 pixels (16 micrometres at 40x): wide enough that tissue shows its texture.
BLOCK = 64
#: Below this downsample the scanner's own noise hides that glass is smooth, so the overview is shrunk to it.
FINEST = 4
#: Above this downsample faint tissue is smoothed to the look of glass.
COARSEST = 16
#: Largest standard deviation in a block of glass. On real slides at downsample 4 to 16 nine in ten blocks of glass are
#: below 2, and tissue without lumens is nearly always above 4.
SMOOTH = 2.5
#: Glass is brighter than this in every channel; unscanned black and pen are not.
DARKEST = 160
#: The slide is looked at in this many places along each axis; a place speaks if it has this many blocks of glass.
PLACES = 4
BLOCKS_A_PLACE = 4
#: How far a place may be from the white point, in levels, and how many of the places must be as near as that.
TOLERANCE = 3.0
AGREEING = 0.75
#: The least share of the scanned area that must be glass.
LEAST_SHARE = 0.01


@dataclass(frozen=True)
class WhiteEstimate:
    """What was found of a slide's white point.

    Attributes:
        white: the white point, or None where none can be trusted.
        reason: in words, what it rests on, or why there is none.
        share: the share of the scanned area that is smooth and bright, 0 to 1.
    """

    white: White | None
    reason: str
    share: float


def estimate_white(overview: Rgb, regions: NDArray[np.bool_], downsample: float) -> WhiteEstimate:
    """Find the colour of a slide's bare glass from an overview of the whole slide.

    Glass is what is bright and smooth, lies outside every region, and is not the exact 255 that scanners pad with. It
    is believed only if it is at least 1 % of the scanned area, lies in two or more of 4 x 4 places, and at least three
    quarters of these are within 3 levels of the median of all (so that one badly stitched corner does not veto the
    rest). The brightest mode is no substitute: in a crop that is tissue only, that is the palest tissue.

    Args:
        overview: the whole slide, (height, width, 3), at `downsample`.
        regions: (height, width), True inside the experts' regions.
        downsample: level-0 pixels (at 40x) along one pixel of the overview, 4 to 16; a finer overview is shrunk, and
            from a coarser one nothing is found.

    Raises:
        ImageError: the overview is no RGB image.
        ValueError: the mask has another shape, or `downsample` is under 1.
    """
    check_rgb(overview, "overview")
    if regions.shape != overview.shape[:2]:
        raise ValueError(f"a mask of {regions.shape} for an overview of {overview.shape[:2]}")
    if not downsample >= 1:
        raise ValueError(f"downsample {downsample}")
    if round(downsample) > COARSEST:  # an overview has whole pixels: what is asked to be 16 may be 16.01
        return WhiteEstimate(None, f"the overview is too coarse to tell faint tissue from glass: 1/{downsample:g}", 0.0)
    if downsample < FINEST:
        factor = round(FINEST / downsample)
        overview, regions = _shrink(overview, regions, factor)
        downsample *= factor

    side = max(8, round(BLOCK / downsample))
    if min(overview.shape[:2]) < side * PLACES:
        return WhiteEstimate(None, "the slide is too small to compare places", 0.0)
    means, deviations, scanned = (np.stack(rows) for rows in zip(*_block_rows(overview, regions, side), strict=True))
    glass = scanned & (deviations < SMOOTH) & (means.min(axis=2) > DARKEST)
    return _agree(means, glass, scanned)


def _shrink(overview: Rgb, regions: NDArray[np.bool_], factor: int) -> tuple[Rgb, NDArray[np.bool_]]:
    height, width = (max(1, extent // factor) for extent in overview.shape[:2])
    small = cv2.resize(overview, (width, height), interpolation=cv2.INTER_AREA)
    # The mask's mean is above 0 wherever a region touches.
    inside = cv2.resize(regions.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) > 0
    return np.asarray(small, np.uint8), np.asarray(inside)


def _block_rows(
    overview: Rgb, regions: NDArray[np.bool_], side: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]]:
    """For each row of blocks: mean (n, 3), largest deviation (n,), and whether it is scanned and outside regions."""
    across = overview.shape[1] // side
    count = side * side

    def sums(strip: NDArray[np.integer]) -> NDArray[np.int64]:
        # Down the columns first: these are long sums of neighbours in memory, several times faster than block by block.
        columns = strip.sum(axis=0, dtype=np.uint32).reshape(across, side, 3)
        return np.asarray(columns.sum(axis=1, dtype=np.int64))

    # Row by row: a wider copy of a large overview would be many times its memory.
    for top in range(0, overview.shape[0] - side + 1, side):
        strip = overview[top : top + side, : across * side].reshape(side, -1)
        outside = ~regions[top : top + side, : across * side].reshape(side, across, side).any(axis=(0, 2))
        total = sums(strip)
        padding = (total == 255 * count).all(axis=1)
        # In whole numbers, so that nothing is lost in the difference.
        variance = count * sums(np.square(strip, dtype=np.uint16)) - total**2
        yield total / count, np.sqrt(variance.max(axis=1)) / count, outside & ~padding


def _agree(means: NDArray[np.float64], glass: NDArray[np.bool_], scanned: NDArray[np.bool_]) -> WhiteEstimate:
    share = float(glass.sum() / max(1, scanned.sum()))
    if share < LEAST_SHARE:
        return WhiteEstimate(None, f"smooth bright glass is {share:.1%} of the slide outside its regions", share)

    rows = np.array_split(np.arange(means.shape[0]), PLACES)
    columns = np.array_split(np.arange(means.shape[1]), PLACES)
    places = [means[np.ix_(r, c)][glass[np.ix_(r, c)]] for r in rows for c in columns]
    places = [place for place in places if len(place) >= BLOCKS_A_PLACE]
    if len(places) < 2:
        return WhiteEstimate(None, "glass was seen in one place only, which nothing confirms", share)

    centre = np.median(means[glass], axis=0)
    near = sum(bool(np.abs(np.median(place, axis=0) - centre).max() <= TOLERANCE) for place in places)
    if near < AGREEING * len(places):
        return WhiteEstimate(None, f"only {near} of {len(places)} places agree within {TOLERANCE:g} levels", share)
    red, green, blue = (round(float(level), 2) for level in centre)
    reason = f"glass over {share:.0%} of the slide, {near} of {len(places)} places within {TOLERANCE:g} levels"
    return WhiteEstimate(White(red, green, blue), reason, share)
