"""Cut one slide into patches: read, look, decide, scale, encode, write; each window once."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from her2_ihc_40x import CLASSES, FEATURES

from ..errors import Her2Error, ImageError
from ..geometry import Box
from ..shards.files import Shard, Sides, UnitWriter
from ..slide_plan import PlannedPatch, SlidePlan
from ..slides.slide import Slide, open_slide
from ..slides.tiles import read_windows
from .dab import dab_density
from .encode import Encoding
from .hue import HueReference, hue_histogram, keeps, similarity
from .intensity import Intensity
from .tissue import tissue_fraction
from .white import White


@dataclass(frozen=True)
class HueRule:
    """What the hue filter does to a class: compare with `reference`, and drop at or below `threshold` if `drops`."""

    reference: HueReference
    threshold: float
    drops: bool


@dataclass(frozen=True)
class CutTask:
    """All that one slide's files hang on.

    Args:
        root: the folder that will be the data set's root.
        slide: what to cut.
        white: the slide's glass as scanned; None where unknown: then tissue is unknown, and nothing is dropped for it.
        intensity: what is done to the pixels.
        hue: class -> what the hue filter does; a class without an entry is not compared.
        min_tissue: the least share of tissue.
        patch_size: side of a patch in pixels.
        encoding: of the images.
        threads: that work on patches beside the one that reads.
    """

    root: Path
    slide: SlidePlan
    white: White | None
    intensity: Intensity
    hue: Mapping[str, HueRule]
    min_tissue: float
    patch_size: int
    encoding: Encoding
    threads: int = 1


@dataclass(frozen=True)
class Dropped:
    """A window that became no patch, and why, with the figure.

    Reasons: "tissue" (its share), "hue" (the similarity), "stain" (the share of tissue; too little staining for the
    normalisation that was asked for).
    """

    patch_id: str
    label: str
    reason: str
    value: float


@dataclass(frozen=True)
class KeptPatch:
    """A patch as the report counts it: where it is, its class, and its DAB density (99th percentile)."""

    box: Box
    label: str
    sides: Sides
    dab: float | None


@dataclass(frozen=True)
class CutSlide:
    """What was made of a slide."""

    slide_id: str
    shards: tuple[Shard, ...]
    kept: tuple[KeptPatch, ...]
    dropped: tuple[Dropped, ...] = field(default=())


def cut_slide(task: CutTask) -> CutSlide | Her2Error:
    """Write the files of one slide; on an error nothing of it is left, and the error is returned.

    Rows come by region, y, x. At most a few patches a thread are in memory, whatever the size of the slide.
    """
    kept: list[KeptPatch] = []
    dropped: list[Dropped] = []
    writer = UnitWriter(task.root, task.slide.slide_id)
    writer.remove()  # what an interrupted run left
    try:
        with open_slide(task.slide.path) as slide, writer:
            for made in _in_order(task, slide):
                if isinstance(made, Dropped):
                    dropped.append(made)
                else:
                    patch, row, dab = made
                    sides = Sides(task.slide.wsi_side, patch.patch_side)
                    writer.write(sides, row)
                    kept.append(KeptPatch(patch.box, patch.label, sides, dab))
    except Her2Error as error:
        writer.remove()
        return error
    return CutSlide(task.slide.slide_id, tuple(writer.shards), tuple(kept), tuple(dropped))


def read_patches(slide: Slide, plan: SlidePlan, patch_size: int) -> Iterator[tuple[PlannedPatch, NDArray[np.uint8]]]:
    """Read the windows of a slide, by region, y, x, as patches of `patch_size` pixels, as scanned."""
    start = 0
    while start < len(plan.patches):
        stop = start
        while stop < len(plan.patches) and plan.patches[stop].roi_id == plan.patches[start].roi_id:
            stop += 1
        region = {patch.box: patch for patch in plan.patches[start:stop]}
        for box, pixels in read_windows(slide, list(region)):
            yield region[box], _resampled(pixels, patch_size)
        start = stop


def read_patch(slide: Slide, patch: PlannedPatch, patch_size: int) -> NDArray[np.uint8]:
    """Read one window, as `read_patches` gives it."""
    return _resampled(slide.read_region(patch.box), patch_size)


def _resampled(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    if pixels.shape[:2] == (size, size):
        return pixels
    return np.asarray(cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


_Made = tuple[PlannedPatch, dict[str, Any], float | None] | Dropped


def _in_order(task: CutTask, slide: Slide) -> Iterator[_Made]:
    """Work on patches in threads while the next are read; results in the order of reading, a bounded number ahead."""
    patches = read_patches(slide, task.slide, task.patch_size)
    if task.threads <= 1:
        for patch, pixels in patches:
            yield _make(task, patch, pixels)
        return
    with ThreadPoolExecutor(task.threads) as pool:
        ahead: deque[Future[_Made]] = deque()
        try:
            for patch, pixels in patches:
                ahead.append(pool.submit(_make, task, patch, pixels))
                if len(ahead) > 2 * task.threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def _make(task: CutTask, patch: PlannedPatch, pixels: NDArray[np.uint8]) -> _Made:
    patch_id = task.slide.patch_id(patch.box)
    tissue = None if task.white is None else tissue_fraction(pixels, task.white, task.slide.mpp)
    if tissue is not None and tissue < task.min_tissue:
        return Dropped(patch_id, patch.label, "tissue", tissue)
    rule = task.hue.get(patch.label)
    likeness = None if rule is None else similarity(hue_histogram(pixels), rule.reference)
    if rule is not None and likeness is not None and rule.drops and not keeps(likeness, rule.threshold):
        return Dropped(patch_id, patch.label, "hue", likeness)
    try:
        scaled = task.intensity.apply(pixels)
    except ImageError:  # of the stain normalisers alone: the patch has too little stain to fit
        return Dropped(patch_id, patch.label, "stain", tissue or 0.0)
    dab = None if task.white is None else dab_density(pixels, task.white).p99
    data = task.encoding.encode(scaled)
    row: dict[str, Any] = dict.fromkeys(FEATURES)
    row.update(
        image={"bytes": data, "path": f"{patch_id}.{task.encoding.format}"},
        label=CLASSES.index(patch.label),
        label_source=patch.label_source,
        slide_id=task.slide.slide_id,
        case_id=task.slide.case_id,
        slide_score=CLASSES.index(task.slide.score),
        patch_id=patch_id,
        roi_id=patch.roi_id,
        x=patch.box.x,
        y=patch.box.y,
        mpp=task.slide.mpp,
        hue_similarity=likeness,
        tissue_fraction=tissue,
        sha256=hashlib.sha256(data).hexdigest(),
    )
    return patch, row, dab
