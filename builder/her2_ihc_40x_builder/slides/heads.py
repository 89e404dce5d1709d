"""Slides as their heads tell of them: size, scale, class and patient, before any region is known."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import Her2Error, LabelError, SlideError
from ..geometry import Box, Size
from ..parallel import Processes, run_tasks
from ..parameters import BuildInputs, BuildParameters
from ..places import shown
from .files import SlideFile, SlideListing
from .fingerprint import fingerprint
from .labels import LabelTable, SlideLabels, agree, folder_label
from .scale import Scale, decide_scale
from .sight import sight
from .slide import Slide, killed_by, open_slide

#: Names that an error tells of slides that are the same.
_NAMED = 3
#: Slides that are held open at a time while crops are placed.
HELD = 4


class HeldSlides:
    """Slides that are held open, a few at a time; a context manager. A copy in another process opens its own.

    Args:
        count: how many.
    """

    def __init__(self, count: int = HELD) -> None:
        self._count = count
        self._open: OrderedDict[Path, Slide] = OrderedDict()

    def __reduce__(self) -> tuple[type[HeldSlides], tuple[int]]:
        return HeldSlides, (self._count,)

    def __enter__(self) -> HeldSlides:
        return self

    def __exit__(self, *error: object) -> None:
        with ExitStack() as stack:
            for slide in self._open.values():
                stack.callback(slide.close)
        self._open.clear()

    def get(self, path: Path) -> Slide:
        """The slide of a file; the one that was not asked for longest is closed.

        Raises:
            SlideError: it cannot be opened.
        """
        if path not in self._open:
            self._open[path] = open_slide(path)
            if len(self._open) > self._count:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(path)
        return self._open[path]


@dataclass(frozen=True)
class SlideHead:
    """What is known of a slide before its regions.

    Args:
        slide_id: its name.
        path: the file to open.
        files: what it is in, `path` among them.
        content_key: what it is whatever its name.
        seen: what is seen of it, whatever the texts in its file; None if that tells nothing. Of this run alone.
        size: pixels of level 0.
        scale: micrometres a pixel, and whether it is resampled.
        score: its class.
        case_id: the patient; None where unknown.
        held: what opens it to place crops.
    """

    slide_id: str
    path: Path
    files: tuple[Path, ...]
    content_key: str
    seen: str | None
    size: Size
    scale: Scale
    score: str
    case_id: str | None
    held: HeldSlides = field(repr=False, compare=False)

    def read_region(self, box: Box, downsample: float = 1.0) -> NDArray[np.uint8]:
        """Level-0 pixels of `box`, each side shrunk to round(side / downsample): to place crops."""
        return self.held.get(self.path).read_shrunk(box, downsample)


@dataclass(frozen=True)
class Heads:
    """The heads of a folder's slides, in the order of their ids, and slide or file -> why it has none."""

    heads: tuple[SlideHead, ...]
    problems: Mapping[str, Her2Error]


def read_heads(
    listing: SlideListing,
    table: LabelTable,
    inputs: BuildInputs,
    parameters: BuildParameters,
    held: HeldSlides,
    workers: Processes | None = None,
) -> Heads:
    """Open each slide, look at it from afar, and decide its scale and its class.

    A slide at which the process is killed, as a damaged one may do to OpenSlide, has a problem like any other; so has
    each of several slides of the same content: of one content key, or that look the same.
    """
    # By the place in the folder: where the folder is must not reach the manifest.
    problems: dict[str, Her2Error] = {_below(error.subject, inputs.slides): error for error in listing.refused}
    tasks = [_Task(file, table.slides.get(file.slide_id, SlideLabels()), inputs, parameters) for file in listing.slides]
    found = run_tasks(_read, tasks, workers=workers, label="Slides", unit="slide", killed=_killed)
    problems |= {task.file.slide_id: one for task, one in zip(tasks, found, strict=True) if isinstance(one, Her2Error)}
    heads = [replace(one, held=held) for one in found if isinstance(one, SlideHead)]
    problems |= (twins := _twins(heads))
    return Heads(tuple(head for head in heads if head.slide_id not in twins), problems)


def _twins(heads: Sequence[SlideHead]) -> dict[str, Her2Error]:
    """Slides that are there twice: which of the two has the right name and class, nobody can tell."""
    alike: dict[str, list[str]] = {}
    for head in heads:
        # A copy in which a text was changed has another key, and looks the same.
        for mark in (head.content_key, head.seen):
            if mark is not None:
                alike.setdefault(mark, []).append(head.slide_id)
    same = {head.slide_id: {head.slide_id} for head in heads}
    for slides in alike.values():
        joined = set[str]().union(*(same[slide] for slide in slides))
        same.update((slide, joined) for slide in joined)
    problems: dict[str, Her2Error] = {}
    for one, twins in same.items():
        if others := sorted(twins - {one}):
            more = [f"{len(others) - _NAMED} more"] if len(others) > _NAMED else []
            found = f"the same content as {' and '.join([*others[:_NAMED], *more])}"
            problems[one] = SlideError(f"slide {one}", "a slide that is there once", found, "Remove one of them.")
    return problems


@dataclass(frozen=True)
class _Task:
    file: SlideFile
    labels: SlideLabels
    inputs: BuildInputs
    parameters: BuildParameters


def _read(task: _Task) -> SlideHead | Her2Error:
    try:
        return _head(task.file, task.labels, task.inputs, task.parameters)
    except Her2Error as error:
        return error
    except OSError as error:
        found, remedy = error.strerror or repr(error), "Check the disk and the file's permissions."
        return SlideError(str(task.file.path), "a readable file", found, remedy)


def _killed(task: _Task) -> SlideError:
    return killed_by(task.file.path)


def _below(subject: str, folder: Path) -> str:
    """The rest of a path as it is shown: what is shown in another way in the folder's own name is so there too."""
    return subject.removeprefix(f"{shown(folder).rstrip('/')}/")


def _head(file: SlideFile, labels: SlideLabels, inputs: BuildInputs, parameters: BuildParameters) -> SlideHead:
    folder = folder_label(file.place, inputs.slides, inputs.label_map)
    score = agree(f"slide {file.slide_id}", "label", [folder, labels.label])
    if score is None:
        raise LabelError(
            f"slide {file.slide_id}",
            "a label from its folder or a table",
            "none",
            "Put it in a folder 0, 1+, 2+ or 3+, or give --labels with slide_id, label.",
        )
    with open_slide(file.path) as slide:
        scale = decide_scale(
            file.slide_id,
            slide.mpp,
            slide.objective_power,
            override=labels.microns if labels.microns is not None else parameters.mpp,
            resample=parameters.resample,
        )
        case_id = None if labels.case_id is None else labels.case_id.value
        content_key = _content_key(slide, file.files)
        seen = sight(slide)  # last: a slide whose pixels cannot be read can be asked nothing more
        return SlideHead(
            file.slide_id, file.path, file.files, content_key, seen, slide.size, scale, score, case_id, HeldSlides()
        )


def _content_key(slide: Slide, files: tuple[Path, ...]) -> str:
    """OpenSlide's key where it hangs on all of the pixels' place and on nothing else."""
    if slide.vendor == "dicom":  # of the series' UID alone, which careless copies share
        return fingerprint(*files)
    if slide.vendor == "hamamatsu" and len(files) > 1:  # of the index too, which names its images: a copy's are others
        return fingerprint(*files[1:])
    return slide.content_key
