"""PNG crops of slides, `<class>/<slide>_<id>.png`: placed where their pixels are, with the alpha as the outline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import shapely
from shapely.affinity import scale as scaled
from shapely.affinity import translate

from ..errors import RegionError
from ..geometry import Size
from ..parallel import Processes, run_tasks
from ..placing.fit import UnfitCropError
from ..placing.locate import locate
from ..placing.search import Place, SlideLike
from ..placing.sighting import Request
from . import images
from .classes import score_of
from .model import Area, Drawn, Reading
from .names import shown
from .polygons import of_mask

#: Folders that say what is in them rather than of which class it is.
_PLAIN_FOLDERS = frozenset({"roi", "rois", "crops", "masks", "mask", "regions", "annotations", "png"})


@dataclass(frozen=True)
class CropFile:
    """A crop, and what its path says of it."""

    path: Path
    slide_id: str
    roi_id: str
    class_name: str | None


def folder_class(path: Path, root: Path) -> str | None:
    """Return the class that a picture's folder gives it: any name below the root that is no plain one, or a score."""
    name = path.parent.name
    if path.parent == root or path == root or name.casefold() in _PLAIN_FOLDERS:
        return name if score_of(name) else None
    return name


def place(
    crops: Sequence[CropFile], slides: Mapping[str, SlideLike], reading: Reading, workers: Processes | None = None
) -> None:
    """Add the regions of crops to a reading, each where it lies in its slide; a crop without a place stops its slide.

    Args:
        crops: crops named after slides of the build.
        slides: every slide of the build.
        reading: shapes read so far, which tell the scale of crops of the same regions.
        workers: that search; None searches here.
    """
    drawn = {(d.slide_id, d.roi_id): d for d in reversed(reading.drawn) if not d.subtract and d.rank == 0}
    same = [drawn.get((crop.slide_id, crop.roi_id)) for crop in crops]
    requests = [
        Request(shown(crop.path), crop.slide_id, partial(images.crop, crop.path), _extent(annotation))
        for crop, annotation in zip(crops, same, strict=True)
    ]
    located = locate(requests, slides, workers)
    placed = [crop for crop, found in zip(crops, located.found, strict=True) if isinstance(found, Place)]
    outlines = _outlines(placed, workers)
    for slide_id, reason in located.unseen.items():
        reading.report("crops not compared with slide", slide_id, reason)
    for crop, annotation, found in zip(crops, same, located.found, strict=True):
        if isinstance(found, Place):
            outline = outlines[crop.path]
            if isinstance(outline, RegionError):
                reading.stop(crop.slide_id, outline)
            else:
                reading.drawn.append(_drawn(crop, found, outline))
        elif annotation is not None and isinstance(found, UnfitCropError):
            detail = f"the crop does not check its annotation: {found.expected} needed, {found.found} found"
            reading.report("ignored", shown(crop.path), detail)
            where = shown(crop.path)
            claim = replace(annotation, class_name=crop.class_name, source=crop.path, where=where, rank=2, named=False)
            reading.drawn.append(claim)
        else:
            reading.stop(crop.slide_id, found)


def _extent(annotation: Drawn | None) -> Size | None:
    if annotation is None:
        return None
    left, top, right, bottom = annotation.shape.bounds
    return Size(max(1, round(right - left)), max(1, round(bottom - top)))


def _outlines(crops: Sequence[CropFile], workers: Processes | None) -> dict[Path, Area | RegionError | None]:
    """The outline of each crop, in its own pixels, as its alpha says; None where that is its box, or why it is none."""
    paths = [crop.path for crop in crops]
    if workers is None:
        return {path: _outline(path) for path in paths}
    found = run_tasks(_outline, paths, workers=workers, label="Outlining crops", unit="crop", killed=_outline_killed)
    return dict(zip(paths, found, strict=True))


def _outline(path: Path) -> Area | RegionError | None:
    try:
        _, mode = images.header(path)
        mask = images.crop(path).mask if mode == "RGBA" else None
        return None if mask is None else of_mask(mask, shown(path))
    except RegionError as error:
        return error


def _outline_killed(path: Path) -> RegionError:
    found, remedy = "a process that was killed at it", "Give fewer --workers if memory is short, or an annotation."
    return RegionError(shown(path), "a crop whose outline can be read", found, remedy)


def _drawn(crop: CropFile, found: Place, outline: Area | None) -> Drawn:
    size, _ = images.header(crop.path)
    rank = 2 if outline is None else 1
    shape = outline or shapely.box(0, 0, size.width, size.height)
    shape = translate(scaled(shape, found.scale, found.scale, origin=(0, 0)), found.x, found.y)
    tolerance = 2 * found.scale
    where = shown(crop.path)
    return Drawn(crop.slide_id, crop.roi_id, crop.class_name, shape, crop.path, where, rank=rank, tolerance=tolerance)
