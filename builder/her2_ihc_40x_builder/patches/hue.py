"""The hue filter: the data set's authors' measure of how typical a patch is of its class, and when it may drop any.

The measure (their notebook): the histogram of the hue of OpenCV's HSV image, 180 bins over [0, 180), scaled to length 1
(`cv2.normalize`); a class's reference is the mean of such histograms; a patch is kept if `cv2.compareHist` by
correlation gives more than 0.7. All of it on pixels as scanned, before any change of intensity.

On slides with tinted glass the measure keeps blank glass and drops the strongest staining, so the decision to drop is
guarded here, class by class.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import Her2Error, OptionError
from ..geometry import Box
from ..windows.order import draw
from .pixels import Rgb, check_rgb

HueFilter = Literal["drop", "report", "authors", "off"]
#: float32 of shape (180,).
Histogram = NDArray[np.float32]

BINS = 180
THRESHOLD = 0.7
#: How many patches a class's reference is made of, as the authors did.
REFERENCES = 20
#: `drop` needs the references to come from this many slides, and the class to lose less than this share.
LEAST_SLIDES = 3
LARGEST_LOSS = 0.2


@dataclass(frozen=True)
class Candidate:
    """A patch that could serve as a reference.

    Attributes:
        patch_id: its id.
        slide_key: the content key of its slide.
        window: where it lies on the slide, in level-0 pixels.
    """

    patch_id: str
    slide_key: str
    window: Box


@dataclass(frozen=True)
class HueReference:
    """What the patches of a class are compared with.

    Attributes:
        label: the class.
        patch_ids: the patches that it is the mean of, in the order in which they were taken.
        histogram: their mean, 180 numbers, exactly as compared (float32).
        split: the split it serves, for `authors`, who had one for each; else None: it serves all patches.
    """

    label: str
    patch_ids: tuple[str, ...]
    histogram: tuple[float, ...]
    split: str | None = None

    @classmethod
    def of(
        cls,
        label: str,
        patch_ids: Sequence[str],
        histograms: Sequence[Histogram | None],
        split: str | None = None,
    ) -> HueReference:
        """Take the mean of `histograms`, one for each patch id; None, an unreadable image, adds 0 and counts.

        Raises:
            ValueError: not one histogram for each id, or none at all.
        """
        if len(patch_ids) != len(histograms) or not histograms:
            raise ValueError(f"{len(histograms)} histograms for {len(patch_ids)} patches")
        total = np.zeros(BINS, np.float32)
        for histogram in histograms:
            if histogram is not None:
                total += histogram
        mean = total / np.float32(len(histograms))
        return cls(label, tuple(patch_ids), tuple(mean.tolist()), split)

    @property
    def key(self) -> str:
        """The class, or "split/class" where each split has its own: the reference's name in the manifest."""
        return self.label if self.split is None else f"{self.split}/{self.label}"


@dataclass(frozen=True)
class HueVerdict:
    """Whether the filter may drop patches of a class, and why or why not, in words."""

    label: str
    drops: bool
    reason: str


def hue_histogram(patch: Rgb) -> Histogram:
    """Return the hue histogram of a patch, length 1: float32, (180,).

    Args:
        patch: (height, width, 3), as scanned.

    Raises:
        ImageError: the patch is no RGB image.
    """
    check_rgb(patch, "patch")
    hsv = cv2.cvtColor(patch, cv2.COLOR_RGB2HSV)
    counts = cv2.calcHist([hsv], [0], None, [BINS], [0, BINS])
    return np.asarray(cv2.normalize(counts, counts), np.float32).ravel()


def similarity(histogram: Histogram, reference: HueReference) -> float:
    """Return the correlation of a patch's histogram with its class's, -1 to 1.

    As in OpenCV it is 1 if either is flat, so that a reference made of unreadable images only keeps every patch.
    """
    return float(cv2.compareHist(histogram, np.array(reference.histogram, np.float32), cv2.HISTCMP_CORREL))


