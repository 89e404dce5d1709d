"""Normalised correlation of a crop with a picture, with or without a mask: pure arithmetic on arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.uint8]
Mask = NDArray[np.bool_]

#: A stretch of picture with less spread than this, in grey levels, correlates with nothing: its noise would.
FLAT = 1.0


@dataclass(frozen=True, eq=False)
class Crop:
    """A cropped picture in grey, and which of its pixels count (None: all)."""

    name: str
    gray: Gray
    mask: Mask | None = None

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.gray.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.gray.shape[1])

    def fitted(self, width: int, height: int) -> Crop:
        """Return the crop resampled to a width and a height."""
        if (width, height) == (self.width, self.height):
            return self
        how = cv2.INTER_AREA if width < self.width else cv2.INTER_CUBIC
        gray = cv2.resize(self.gray, (width, height), interpolation=how).astype(np.uint8)
        if self.mask is None:
            return Crop(self.name, gray)
        covered = cv2.resize(self.mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        # Only whole pixels count: what lies under alpha 0 is anything.
        return Crop(self.name, gray, covered > 0.99)

    def resized(self, factor: float) -> Crop:
        """Return the crop `factor` times as large."""
        return self.fitted(max(1, round(self.width * factor)), max(1, round(self.height * factor)))

    def softened(self, sigma: float) -> Crop:
        """Return the crop blurred by `sigma` pixels, less what lies under alpha 0 and is blurred into the others."""
        if self.mask is None:
            return Crop(self.name, cv2.GaussianBlur(self.gray, (0, 0), sigma).astype(np.uint8))
        weight = self.mask.astype(np.float32)
        share = cv2.GaussianBlur(weight, (0, 0), sigma)
        gray = cv2.GaussianBlur(self.gray * weight, (0, 0), sigma) / np.maximum(share, 1e-6)
        inner = self.mask & (share > 0.8)
        return Crop(self.name, np.clip(gray, 0, 255).astype(np.uint8), inner if inner.any() else self.mask)

    def part(self, x: int, y: int, width: int, height: int) -> Crop:
        """Return the part of the crop whose top left is (x, y)."""
        mask = None if self.mask is None else self.mask[y : y + height, x : x + width]
        return Crop(self.name, self.gray[y : y + height, x : x + width], mask)

    def orientations(self) -> Iterator[tuple[str, Crop]]:
        """Return the seven other ways to turn or mirror the crop, each with its name."""
        for mirrored in (False, True):
            for turns in range(4):
                if not mirrored and not turns:
                    continue
                gray, mask = self.gray, self.mask
                if mirrored:
                    gray, mask = np.fliplr(gray), None if mask is None else np.fliplr(mask)
                gray = np.ascontiguousarray(np.rot90(gray, turns))
                mask = None if mask is None else np.ascontiguousarray(np.rot90(mask, turns))
                name = " and ".join(
                    ["mirrored"] * mirrored + [f"turned {90 * turns} degrees anticlockwise"] * (turns > 0)
                )
                yield name, Crop(self.name, gray, mask)

    @property
    def texture(self) -> float:
        """Standard deviation of the counted pixels, in grey levels."""
        counted = self.gray if self.mask is None else self.gray[self.mask]
        return float(counted.std()) if counted.size else 0.0


@dataclass(frozen=True, order=True)
class Peak:
    """A local maximum of correlation: its value, and the template's top left in the picture's pixels."""

    score: float
    x: int
    y: int


def peaks(picture: Gray, template: Crop, count: int) -> list[Peak]:
    """Return the best `count` places of a template in a picture, best first, at least a quarter template apart.

    Args:
        picture: grey, (height, width).
        template: at the picture's scale.
        count: how many places to return at most.

    Returns:
        Places with their correlation in [-1, 1]; none if the template is larger than the picture.
    """
    if template.height > picture.shape[0] or template.width > picture.shape[1] or template.texture == 0:
        return []
    scores = _score_map(picture, template)
    apart_x, apart_y = max(1, template.width // 4), max(1, template.height // 4)
    found = []
    for _ in range(count):
        _, score, _, (x, y) = cv2.minMaxLoc(scores)
        if score <= -1:
            break
        found.append(Peak(float(score), int(x), int(y)))
        scores[max(0, y - apart_y) : y + apart_y + 1, max(0, x - apart_x) : x + apart_x + 1] = -1
    return found


def _score_map(picture: Gray, template: Crop) -> NDArray[np.float32]:
    if template.mask is None:
        scores = cv2.matchTemplate(picture, template.gray, cv2.TM_CCOEFF_NORMED)
    else:
        image, gray = picture.astype(np.float32), template.gray.astype(np.float32)
        scores = cv2.matchTemplate(image, gray, cv2.TM_CCOEFF_NORMED, mask=template.mask.astype(np.float32))
    scores = np.asarray(scores, dtype=np.float32)
    # Flat glass divides zero by zero: what OpenCV makes of it (0, 1, inf or nan) means nothing.
    scores[~np.isfinite(scores) | (_spread(picture, template) < FLAT)] = 0
    return np.asarray(np.clip(scores, -1, 1), dtype=np.float32)


def _spread(picture: Gray, template: Crop) -> NDArray[np.float64]:
    """Return the standard deviation of the picture under every place of the template."""
    sums, squares = cv2.integral2(picture, sdepth=cv2.CV_64F, sqdepth=cv2.CV_64F)
    height, width = template.height, template.width

    def window(table: NDArray[np.float64]) -> NDArray[np.float64]:
        mean: NDArray[np.float64] = table[height:, width:] - table[:-height, width:] - table[height:, :-width]
        mean += table[:-height, :-width]
        mean /= height * width
        return mean

    mean = window(np.asarray(sums))
    variance = window(np.asarray(squares)) - mean * mean
    return np.sqrt(np.maximum(variance, 0))


@dataclass
class Correlation:
    """Pearson's correlation of two pictures, added to strip by strip so that neither need be whole in memory."""

    count: int = 0
    a: float = 0.0
    b: float = 0.0
    aa: float = 0.0
    bb: float = 0.0
    ab: float = 0.0

    def add(self, first: Gray, second: Gray, mask: Mask | None = None) -> None:
        """Add the counted pixels of two strips of one shape."""
        a = (first if mask is None else first[mask]).astype(np.float64).ravel()
        b = (second if mask is None else second[mask]).astype(np.float64).ravel()
        self.count += a.size
        self.a += float(a.sum())
        self.b += float(b.sum())
        self.aa += float(a @ a)
        self.bb += float(b @ b)
        self.ab += float(a @ b)

    @property
    def value(self) -> float:
        """The correlation in [-1, 1]; 0 where either picture is flat."""
        n = max(self.count, 1)
        norm = (self.aa - self.a * self.a / n) * (self.bb - self.b * self.b / n)
        return (self.ab - self.a * self.b / n) / norm**0.5 if norm > 0 else 0.0