def choose_references(candidates: Iterable[Candidate], seed: int, count: int = REFERENCES) -> tuple[Candidate, ...]:
    """Choose up to `count` reference patches of one class, one from each slide in turn.

    Slides, and the patches of a slide, come in the order of a hash of the seed and their content, so that neither names
    nor the order of `candidates` matter.

    Args:
        candidates: the class's patches on the training side.
        seed: the build's seed.
        count: how many to take at most.
    """
    by_slide: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        by_slide.setdefault(candidate.slide_key, []).append(candidate)
    slides = [
        # One window may serve two regions: the id settles the order.
        sorted(by_slide[key], key=lambda c: (draw(seed, "hue", key, c.window), c.patch_id))
        for key in sorted(by_slide, key=lambda key: (draw(seed, "hue", key), key))
    ]
    turns = [candidate for turn in zip_longest(*slides) for candidate in turn if candidate is not None]
    return tuple(turns[:count])


def authors_references(patch_ids: Sequence[str], count: int = REFERENCES) -> tuple[str, ...]:
    """Choose as the authors did: the first min(20, number) patches of a class in one split, in the order given."""
    return tuple(patch_ids[:count])


def decide(
    mode: HueFilter,
    label: str,
    references: Sequence[Candidate],
    similarities: Sequence[float],
    threshold: float = THRESHOLD,
) -> HueVerdict:
    """Decide whether the filter may drop patches of a class.

    `drop` does only if the class has 20 reference patches or more, from 3 training slides or more, and under 20 % of
    its patches would go. `authors` always does, `report` and `off` never.

    Args:
        mode: the option `--hue-filter`.
        label: the class.
        references: what its reference was made of.
        similarities: of all the class's patches, or of an unbiased sample.
        threshold: a patch is kept above it.

    Raises:
        Her2Error: an unknown mode.
    """
    if mode not in get_args(HueFilter):
        raise OptionError("--hue-filter", " or ".join(get_args(HueFilter)), str(mode), "Choose one of these.")
    lost = sum(not keeps(value, threshold) for value in similarities)
    loss = f"; {lost} of {len(similarities)} patches are at or below {threshold:g}" if similarities else ""
    slides = len({reference.slide_key for reference in references})
    if mode == "off":
        return HueVerdict(label, False, "the hue filter is off")
    if mode == "report":
        return HueVerdict(label, False, f"reported only{loss}")
    if mode == "authors":
        return HueVerdict(label, True, f"as the authors ran it{loss}")
    if len(references) < REFERENCES:
        return HueVerdict(label, False, f"kept all: {len(references)} reference patches, under {REFERENCES}{loss}")
    if slides < LEAST_SLIDES:
        return HueVerdict(label, False, f"kept all: references from {slides} slides, under {LEAST_SLIDES}{loss}")
    if lost >= LARGEST_LOSS * len(similarities) and lost > 0:
        return HueVerdict(label, False, f"kept all{loss}, which is {LARGEST_LOSS:.0%} of the class or more")
    return HueVerdict(label, True, f"drops{loss}")


def keeps(value: float, threshold: float = THRESHOLD) -> bool:
    """Whether a patch of this similarity is kept: it must be above the threshold, not at it."""
    return value > threshold


def references_to_json(references: Iterable[HueReference]) -> dict[str, dict[str, Any]]:
    """Return references as the manifest's `hue_references`: key -> {patch_ids, histogram}, sorted by key."""
    return {
        reference.key: {"patch_ids": list(reference.patch_ids), "histogram": list(reference.histogram)}
        for reference in sorted(references, key=lambda reference: reference.key)
    }


def references_from_json(document: Mapping[str, Any], subject: str = "hue_references") -> tuple[HueReference, ...]:
    """Read what `references_to_json` wrote, without loss.

    Raises:
        Her2Error: another shape: ids that are no texts, or not 180 finite numbers.
    """
    return tuple(_reference_from_json(key, entry, f"{subject}: {key}") for key, entry in document.items())


def _reference_from_json(key: str, entry: Any, subject: str) -> HueReference:
    split, _, label = key.rpartition("/")
    try:
        patch_ids, histogram = entry["patch_ids"], tuple(float(value) for value in entry["histogram"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise Her2Error(subject, "patch_ids and histogram", repr(error), "Build again without it.") from error
    if not isinstance(patch_ids, list) or not all(isinstance(patch_id, str) for patch_id in patch_ids):
        raise Her2Error(subject, "a list of patch ids", "something else", "Build again without it.")
    if len(histogram) != BINS or not all(map(math.isfinite, histogram)):
        raise Her2Error(subject, f"{BINS} finite numbers", f"{len(histogram)}", "Build again without it.")
    return HueReference(label, tuple(patch_ids), histogram, split or None)
